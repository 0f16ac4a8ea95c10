"""The configurations of one job: which are open, which attempt each is at, and what is written of how they end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from memento.executors.slurm.batch import Batch
from memento.executors.slurm.escalation import limit_of
from memento.executors.slurm.incarnation import Incarnation, checkpoint_mark
from memento.executors.slurm.verdict import never_begun
from memento.heads import REQUEUED, Frame, frame_of
from memento.lost_outcomes import outcome_of
from memento.protocols import Advanced, Lost
from memento.task import Failure, Outcome, Status, Task
from memento.wording import in_job, plural

# Outcomes of short experiments are delivered together, at most so many seconds late.
DELIVERY = 0.25
# Progress is passed on at most so often for one experiment, in seconds.
PROGRESS = 2.0


class PartRun:
    """What this process has to do of a batch, told to everybody through the files of its `incarnation`."""

    def __init__(
        self, batch: Batch, tasks: Sequence[Task], incarnation: Incarnation, *, store: Path, node: str, job: str
    ) -> None:
        self._batch, self._incarnation, self._store, self._job = batch, incarnation, store, job
        self._place = in_job(node, job)
        self.memory: float | None = None
        """How many bytes the job has for each configuration, None: not known."""
        self.time: float | None = None
        """How many seconds the job may run, None: not known."""
        self._history = incarnation.earlier()
        done = self._history.delivered
        self.open = {task.key: self._next_attempt(task) for task in tasks if task.key not in done}
        self.running: set[bytes] = set()
        self._frames: list[Frame] = []
        self._lines: list[dict[str, Any]] = []
        self._flushed = 0.0
        self._advanced: dict[bytes, float] = {}

    def _next_attempt(self, task: Task) -> Task:
        return task._replace(attempt=task.attempt + self._history.attempts(task.key))

    def in_order(self) -> list[Task]:
        """Return what is open; what was interrupted comes first, so that it has the job's whole time."""
        return sorted(self.open.values(), key=lambda task: task.key not in self._history.begun)

    # While it goes on

    def begin(self, task: Task) -> None:
        """Note that a worker has taken `task` up, unless that was noted of another one, which began it in vain."""
        if task.key in self.running:
            return
        self.running.add(task.key)
        mark = checkpoint_mark(self._store, task.key)
        self._history.begun.setdefault(task.key, []).append(mark)
        self._lines.append({"begun": task.key.hex(), "attempt": task.attempt, "checkpoint": mark})

    def advance(self, report: Advanced) -> None:
        """Note how far an experiment is, now and then."""
        now = time.monotonic()
        if now - self._advanced.get(report.task.key, 0.0) >= PROGRESS:
            self._advanced[report.task.key] = now
            self._lines.append({"advanced": report.task.key.hex(), "done": report.done, "total": report.total})

    def finish(self, outcome: Outcome, place: str = "") -> None:
        """Note an outcome after which nothing more comes of its configuration; `place` is where, if it was not here."""
        self._keep(outcome, place)
        self.open.pop(outcome.key, None)

    def lose(self, lost: Lost) -> None:
        """Note an experiment that ended without an outcome."""
        self.finish(self._outcome_of(lost))

    def leave(self, key: bytes) -> None:
        """Say nothing of an experiment that has ended; whoever follows the job knows why."""
        self.running.discard(key)

    def give_back(self, tasks: Iterable[Task]) -> None:
        """Forget `tasks`, which will not be run here, and note that of those that were begun in vain."""
        for task in tasks:
            self.open.pop(task.key, None)
            if task.key in self.running:
                self.running.discard(task.key)
                self._lines.append({"returned": task.key.hex(), "attempt": task.attempt})

    def flush(self, *, now: bool = False) -> bool:
        """Deliver what was noted, when it is time to; return False when this process may not deliver any more."""
        if not (self._frames or self._lines) or (not now and time.monotonic() - self._flushed < DELIVERY):
            return True
        if self._incarnation.is_replaced():
            return False
        self._incarnation.note(*self._lines)
        self._incarnation.deliver(self._frames)
        self._frames, self._lines = [], []
        self._flushed = time.monotonic()
        return True

    def _keep(self, outcome: Outcome, place: str = "") -> None:
        self.running.discard(outcome.key)
        task = self.open.get(outcome.key)
        if outcome.failure is not None and task is not None:
            limit = limit_of(task, outcome.failure.cause, memory=self.memory, time=self.time)
            outcome = outcome._replace(failure=outcome.failure._replace(limit=limit))
        self._frames.append(frame_of(outcome._replace(host=place or self._place)))

    def _outcome_of(self, lost: Lost) -> Outcome:
        return outcome_of(lost, self._store, self._batch.run)

    # Attempts that end with their job

    def interrupt(self, outcome: Outcome) -> None:
        """Note an experiment that ended because its job is about to: it goes on in the next, if it gets anywhere."""
        failure = outcome.failure or Failure(type="TimedOut", message="")
        said = f"it was stopped before the end of {self._place}, having said {failure.title}"
        self._end(outcome._replace(status=Status.TIMED_OUT), said, trace=failure.traceback)

    def end(self, keys: Iterable[bytes]) -> None:
        """Note experiments that were ended because they did not stop by themselves before the end of their job."""
        for key in keys:
            lost = _lost(self.open[key], Status.TIMED_OUT)
            self._end(self._outcome_of(lost), f"it was ended before the end of {self._place}")

    def account_for_the_past(self) -> None:
        """Note the attempts that ended with an earlier process and left no word, as when their node died."""
        where = self._history.last_node or "a node"
        place = in_job(self._history.last_node, self._job)
        most = self._batch.requeues
        limit = f"its job was requeued {plural(most, 'time')}, which is the limit; raise max_requeues"
        used_up = self._incarnation.number - 1 > most
        for key in [key for key in self.open if self._history.is_untold(key)]:
            lost = _lost(self.open[key]._replace(attempt=self.open[key].attempt - 1), Status.KILLED)
            said = f"it ended with an earlier run of this job, on {where}, which failed or was taken away"
            if used_up:
                failure = _failure("NodeFailed", f"{said}; {limit}", "node")
                self.finish(self._outcome_of(lost)._replace(failure=failure), place)
            else:
                self._end(self._outcome_of(lost), said, kind="NodeFailed", cause="node", place=place)
        for task in list(self.open.values()) if used_up else ():
            if task.key in self._history.begun:
                self._give_up(task, limit)
            else:  # it had no time that could be too short
                said = f"it was never begun: {limit}"
                self.lose(_lost(task, Status.FAILED, never_begun(said)))

    def cannot_go_on(self, why: str) -> None:
        """Note that the job was not requeued: what was interrupted in it fails."""
        for key, task in list(self.open.items()):
            if key in self._history.begun:
                task = task._replace(attempt=task.attempt + 1)
                self._give_up(task, f"{self._place} was over and could not be requeued: {why}")

    def _give_up(self, task: Task, said: str) -> None:
        self.lose(_lost(task, Status.TIMED_OUT, _failure("TimedOut", said, "timeout")))

    def _end(
        self,
        outcome: Outcome,
        said: str,
        *,
        trace: str = "",
        kind: str = "TimedOut",
        cause: str = "timeout",
        place: str = "",
    ) -> None:
        begun = self._history.begun.get(outcome.key, [])
        if len(begun) > 1 and begun[-1] == checkpoint_mark(self._store, outcome.key):
            said += "; it made no checkpoint since the job was requeued before, so it is not tried again"
            self.finish(outcome._replace(failure=_failure(kind, said, cause, trace)), place)
        else:
            said += "; it goes on in the next"
            self._keep(outcome._replace(failure=_failure(kind, said, REQUEUED, trace)), place)


def _lost(task: Task, status: Status, failure: Failure | None = None) -> Lost:
    failure = failure or Failure(type="TimedOut", message="")
    return Lost(task=task, status=status, failure=failure, started=time.time(), runtime=0.0)


def _failure(kind: str, said: str, cause: str, trace: str = "") -> Failure:
    lineage = (kind, "TimeoutError") if kind == "TimedOut" else (kind,)
    return Failure(type=kind, message=said, traceback=trace, cause=cause, lineage=lineage)
