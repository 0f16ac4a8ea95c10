"""What is handed out and has not come back, and what comes back: into the store, then to whoever waits for it.

reports ─hear→ outcomes ─→ keeper ─commit→ store ─→ plan's entries, events
└─ failed, to be tried again ─→ `later`
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from operator import attrgetter

from memento.heads import Frame, by_success, frame_of, key_in, unpack_head
from memento.lost_outcomes import outcome_of
from memento.protocols import Advanced, Begun, Delivered, Interrupted, Lost, Noted, Report, Returned
from memento.running.keeping import Keeper
from memento.running.pace import Pace
from memento.running.state import RunState
from memento.store import Run
from memento.task import Failure, Outcome, Status, Task

_key_of = attrgetter("key")


class Intake:
    """Takes in what the executor of one run reports, of the tasks that are out.

    `stopping` says whether the run is coming to an end, so that nothing is tried again.

    Attributes:
        out: the tasks that are handed out, by their keys.
        later: what waits for a retry, as a heap of (when, row, attempt).
        told_to_stop: whether an interrupt has reached what is out.
    """

    def __init__(self, state: RunState, keeper: Keeper, pace: Pace, *, stopping: Callable[[], bool]) -> None:
        self._plan, self._store, self._tally = state.plan, state.store, state.tally
        self._retries, self._watch = state.retries, state.watch
        self._keeper, self._pace, self._stopping = keeper, pace, stopping
        self._rows = {state.plan.keys[row]: row for row in state.plan.todo}
        self._heard_all = True
        self.out: dict[bytes, Task] = {}
        self.later: list[tuple[float, int, int]] = []
        self.told_to_stop = False

    def hand_out(self, tasks: Sequence[Task]) -> None:
        """Take note that `tasks` are out."""
        self.out.update(zip(map(_key_of, tasks), tasks, strict=True))

    def due(self) -> Iterator[tuple[int, int]]:
        """Yield what is to be tried again now, each once, as rows and attempts."""
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            _, row, attempt = heapq.heappop(self.later)
            yield row, attempt

    def give_back(self, tasks: Iterable[Task]) -> None:
        """Take note that `tasks` are not out any more, and nothing has come of them."""
        for task in tasks:
            self.out.pop(task.key, None)
            self._tally.left_off(task.key)

    def hear(self, run: Run, reports: Iterable[Report]) -> None:
        """Take in what has happened to the tasks of `run`."""
        whole, self._heard_all = self._heard_all, False  # until the last report was taken
        self._hear_each(run, reports)
        self._heard_all = whole

    def _hear_each(self, run: Run, reports: Iterable[Report]) -> None:
        for report in reports:
            if isinstance(report, Delivered):
                self._take(report.frames)
                if report.spool:
                    self._keeper.read_up_to(report.spool, report.end)
            elif isinstance(report, Interrupted):
                self._keep(report.frames)
            elif isinstance(report, Lost):
                if report.final:
                    self._retries.give_up(report.task.key)
                self._take([frame_of(outcome_of(self._judged(report), self._store.root, run.id))])
            elif isinstance(report, Returned):
                self.give_back([report.task])
            elif isinstance(report, Begun):
                self._tally.began(report.task, self._rows[report.task.key])
            elif isinstance(report, Advanced):
                self._tally.advanced(report.task, report.done, report.total)
            elif isinstance(report, Noted):
                self._tally.tell_notice(report.message)

    def _judged(self, lost: Lost) -> Lost:
        """Return `lost`, which is no failure where it was told to stop, as what a worker tells itself is none then."""
        if not self.told_to_stop:
            return lost
        return replace(lost, status=Status.CANCELLED, failure=lost.failure._replace(cause="cancelled"))

    def _keep(self, frames: Sequence[Frame]) -> None:
        """Keep attempts that go on elsewhere."""
        for frame in frames:
            outcome = unpack_head(*frame)
            if outcome.key in self.out and outcome.failure is not None:
                self._keeper.add([frame])
                self._tally.left_off(outcome.key)
                self._tally.tell_failure(outcome, outcome.failure, self._rows[outcome.key], will_retry=True)

    def _take(self, frames: Sequence[Frame]) -> None:
        """Take in outcomes in the order in which they came, and leave out those that nobody waits for any more."""
        for succeeded, some in by_success(frames):
            keys = [key_in(head) for head, _ in some]
            expected = list(map(self.out.pop, keys, repeat(None)))
            if None in expected:
                some = [frame for frame, task in zip(some, expected, strict=True) if task is not None]
                keys = [key_in(head) for head, _ in some]
            if not some:
                continue
            self._keeper.add(some)
            self._pace.note()
            if succeeded:
                self._take_successes(keys)
            else:
                for frame in some:
                    self._take_failure(unpack_head(*frame))

    def _take_successes(self, keys: Sequence[bytes]) -> None:
        self._tally.left_off(*keys)
        self._tally.succeeded += len(keys)
        self._watch.succeeded()
        self._keeper.add_final(keys)

    def _take_failure(self, outcome: Outcome) -> None:
        key = outcome.key
        self._tally.left_off(key)
        failure = outcome.failure or Failure(type="unknown", message="")
        wait = None if self._stopping() else self._retries.wait_before_retry(key, failure)
        if wait is not None:
            heapq.heappush(self.later, (time.monotonic() + wait, self._rows[key], outcome.attempt + 1))
        elif outcome.status is not Status.CANCELLED:
            self._tally.failed += 1
            self._watch.failed(failure, key)
            self._keeper.add_final([key])
        if outcome.status is Status.CANCELLED:
            return
        self._tally.tell_failure(outcome, failure, self._rows[key], will_retry=wait is not None)

    # Into the store

    @property
    def patience(self) -> float | None:
        """How many seconds nothing has to be done here, unless something comes; None for ever."""
        waits = [] if self._keeper.patience is None else [self._keeper.patience]
        if self.later:
            waits.append(max(0.0, self.later[0][0] - time.monotonic()))
        return min(waits, default=None)

    def commit_when_due(self, run: Run) -> None:
        """Store what has come, if enough has or it has waited long enough."""
        if self._keeper.patience == 0.0:
            self.commit(run)

    def commit(self, run: Run) -> None:
        """Store what has come, and then tell of it."""
        entries = self._keeper.commit(run)
        keys = [key_in(head) for _, head in entries]
        rows = list(map(self._rows.__getitem__, keys))
        for key, row, entry in zip(keys, rows, entries, strict=True):
            if key not in self.out:  # else it is tried again already, or goes on elsewhere
                self._plan.entries[row] = entry
        self._tally.tell_successes(entries, rows)

    @property
    def taken(self) -> Mapping[str, int]:
        """Up to which offset everything in the spools, by their names, has been stored; as far as that is known."""
        # Offsets say nothing where a report before them was not taken.
        return self._keeper.taken if self._heard_all else {}
