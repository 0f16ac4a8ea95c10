"""Experiments in jobs of a Slurm cluster, through Slurm's own commands and files on a shared file system.

    this process                          the run's folder, on all hosts                a job, on a node
    ────────────                          ──────────────────────────────                ────────────────
    submit ─▶ resources, packing ─write─▶ job, <batch>.batch
              sbatch ◀─ batch script      <batch>.job                    ◀─read──  leader ─▶ worker processes
    wait   ◀─ tracking ◀──────────────── <batch>-<part>.<n>.log, .spool ◀─append─    │  a death costs one experiment
                 ▲                        stop                           ◀─look────  │
    squeue, sacct┘ one question for all                                              └─▶ scontrol requeue, in time

Guarantees: a batch is written before it is submitted, and found again by its tag, whatever happens in between; an
outcome counts when it is in a spool, whoever is alive to see it; nothing is submitted again before Slurm has said that
it is over, or has known nothing of it for `grace` seconds.
Assumptions: the store's folder is on a file system that all nodes share and that keeps O_EXCL and appends by one
writer; Python and memento are at the same paths on all nodes, which each job checks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memento.executors.elsewhere.orders import Order
from memento.executors.elsewhere.sealed import seal
from memento.executors.slurm import commands
from memento.executors.slurm.batch import JOB
from memento.executors.slurm.resources import Resources
from memento.executors.slurm.run import SlurmRun
from memento.executors.slurm.snapshot import with_unloaded
from memento.executors.slurm.store_visibility import check_store
from memento.executors.slurm.submission import Submission
from memento.given import number, texts, whole
from memento.job import Job
from memento.layout import REMOTE
from memento.matrix.runtime import bytes_of, seconds_of
from memento.protocols import Report
from memento.task import Failure, Task

ENGINE = "slurm"


class SlurmExecutor:
    """Runs experiments in jobs of the cluster that this machine submits to.

    `runtime` in a matrix says what its configurations need; what is given here is for those where it says nothing.

    Args:
        partition: where jobs are queued.
        account: whom they are charged to.
        time: how long one job may run, in Slurm's forms, as "01:30:00" or a number of minutes.
        memory: for one configuration, as "2G".
        max_jobs: how many jobs of a run may run at once; what is tried again waits until fewer do.
        pack: how many configurations share a job; "auto" finds it from how long they took before.
        workers: how many of them run at once in a job, each in a process of its own.
        setup: lines of shell that are run first in each job, as ``["module load cuda"]``.
        slurm: further options of sbatch, as ``{"qos": "long", "exclusive": True}``.
        python: the interpreter on the nodes; by default the one that runs here.
        snapshot: run your own modules as they are now; False runs them as they are when a job starts.
        cancel: cancel the jobs when the run is interrupted; otherwise the first Ctrl-C leaves them running.
        growth: by how much memory or time grow when a configuration is tried again because it had too little.
        warning: how many seconds before its end a job stops, for experiments to write checkpoints.
        max_requeues: how often a job may be requeued before its configurations count as failed.
        grace: how many seconds a job may be unknown to Slurm before it counts as lost.

    Example:
        >>> executor = SlurmExecutor(partition="gpu", time="02:00:00", max_jobs=50, pack=10)
        >>> executor.isolates
        True
    """

    isolates = True
    inline = False

    def __init__(
        self,
        *,
        partition: str | None = None,
        account: str | None = None,
        time: str | int | None = None,
        memory: str | int | None = None,
        max_jobs: int | None = None,
        pack: int | str = "auto",
        workers: int = 1,
        setup: Sequence[str] = (),
        slurm: Mapping[str, Any] | None = None,
        python: str | None = None,
        snapshot: bool = True,
        cancel: bool = False,
        growth: float = 2.0,
        warning: float = 60.0,
        max_requeues: int = 100,
        grace: float = 60.0,
    ) -> None:
        workers = whole("workers", workers, 1)
        max_jobs = None if max_jobs is None else whole("max_jobs", max_jobs, 1)
        self._defaults = Resources(
            partition=partition,
            account=account,
            time=None if time is None else seconds_of(time),
            memory=None if memory is None else bytes_of(memory),
        )
        self._options = dict(slurm or {})
        self._how = Submission(
            pack=None if pack == "auto" else whole("pack", pack, 1, ", nor 'auto'"),
            workers=workers,
            max_jobs=max_jobs,
            warning=number("warning", warning, 0),
            max_requeues=whole("max_requeues", max_requeues, 0),
            setup=texts("setup", setup),
            python=python or sys.executable,
        )
        self._snapshot, self._growth = snapshot, number("growth", growth, 1)
        self._grace = number("grace", grace, 0, finite=False)
        self.cancels = cancel
        self.slots = workers * (max_jobs or 1)
        self._run: SlurmRun | None = None

    def start(self, job: Job) -> None:
        """Write the experiment where jobs find it; afterwards this run is not over when this process is.

        Raises:
            SlurmError: jobs cannot be submitted from here, there is no such partition, or no node sees the store.
        """
        commands.require()
        check_store(Path(job.store))
        self._run = None
        folder = Path(job.spool)
        (folder / REMOTE).write_text(ENGINE)
        kept = with_unloaded(job.sources, job.import_path, Path(job.store)) if self._snapshot else ()
        (folder / JOB).write_bytes(seal(job._replace(sources=kept)))
        self._run = self._run_of(job)

    def _run_of(self, job: Job) -> SlurmRun:
        return SlurmRun(
            job,
            self._how,
            defaults=self._defaults,
            options=self._options,
            growth=self._growth,
            grace=self._grace,
        )

    def preview(self, job: Job, tasks: Sequence[Task], *, script: bool = False) -> str:
        """Return what would be submitted for `tasks` of `job`, with the batch scripts if wanted; nothing is.

        Raises:
            OptionError, SlurmError: it would be refused.
        """
        check_store(Path(job.store))
        run = self._run_of(job)
        run.submit(tasks)
        return run.preview(script=script)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take `tasks` over; they are submitted with the next `wait`. What sbatch does not know raises OptionError."""
        if self._run is not None:
            self._run.submit(tasks)

    def wait(self, timeout: float) -> Iterable[Report]:
        """Submit what is to be submitted, and return what has happened.

        Raises:
            WorkerStartError: jobs cannot begin.
            SlurmError: sbatch refuses for good what was not submitted before.
        """
        return [] if self._run is None else self._run.wait(timeout)

    def learn(self, key: bytes, failure: Failure) -> None:
        """Take note of why the last attempt at `key` failed, in another run: the next may need more memory or time."""
        if self._run is not None:
            self._run.learn(key, failure)

    @property
    def is_submitted(self) -> bool:
        """Whether everything has been handed to Slurm."""
        return self._run is not None and self._run.is_submitted

    def drain(self) -> Sequence[Task]:
        """Begin nothing more, and let running experiments go on."""
        return [] if self._run is None else self._run.end(Order.DRAIN)

    def cancel(self) -> Sequence[Task]:
        """Begin nothing more, and let running experiments see `context.should_stop`."""
        return [] if self._run is None else self._run.end(Order.CANCEL)

    def stop(self) -> Sequence[Task]:
        """Cancel the jobs of this run, and no others, and wait until they are gone."""
        return [] if self._run is None else self._run.stop()

    def leave(self) -> str:
        """Let the jobs go on without this process; return what a reader should know of them.

        What was not submitted yet is submitted now.
        """
        return "nothing was submitted" if self._run is None else self._run.leave()

    def close(self) -> None:
        """Forget the run; jobs that were not cancelled go on."""
        self._run = None
