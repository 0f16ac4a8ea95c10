"""One run in jobs of the cluster: what waits to be submitted, what was, and what the failures so far have taught.

submit ─▶ what each task needs, grown where it had too little ─▶ Submitter ─▶ sbatch
             ▲                                                       │ batches
             └── not begun, to be tried again ◀── Tracker ◀──────────┘
                                                     └─▶ reports
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from memento.errors import SlurmError
from memento.executors.elsewhere.orders import Order
from memento.executors.slurm.batch import give_order
from memento.executors.slurm.cancelling import cancel_all, cancel_waiting
from memento.executors.slurm.escalation import Escalation
from memento.executors.slurm.refusal import Refusal
from memento.executors.slurm.resources import Resources, check_partition, check_time, checked_options, resources_of
from memento.executors.slurm.submission import Submission
from memento.executors.slurm.submitting import Submitter
from memento.executors.slurm.tracking import Tracker
from memento.heads import unpack_head
from memento.job import Job
from memento.protocols import Delivered, Lost, Noted, Report, Returned
from memento.task import Failure, Task

# The folder is looked into at these intervals: the first, how they grow while nothing happens, the longest.
LOOK, GROWTH, LONGEST_LOOK = 0.2, 1.2, 3.0


class SlurmRun:
    """The run of one `job`; nothing is written, submitted or asked of Slurm by making it.

    Args:
        job: what is run.
        how: how jobs are made.
        defaults: what configurations need of which the matrix does not say so.
        options: further options of sbatch, not yet checked.
        growth: by how much memory or time grow for what had too little.
        grace: how many seconds a job may be unknown to Slurm before it counts as lost.
    """

    def __init__(
        self,
        job: Job,
        how: Submission,
        *,
        defaults: Resources,
        options: Mapping[str, Any],
        growth: float,
        grace: float,
    ) -> None:
        self._folder, self._run = Path(job.spool), job.run.hex()
        self._configurations, self._defaults, self._options = job.configurations, defaults, options
        self._submitter = Submitter(self._folder, job.run, replace(how, directory=job.working_directory), pace=job.pace)
        self._tracker = Tracker(self._folder, job.run, grace=grace)
        self._growth = Escalation(growth)
        self._tasks: list[tuple[Resources, Task]] = []
        self._known: dict[int, Resources] = {}  # by the identity of what the matrix says
        self._submitted: set[bytes] = set()  # keys
        self._looked, self._pause = 0.0, LOOK
        self._held = ""  # what was told of why something is not submitted
        self._uncertain = False  # whether jobs may be in the queue of which nothing is known
        self._stopping = False
        self._late: list[Report] = []  # what came while the jobs were ended

    def submit(self, tasks: Iterable[Task]) -> None:
        """Take `tasks` over, to be submitted with the next `wait`.

        Raises:
            OptionError, SlurmError: sbatch does not know what they ask for, or would not grant it.
        """
        self._tasks += [self._needs(task) for task in tasks]

    def _needs(self, task: Task) -> tuple[Resources, Task]:
        """Return what the job of `task` needs now, and `task` with the time that it may take now."""
        return self._growth.applied(self._resources(task), task, self._tracker.granted)

    def _resources(self, task: Task) -> Resources:
        runtime_at = getattr(self._configurations, "runtime_at", None)
        runtime = runtime_at(task.index) if runtime_at else {}
        known = self._known.get(id(runtime))
        if known is None:
            defaults = replace(self._defaults, more=checked_options(self._options))
            known = self._known[id(runtime)] = resources_of(runtime, defaults)
            check_partition(known.partition)
            check_time(known)
        return replace(known, cpus=task.cpus, gpus=task.gpus)

    def preview(self, *, script: bool) -> str:
        """Return what would be submitted, with the batch scripts if wanted; afterwards nothing will be."""
        self._submitter.make(self._grouped())
        return self._submitter.preview(script=script)

    def _grouped(self) -> dict[Resources, list[Task]]:
        """Return what is to be submitted by what it needs, and forget it."""
        grouped: dict[Resources, list[Task]] = {}
        for resources, task in self._tasks:
            grouped.setdefault(resources, []).append(task)
        self._tasks = []
        return grouped

    # While it goes on

    def wait(self, timeout: float) -> list[Report]:
        """Submit what is to be submitted, and return what has happened.

        Raises:
            WorkerStartError: jobs cannot begin.
            SlurmError: sbatch refuses for good what was not submitted before.
        """
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

    def _look(self) -> list[Report]:
        reports: list[Report] = []
        for report in self._tracker.look():
            if isinstance(report, Returned) and not self._stopping:
                again, _ = self._needs(report.task)
                self._tasks.append((again, report.task))
                continue
            if isinstance(report, Lost):
                self._growth.learn(report.task.key, report.failure.cause)
            elif isinstance(report, Delivered):
                self._learn_from(report)
            reports.append(report)
        return reports

    def _learn_from(self, report: Delivered) -> None:
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

    @property
    def is_submitted(self) -> bool:
        """Whether everything has been handed to Slurm."""
        return not self._tasks and self._submitter.is_done

    # Coming to an end

    def end(self, order: Order) -> list[Task]:
        """Submit nothing more, have its jobs do as `order` says, and return what was not submitted."""
        self._stopping = self._tracker.returning = True
        self._uncertain |= self._submitter.is_uncertain
        left = [task for _, task in self._tasks] + self._submitter.take_back()
        self._tasks = []
        if self._goes_on:
            give_order(self._folder, order)
            cancel_waiting(self._run)
        return left

    @property
    def _goes_on(self) -> bool:
        """Whether jobs of it may be in the queue."""
        return bool(self._tracker.open) or self._uncertain

    def stop(self) -> list[Task]:
        """Cancel its jobs, wait until they are gone, and return what delivered nothing."""
        left, vain = self.end(Order.CANCEL), list[Task]()
        if self._goes_on:
            cancel_all(self._run)
            vain, self._late = self._tracker.give_up()
        return left + vain

    def leave(self) -> str:
        """Submit what was not submitted yet, and return what a reader should know of the jobs that go on."""
        self._submitter.make(self._grouped())  # also what waits for room: nobody else would
        self._late += self._push()
        return (
            f"{self._tracker.described()}; run the same again to take in their results, here or on another machine of "
            "the cluster"
        )
