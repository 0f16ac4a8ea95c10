"""The run's end of a courier: start the process, hear of problems, wait for its end within bounds."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TICK = 0.02
_MOST = 1 << 20


class CourierProcess:
    """A courier that was sent out over the store whose ledger is at `ledger`.

    Args:
        ledger: the store's ledger.
        run: the run (hex) whose end it waits for; without, it delivers what there is and ends.
    """

    def __init__(self, ledger: Path, *, run: str | None = None) -> None:
        command = [sys.executable or "python3", "-m", "memento.tracking.courier", str(ledger)]
        self._said = b""
        self._process: subprocess.Popen[bytes] | None = None
        self._failed: str | None = None
        try:
            self._process = subprocess.Popen(
                command + ([f"--run={run}"] if run else []),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the run, which then tells the courier that it is over
            )
        except OSError as error:
            self._failed = f"the courier cannot be started: {error}"
        else:
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), False)

    def problem(self) -> str | None:
        """Return the first problem that it told of so far; never waits."""
        if self._process is not None:
            self._listen()
        return self._failed or next((line["problem"] for line in self._lines() if "problem" in line), None)

    def finish(self, patience: float) -> str | None:
        """Wait up to `patience` seconds for its end, end it otherwise; return the first problem that there was."""
        process = self._process
        if process is None:
            return self._failed
        until = time.monotonic() + patience
        try:
            while process.poll() is None and time.monotonic() < until:
                self._listen()
                time.sleep(TICK)
            if process.poll() is None:
                self._failed = self.problem() or f"{patience:g} s after the end of the run it was not done"
        finally:
            process.kill()
            process.wait()
            problem = self.problem()
            assert process.stdout is not None
            process.stdout.close()
            self._process = None
        if problem is None and process.returncode:
            problem = f"the courier ended with code {process.returncode}"
        return problem

    def summary(self) -> dict[str, Any]:
        """Return what it said last about what it delivered; empty when it did not come so far."""
        return next((line for line in reversed(self._lines()) if "left" in line), {})

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            while len(self._said) < _MOST and (more := os.read(self._process.stdout.fileno(), 65536)):
                self._said += more

    def _lines(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for line in self._said.splitlines(keepends=True):
            if line.endswith(b"\n"):
                found.append(json.loads(line))
        return found


def _environment() -> dict[str, str]:
    """Return an environment in which the courier imports what this process would, and MLflow keeps quiet and brief."""
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONSAFEPATH": "1",
        # A request that is sent again by itself may make a run twice; the courier looks first.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", "20"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
