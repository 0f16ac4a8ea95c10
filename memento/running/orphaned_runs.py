"""Runs whose process has died while their jobs go on: whoever wants the same results attends to them meanwhile.

    their jobs ──spools──▶ Watch (made by the engine from the run's folder) ──▶ the store, as that run's outcomes
                                   │ will not come any more
                                   └──▶ its claim is given up, and whoever wants it may compute it

One process attends to a run at a time, as its lock says; it may stop at any moment and another goes on. What goes wrong
with such a run is no trouble of whoever attends to it: it is left alone, or looked at again later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from memento.errors import SlurmError, WorkerStartError
from memento.heads import Frame, frame_of
from memento.lost_outcomes import outcome_of
from memento.protocols import Delivered, Interrupted, Lost, Report, Returned, Watch
from memento.store import Run, SqliteStore
from memento.task import Status

# Where the cluster did not say which jobs are to be cancelled, it is asked again after so many seconds.
PAUSE = 10.0


class OrphanedRuns:
    """Attends to remote runs over `store`; `watch` gives who follows what a folder was left with, None: nobody can.

    Attributes:
        cancelled: the keys whose jobs somebody has cancelled in the cluster.
    """

    def __init__(
        self,
        store: SqliteStore,
        watch: Callable[[Path], Watch | None],
        tell: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._store, self._watch, self._tell = store, watch, tell
        self._told: set[bytes] = set()
        self._attended: dict[bytes, tuple[Run, Watch]] = {}
        self._not_before: dict[bytes, float] = {}
        self.cancelled: set[bytes] = set()

    def look(self, keys: set[bytes]) -> None:
        """Take in what has arrived from runs that have claimed any of `keys`, and free what will not come."""
        for number in self._store.orphans():
            if number not in self._attended and self._store.claims_of(number) & keys:
                self._begin(number)
        for number, (run, watch) in list(self._attended.items()):
            if time.monotonic() < self._not_before.get(number, 0.0):
                continue
            try:
                self._attend(run, watch)
            except FileNotFoundError:
                # Somebody has given it up by removing its folder; taking over frees its claims.
                del self._attended[number]
                self._store.leave(run)
                continue
            except SlurmError:
                self._not_before[number] = time.monotonic() + PAUSE
            if not run.claimed:
                del self._attended[number]
                self._store.end_run(run)

    def _attend(self, run: Run, watch: Watch) -> None:
        try:
            reports = watch.look()
        except (WorkerStartError, SlurmError):
            # What was submitted there can never run; what is submitted from here may.
            watch.cancel(watch.keys)
            # Other jobs may have delivered: without its claim what they did would be refused.
            self._store.take_in_claimed(run)
            self._store.release(run, list(run.claimed))
            return
        self._take(run, watch, reports)

    def _begin(self, number: bytes) -> None:
        run = self._store.adopt(number)
        if run is None:
            return
        try:
            watch = self._watch(run.spool)
        except FileNotFoundError:  # its folder is being removed
            self._store.leave(run)
            return
        if watch is None:
            self._store.leave(run)
            if number not in self._told:
                self._told.add(number)
                count = len(self._store.claims_of(number))
                self._tell(
                    f"waiting for {count:,} configurations that were submitted to a cluster which cannot be asked from "
                    "this machine; what it delivers is taken in. If its jobs are gone, run this there, or give them up "
                    f"by removing {run.spool}"
                )
            return
        self._attended[number] = run, watch

    def _take(self, run: Run, watch: Watch, reports: Sequence[Report]) -> None:
        frames: list[Frame] = []
        free: list[bytes] = []
        for report in reports:
            if isinstance(report, Delivered | Interrupted):
                frames += report.frames
            elif isinstance(report, Lost):
                if report.status is Status.CANCELLED:
                    self.cancelled.add(report.task.key)
                frames.append(frame_of(outcome_of(report, self._store.root, run.id)))
            elif isinstance(report, Returned):
                free.append(report.task.key)
        if frames:
            self._store.save_claimed(run, frames)
        # What it had claimed when it died and had not submitted yet will not come either.
        awaited = watch.keys
        free += [key for key in run.claimed if key not in awaited]
        if free:
            self._store.release(run, free)

    def cancel(self, keys: set[bytes]) -> None:
        """End what attended runs have submitted for any of `keys`; what the cluster does not let us end is told."""
        for _, watch in self._attended.values():
            try:
                watch.cancel(keys)
            except SlurmError as error:
                self._tell(str(error))

    def close(self) -> None:
        """Leave the runs to others."""
        for run, _ in self._attended.values():
            self._store.leave(run)
        self._attended.clear()
