"""A real MLflow server on loopback, which can be killed and comes back on the same port, and what is in it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memento import MlflowTracker
from tests.ports import free_port

STARTS_WITHIN = 100.0


class Server:
    """A server whose database and artifacts lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={self.port}", "--workers=1"]
        command += [f"--backend-store-uri=sqlite:///{self._folder}/server.db"]
        command += [f"--artifacts-destination={self._folder}/artifacts"]
        environment = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven processes that nothing here needs
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + STARTS_WITHIN
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as response:
                return bool(response.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    """Enter with a server that is ended surely."""
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def runs_in(uri: str, experiment: str) -> tuple[list[Any], list[Any]]:
    """Return the runs of matrices and the nested ones, in the order in which they began."""
    tracker = MlflowTracker(experiment, uri)
    every = list(tracker.mlflow_client.search_runs([tracker.mlflow_experiment_id], max_results=1000))
    every.sort(key=lambda run: (run.info.start_time, run.info.run_name))
    nested = [run for run in every if "mlflow.parentRunId" in run.data.tags]
    return [run for run in every if run not in nested], nested


def by_name(runs: list[Any]) -> dict[str, Any]:
    """Return `runs` by their names, which differ."""
    named = {run.info.run_name: run for run in runs}
    assert len(named) == len(runs), sorted(run.info.run_name for run in runs)
    return named
