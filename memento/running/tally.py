"""How far a run is, and telling its listeners so."""

from __future__ import annotations

import time
from collections.abc import Sequence

from memento import events
from memento.entry import Entry, Row
from memento.experiment import Experiment
from memento.heads import has_succeeded
from memento.matrix.configurations import Configurations
from memento.running.listeners import Listeners
from memento.task import Failure, Outcome, Task

TICK = 0.1
LOG_SHOWN = 2000


class Tally:
    """Counts what happens in one run and makes the events that somebody hears.

    Args:
        configurations: the run's configurations.
        listeners: who listens.
        experiment: what is run.
        stored: how many configurations need not run.
    """

    def __init__(
        self, configurations: Configurations, listeners: Listeners, experiment: Experiment, *, total: int, stored: int
    ) -> None:
        self.stored = stored
        self.succeeded = 0
        self.failed = 0
        self.ended = False
        """Whether the run was stopped or interrupted, so that what is left counts as cancelled."""
        self.began_at = time.time()
        self._configurations = configurations
        self._listeners = listeners
        self._experiment = experiment
        self._total = total
        self._running: dict[bytes, events.Activity] = {}
        self._begun = time.monotonic()
        self._ticked_at = 0.0

    @property
    def done(self) -> int:
        """How many configurations this run has finished."""
        return self.succeeded + self.failed

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._begun

    def counts(self) -> events.Counts:
        """Return how far the run is."""
        left = self._total - self.stored - self.done
        return events.Counts(
            total=self._total,
            stored=self.stored,
            succeeded=self.succeeded,
            failed=self.failed,
            cancelled=left if self.ended and not self._running else 0,
            running=len(self._running),
        )

    def _left(self) -> float | None:
        if not self.done or self.ended:
            return None
        return self.elapsed / self.done * (self._total - self.stored - self.done)

    # What workers do

    def began(self, task: Task, row: int) -> None:
        """Take note that a worker has taken `task` up."""
        config = self._configurations[row]
        self._running[task.key] = events.Activity(label=config.label, since=self.elapsed)
        if self._listeners.wants(events.Started):
            self._listeners.tell(
                events.Started(
                    counts=self.counts(),
                    elapsed=self.elapsed,
                    left=self._left(),
                    config=config,
                    key=task.key.hex(),
                    attempt=task.attempt,
                )
            )

    def advanced(self, task: Task, done: float, total: float | None) -> None:
        """Take note of the progress that the experiment of `task` reports."""
        activity = self._running.get(task.key)
        if activity is not None:
            self._running[task.key] = events.Activity(
                label=activity.label, since=activity.since, done=done, total=total
            )

    def left_off(self, *keys: bytes) -> None:
        """Take note that nobody runs `keys` any more."""
        for key in self._running.keys() & set(keys):
            del self._running[key]

    # What came of it

    def tell_failure(self, outcome: Outcome, failure: Failure, row: int, *, will_retry: bool) -> None:
        """Tell of an attempt that ended without a result."""
        if self._listeners.wants(events.Failed):
            self._listeners.tell(
                events.Failed(
                    counts=self.counts(),
                    elapsed=self.elapsed,
                    left=self._left(),
                    config=self._configurations[row],
                    key=outcome.key.hex(),
                    status=outcome.status,
                    failure=failure,
                    duration=outcome.runtime,
                    attempt=outcome.attempt,
                    will_retry=will_retry,
                    log=(outcome.log.data or b"")[-LOG_SHOWN:].decode("utf-8", "replace"),
                )
            )

    def tell_successes(self, entries: Sequence[Row], rows: Sequence[int]) -> None:
        """Tell of the successes among outcomes that are stored now, of the configurations in `rows`."""
        if not self._listeners.wants(events.Succeeded):
            return
        for entry, row in zip(entries, rows, strict=True):
            if not has_succeeded(entry[1]):
                continue
            outcome = Entry(*entry).outcome
            self._listeners.tell(
                events.Succeeded(
                    counts=self.counts(),
                    elapsed=self.elapsed,
                    left=self._left(),
                    config=self._configurations[row],
                    key=outcome.key.hex(),
                    duration=outcome.runtime,
                    attempt=outcome.attempt,
                )
            )

    # The run itself

    def tell_start(self, *, workers: int, failed_before: int) -> None:
        """Tell that the run begins."""
        self._listeners.tell(
            events.RunStarted(
                counts=self.counts(), name=self._experiment.name, workers=workers, failed_before=failed_before
            )
        )

    def tell_registered(self, run: bytes) -> None:
        """Tell under which id the store knows the run."""
        if self._listeners.wants(events.RunRegistered):
            self._listeners.tell(events.RunRegistered(counts=self.counts(), elapsed=self.elapsed, run=run.hex()))

    def tell_notice(self, message: str) -> None:
        """Tell something that the user should read once."""
        self._listeners.tell(events.Notice(counts=self.counts(), elapsed=self.elapsed, message=message))

    def tell_progress(self) -> None:
        """Tell how far the run is, at most every `TICK` seconds."""
        now = time.monotonic()
        if now - self._ticked_at < TICK or not self._listeners.wants(events.RunProgressed):
            return
        self._ticked_at = now
        self._listeners.tell(
            events.RunProgressed(
                counts=self.counts(), elapsed=self.elapsed, left=self._left(), running=tuple(self._running.values())
            )
        )

    def tell_end(self, *, interrupted: str | None, stopped: str | None, resume: str | None) -> None:
        """Tell that the run is over, and let the listeners finish."""
        self._listeners.tell(
            events.RunFinished(
                counts=self.counts(),
                elapsed=self.elapsed,
                name=self._experiment.name,
                interrupted=interrupted,
                stopped=stopped,
                resume=resume,
            )
        )
        self._listeners.close()
