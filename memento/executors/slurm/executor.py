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
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from memento.errors import SlurmError
from memento.executors.elsewhere.sealed import seal
from memento.executors.slurm import commands
from memento.executors.slurm.batch import JOB, STOP
from memento.executors.slurm.cancelling import cancel_all, cancel_waiting
from memento.executors.slurm.growth import Growth
from memento.executors.slurm.refusal import Refusal
from memento.executors.slurm.resources import (
    Resources,
    check_partition,
    check_time,
    checked_options,
    resources_of,
)
from memento.executors.slurm.sharing import check_store
from memento.executors.slurm.snapshot import with_unloaded
from memento.executors.slurm.submission import Submission
from memento.executors.slurm.submitting import Submitter
from memento.executors.slurm.tracking import Tracker
from memento.given import number, texts, whole
from memento.heads import unpack_head
from memento.job import Job
from memento.layout import REMOTE
from memento.matrix.runtime import bytes_of, seconds_of
from memento.protocols import Delivered, Lost, Noted, Report, Returned
from memento.task import Failure, Task

# The folder is looked into at these intervals: the first, how they grow while nothing happens, the longest.
LOOK, GROWTH, LONGEST_LOOK = 0.2, 1.2, 3.0
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
        self._more = dict(slurm or {})
        self._how = Submission(
            pack=None if pack == "auto" else whole("pack", pack, 1, ", nor 'auto'"),
            workers=workers,
            max_jobs=max_jobs,
            warning=number("warning", warning, 0),
            max_requeues=whole("max_requeues", max_requeues, 0),
            setup=texts("setup", setup),
            python=python or sys.executable,
        )
        self._snapshot, self._factor = snapshot, number("growth", growth, 1)
        self._grace = number("grace", grace, 0, finite=False)
        self.cancels = cancel
        self.slots = workers * (max_jobs or 1)
        self._reset()

    def _reset(self) -> None:
        self._tracker: Tracker | None = None
        self._submitter: Submitter | None = None
        self._tasks: list[tuple[Resources, Task]] = []
        self._growth = Growth(self._factor)
        self._known: dict[int, Resources] = {}  # by the identity of what the matrix says
        self._looked, self._pause = 0.0, LOOK
        self._submitted: set[bytes] = set()  # keys
        self._held = ""  # what was told of why something is not submitted
        self._uncertain = False  # whether jobs may be in the queue of which nothing is known
        self._stopping = False
        self._late: list[Report] = []  # what came while the jobs were ended

    def start(self, job: Job) -> None:
        """Write the experiment where jobs find it; afterwards this run is not over when this process is.

        Raises:
            SlurmError: jobs cannot be submitted from here, there is no such partition, or no node sees the store.
        """
        commands.require()
        check_store(Path(job.store))
        self._reset()
        self._folder, self._job = Path(job.spool), job
        (self._folder / REMOTE).write_text(ENGINE)
        kept = with_unloaded(job.sources, job.import_path, Path(job.store)) if self._snapshot else ()
        job = job._replace(sources=kept)
        (self._folder / JOB).write_bytes(seal(job))
        self._tracker = Tracker(self._folder, job.run, grace=self._grace)
        self._submitter = self._submitter_for(job)

    def _submitter_for(self, job: Job) -> Submitter:
        how = replace(self._how, directory=job.working_directory)
        return Submitter(Path(job.spool), job.run, how, pace=job.pace)

    def preview(self, job: Job, tasks: Sequence[Task], *, script: bool = False) -> str:
        """Return what would be submitted for `tasks` of `job`, with the batch scripts if wanted; nothing is.

        Raises:
            OptionError, SlurmError: it would be refused.
        """
        check_store(Path(job.store))
        self._reset()
        self._job = job
        submitter = self._submitter_for(job)
        self.submit(tasks)
        submitter.make(self._grouped())
        return submitter.preview(script=script)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take `tasks` over; they are submitted with the next `wait`. What sbatch does not know raises OptionError."""
        granted = self._tracker.granted if self._tracker is not None else {}
        self._tasks += [self._growth.applied(self._resources(task), task, granted) for task in tasks]

    def _resources(self, task: Task) -> Resources:
        runtime_at = getattr(self._job.configurations, "runtime_at", None)
        runtime = runtime_at(task.index) if runtime_at else {}
        known = self._known.get(id(runtime))
        if known is None:
            defaults = replace(self._defaults, more=checked_options(self._more))
            known = self._known[id(runtime)] = resources_of(runtime, defaults)
            check_partition(known.partition)
            check_time(known)
        return replace(known, cpus=task.cpus, gpus=task.gpus)

    # While it goes on

    def wait(self, timeout: float) -> Iterable[Report]:
        """Submit what is to be submitted, and return what has happened.

        Raises:
            WorkerStartError: jobs cannot begin.
            SlurmError: sbatch refuses for good what was not submitted before.
        """
        if self._tracker is None:
            return []  # it never started
        if late := self._late:
            self._late = []
            return late
        if pushed := self._push():
            return pushed
        if time.monotonic() - self._looked < self._pause:
            time.sleep(min(timeout, max(0.0, self._looked + self._pause - time.monotonic())))
            if time.monotonic() - self._looked < self._pause:
                return []
        reports = self._look()
        self._looked = time.monotonic()
        self._pause = LOOK if reports else min(LONGEST_LOOK, self._pause * GROWTH)
        return reports

    def _push(self) -> list[Report]:
        """Submit what is to be submitted, and return what came of that beside jobs."""
        assert self._tracker is not None
        assert self._submitter is not None
        if self._tasks and (room := self._submitter.room(self._tracker.alive)) != 0:
            self._tasks = self._submitter.make(self._grouped(), room)
        reports: list[Report] = []
        for came in self._submitter.push():
            if isinstance(came, Refusal):
                reports += self._refused(came)
                continue
            self._tracker.follow(came)
            self._submitted.update(task.key for part in came.parts for task in part)
        if self._submitter.held != self._held:
            self._held = self._submitter.held
            reports += [Noted(message=self._held)] if self._held else []
        return reports

    def _refused(self, refusal: Refusal) -> list[Report]:
        """Return what was tried before as lost; of what was not, the matrix or the options ask too much."""
        keys = {task.key for part in refusal.batch.parts for task in part}
        if not any(key in self._submitted or self._growth.cause_of(key) for key in keys):
            raise SlurmError(refusal.message, command="sbatch")
        return list(refusal.lost(self._growth.cause_of))

    def _grouped(self) -> dict[Resources, list[Task]]:
        """Return what is to be submitted by what it needs, and forget it."""
        grouped: dict[Resources, list[Task]] = {}
        for resources, task in self._tasks:
            grouped.setdefault(resources, []).append(task)
        self._tasks = []
        return grouped

    def _look(self) -> list[Report]:
        assert self._tracker is not None
        reports: list[Report] = []
        for report in self._tracker.look():
            if isinstance(report, Returned) and not self._stopping:
                again, _ = self._growth.applied(self._resources(report.task), report.task, self._tracker.granted)
                self._tasks.append((again, report.task))
                continue
            if isinstance(report, Lost):
                self._growth.learn(report.task.key, report.failure.cause)
            elif isinstance(report, Delivered):
                self._learn_from(report)
            reports.append(report)
        return reports

    def _learn_from(self, report: Delivered) -> None:
        assert self._submitter is not None
        pace = 0.0
        for head, _ in report.frames:
            outcome = unpack_head(head)
            pace = max(pace, outcome.runtime)
            if outcome.failure is not None:
                self._growth.learn(outcome.key, outcome.failure.cause)
        self._submitter.measured(pace)

    def learn(self, key: bytes, failure: Failure) -> None:
        """Take note of why the last attempt at `key` failed, in another run: the next may need more memory or time."""
        self._growth.learn_from_another(key, failure)

    # Coming to an end

    def drain(self) -> Sequence[Task]:
        """Begin nothing more, and let running experiments go on."""
        return self._end("drain")

    def cancel(self) -> Sequence[Task]:
        """Begin nothing more, and let running experiments see `context.should_stop`."""
        return self._end("cancel")

    def _end(self, how: str) -> Sequence[Task]:
        if self._tracker is None or self._submitter is None:
            return []
        self._stopping = self._tracker.returning = True
        self._uncertain |= self._submitter.is_uncertain
        left = [task for _, task in self._tasks] + self._submitter.take_back()
        self._tasks = []
        if self._tracker.open or self._uncertain:
            (self._folder / STOP).write_text(how)
            cancel_waiting(self._job.run.hex())
        return left

    def stop(self) -> Sequence[Task]:
        """Cancel the jobs of this run, and no others, and wait until they are gone."""
        left, vain = list(self._end("cancel")), list[Task]()
        if self._tracker is not None and (self._tracker.open or self._uncertain):
            cancel_all(self._job.run.hex())
            vain, self._late = self._tracker.give_up()
        return left + vain

    def leave(self) -> str:
        """Let the jobs go on without this process; return what a reader should know of them.

        What was not submitted yet is submitted now.
        """
        if self._tracker is None or self._submitter is None:
            return "nothing was submitted"
        self._submitter.make(self._grouped())  # also what waits for room: nobody else would
        self._late += self._push()
        return (
            f"{self._tracker.described()}; run the same again to take in their results, here or on another machine of "
            "the cluster"
        )

    @property
    def is_submitted(self) -> bool:
        """Whether everything has been handed to Slurm."""
        return not self._tasks and self._submitter is not None and self._submitter.is_done

    def close(self) -> None:
        """Forget the run; jobs that were not cancelled go on."""
        self._reset()
