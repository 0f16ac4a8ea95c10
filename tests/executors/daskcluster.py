"""A Dask cluster whose parts can be killed one by one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import distributed

from tests.executors.harness import until

WAIT = 30.0


def local_cluster(**options: Any) -> distributed.LocalCluster:
    """Return a cluster whose scheduler serves HTTP on any port: on the usual one another test's may do so."""
    return distributed.LocalCluster(
        dashboard_address=None, scheduler_kwargs={"dashboard_address": "127.0.0.1:0"}, **options
    )


class Cluster:
    """A scheduler and workers in processes of their own, without nannies that would start others for the dead."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "scheduler.json"
        self._log = open(folder / "dask.log", "wb")  # noqa: SIM115 - as long as the processes
        self.scheduler = self._start("dask_scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1")
        self.workers: list[subprocess.Popen[bytes]] = []
        until(self._file.exists)
        with distributed.Client(scheduler_file=str(self._file), set_as_default=False) as client:
            self.address = client.scheduler.address

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{program}", "--scheduler-file", str(self._file), *arguments],
            stdout=self._log,
            stderr=self._log,
        )

    def add_workers(self, number: int, *, threads: int = 1) -> None:
        """Return when there are `number` workers more."""
        for _ in range(number):
            self.start_worker(threads)
        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(self.workers), timeout=WAIT)

    def start_worker(self, threads: int = 1) -> None:
        self.workers.append(self._start("dask_worker", "--no-nanny", "--nthreads", str(threads), "--no-dashboard"))

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            process.kill()
            process.wait()
        self._log.close()


def worker_of(experiment: int) -> str:
    """Return the process of the Dask worker that the process of an experiment belongs to."""
    pid = str(experiment)
    for _ in range(2):  # the one between them supervises it
        pid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    return pid
