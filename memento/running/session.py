"""One run: claims configurations, hands them to the executor, keeps what comes back, and ends in order.

    todo ─claim→ submit ─→ executor ─→ Delivered | Lost ─→ store (in groups) ─→ events
      ▲                                     │
      └──── retry after a wait ─────────────┘          others' claims ─poll→ their results, or ours to run

Guarantees: an outcome is in the store before anybody is told of it; a configuration is claimed before it is handed out,
and the claim is given up in the transaction that stores its last outcome, so two runs never both see it as open;
however the run ends, what workers have delivered is taken in.
"""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from operator import attrgetter
from pathlib import Path
from typing import Any

from memento.checkpoints import give_way
from memento.entry import Entry
from memento.errors import StoreError
from memento.experiment import Experiment
from memento.hashing.origin import as_seen_from
from memento.matrix.configurations import Configurations
from memento.plan import Plan
from memento.protocols import Advanced, Begun, Delivered, Executor, Interrupted, Lost, RemoteExecutor, Returned, Watch
from memento.running.attending import Attendance
from memento.running.failing import FailureWatch
from memento.running.hearing import Audience
from memento.running.interrupts import Interrupts
from memento.running.keeping import LINGER, Keeper
from memento.running.options import Options
from memento.running.others import Others
from memento.running.pace import AHEAD, Pace
from memento.running.retries import RetryPolicy
from memento.running.tally import TICK, Tally
from memento.running.tasks import Tasks
from memento.running.todo import Todo
from memento.spool import Frame, by_success, frame_of
from memento.store import Run, SqliteStore
from memento.store.trouble import disk_errors_explained
from memento.task import KEY_IN_HEAD, Failure, Job, Outcome, Status, Task
from memento.undelivered import outcome_of
from memento.wording import plural

# Running experiments are given this many seconds to see `context.should_stop` after Ctrl-C: with what it takes to end
# the others after that, everything is gone in five.
GRACE = 3.5
# An engine with a queue of its own is given everything at once.
WITHOUT_END = 1 << 60

_key_of = attrgetter("key")


class Session:
    """One run of `plan.todo`; `execute` returns when everything is done, stopped or interrupted."""

    def __init__(
        self,
        *,
        configurations: Configurations,
        plan: Plan,
        store: SqliteStore,
        make_job: Callable[[Run], Job],
        executor: Executor,
        audience: Audience,
        options: Options,
        experiment: Experiment,
        watch: Callable[[Path], Watch | None] = lambda folder: None,
    ) -> None:
        self._configurations, self._plan, self._store = configurations, plan, store
        self._make_job, self._executor = make_job, executor
        self._options, self._experiment = options, experiment
        self._tally = Tally(configurations, audience, experiment, total=len(plan.keys), stored=plan.stored)
        self._run: Run
        self._retries = RetryPolicy(options.retries)
        self._rows = {plan.keys[row]: row for row in plan.todo}
        self._todo = Todo(plan, store)
        self._watch = FailureWatch(
            stop_at_first=options.on_error == "stop", max_failures=options.max_failures, spread=self._todo.spread_out
        )
        self._later: list[tuple[float, int, int]] = []  # (when, row, attempt): waiting for a retry
        self._out: dict[bytes, Task] = {}
        # Where experiments run in this thread, the next one may take hours.
        self._keeper = Keeper(store, plan.anew, linger=0.0 if executor.inline else LINGER)
        self._heard_all = True
        self._pace = Pace(getattr(executor, "ahead", AHEAD))
        self._remote = executor if isinstance(executor, RemoteExecutor) else None
        self._tasks = Tasks(configurations, plan, timeout=options.timeout, limited=self._remote is None)
        self._attendance = Attendance(store, watch, self._tally.tell_notice)
        self._others = Others(
            plan=plan, todo=self._todo, store=store, attendance=self._attendance, tally=self._tally,
            retries=self._retries, remote=self._remote,
        )  # fmt: skip
        self.left: str | None = None
        """What a reader should know of work that goes on without this process, None where none does."""
        self.stopped: str | None = None
        self.interrupts = Interrupts(inline=executor.inline)

    # The life of a run

    def execute(self) -> None:
        """Run what is to be run."""
        self._tally.tell_start(workers=self._executor.slots, failed_before=self._plan.failed_before)
        if not self._todo:
            return
        self._run = self._store.begin_run(
            experiment=self._experiment.name,
            code=self._experiment.code,
            about={
                "arguments": sys.argv,
                "file": as_seen_from(self._store.root, self._experiment.file),
                "todo": len(self._plan.todo),
                "slots": self._executor.slots,
            },
            since=self._plan.newest,
        )
        self._tally.tell_registered(self._run.id)
        with disk_errors_explained(self._store.database), self.interrupts:
            try:
                self._executor.start(self._make_job(self._run))
                # While the workers start.
                self._store.describe(self._run, self._configurations.sheet(self._plan.todo))
                self._loop()
            except KeyboardInterrupt:
                self._tally.ended = True
            except StoreError:
                self._leave()  # what runs elsewhere is not concerned: its results are taken in when there is room
                raise
            finally:
                self._wind_up()

    def _loop(self) -> None:
        while self._todo or self._out or self._later or self._todo.others:
            if self.interrupts.count:
                self._interrupted()
                return
            if self._watch.reason is not None:
                self._stop_early(self._watch.reason)
                return
            self._feed()
            self._hear(self._executor.wait(self._patience()))
            self._feed()  # before storing, which takes a while in which workers would have nothing to do
            self._commit_when_due()
            self._others.look(self._run)
            self._tally.tell_progress()
            if not self._options.wait and not self._todo and self._remote is not None and self._remote.is_submitted:
                self._leave()
                return
        self._commit()

    def _patience(self) -> float:
        patience = TICK
        if self._later:
            patience = min(patience, self._later[0][0] - time.monotonic())
        if self._keeper.patience is not None:
            patience = min(patience, self._keeper.patience)
        return max(0.0, patience)

    def _interrupted(self) -> None:
        """Start nothing new, and give what is running a short grace; what runs elsewhere goes on unless asked twice."""
        self._tally.ended = True
        if self._remote is not None and not self._remote.cancels:
            self._leave()
            self._wait_for_a_second()
            if self.interrupts.count < 2:
                return
            self.left = None
        self._attendance.cancel({self._plan.keys[row] for row in self._todo.others})
        self._give_back(self._executor.cancel())
        until = time.monotonic() + GRACE
        while self._out and time.monotonic() < until and self.interrupts.count < 2:
            self._hear(self._executor.wait(TICK))
            self._commit_when_due()
            self._tally.tell_progress()

    def _leave(self) -> None:
        if self._remote is not None:
            self.left = self._remote.leave()

    def _wait_for_a_second(self) -> None:
        self._tally.tell_notice(f"{self.left}; a second Ctrl-C within {GRACE:g} s cancels them")
        until = time.monotonic() + GRACE
        while time.monotonic() < until and self.interrupts.count < 2:
            self._hear(self._executor.wait(TICK))

    def _stop_early(self, reason: str) -> None:
        """Start nothing new, and wait for what is running."""
        self.stopped = reason
        self._tally.ended = True
        self._give_back(self._executor.drain())
        while self._out and self.interrupts.count == 0:
            self._hear(self._executor.wait(TICK))
            self._commit_when_due()
            self._tally.tell_progress()

    def _give_back(self, tasks: Iterable[Task]) -> None:
        for task in tasks:
            self._out.pop(task.key, None)
            self._tally.left_off(task.key)

    def _wind_up(self) -> None:
        """End what still runs, and keep everything that was delivered."""
        self.interrupts.hold()
        try:
            if self.left is None:
                self._executor.stop()
            self._hear(self._executor.wait(0.0))
            self._commit()
        finally:
            self._attendance.close()
            if self.left is None:
                # Offsets say nothing where a report before them was not taken.
                self._store.end_run(self._run, self._keeper.taken if self._heard_all else {})
            else:
                self._store.leave(self._run)
        self._look_up()

    # Handing out

    def _feed(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            _, row, attempt = heapq.heappop(self._later)
            self._submit([self._tasks.of(row, attempt)])
        room = self._room() if self._todo else 0
        rows = self._todo.claim(self._run, room) if room else []
        if rows:
            give_way(self._store.root, (self._plan.keys[row] for row in rows), self._experiment.file)
            self._submit(self._tasks.first(rows))

    def _room(self) -> int:
        if self._remote is not None:
            return WITHOUT_END
        return self._pace.room(self._executor.slots, self._tally.done, len(self._out))

    def _submit(self, tasks: Sequence[Task]) -> None:
        self._out.update(zip(map(_key_of, tasks), tasks, strict=True))
        self._executor.submit(tasks)

    # Taking in

    def _hear(self, reports: Iterable[Any]) -> None:
        whole, self._heard_all = self._heard_all, False  # until the last report was taken
        self._hear_each(reports)
        self._heard_all = whole

    def _hear_each(self, reports: Iterable[Any]) -> None:
        for report in reports:
            if isinstance(report, Delivered):
                self._take(report.frames)
                if report.spool:
                    self._keeper.read_up_to(report.spool, report.end)
            elif isinstance(report, Interrupted):
                self._keep(report.frames)
            elif isinstance(report, Lost):
                self._take([frame_of(outcome_of(report, self._store.root, self._run.id))])
            elif isinstance(report, Returned):
                self._give_back([report.task])
            elif isinstance(report, Begun):
                self._tally.began(report.task, self._rows[report.task.key])
            elif isinstance(report, Advanced):
                self._tally.advanced(report.task, report.done, report.total)

    def _keep(self, frames: Sequence[Frame]) -> None:
        """Keep attempts that go on elsewhere."""
        for frame in frames:
            outcome = Outcome.unpack_head(*frame)
            if outcome.key in self._out and outcome.failure is not None:
                self._keeper.add([frame])
                self._tally.left_off(outcome.key)
                self._tally.tell_failure(outcome, outcome.failure, self._rows[outcome.key], will_retry=True)

    def _take(self, frames: Sequence[Frame]) -> None:
        """Take in outcomes in the order in which they came, and leave out those that nobody waits for any more."""
        for succeeded, some in by_success(frames):
            keys = [head[KEY_IN_HEAD] for head, _ in some]
            expected = list(map(self._out.pop, keys, repeat(None)))
            if None in expected:
                some = [frame for frame, task in zip(some, expected, strict=True) if task is not None]
                keys = [head[KEY_IN_HEAD] for head, _ in some]
            if not some:
                continue
            self._keeper.add(some)
            self._pace.note()
            if succeeded:
                self._take_successes(keys)
            else:
                for frame in some:
                    self._take_failure(Outcome.unpack_head(*frame))

    def _take_successes(self, keys: Sequence[bytes]) -> None:
        self._tally.left_off(*keys)
        self._tally.succeeded += len(keys)
        self._watch.succeeded()
        self._keeper.add_final(keys)

    def _take_failure(self, outcome: Outcome) -> None:
        key = outcome.key
        self._tally.left_off(key)
        failure = outcome.failure or Failure(type="unknown", message="")
        stopping = self.interrupts.count > 0 or self.stopped is not None
        wait = None if stopping else self._retries.wait_before_retry(key, failure)
        if wait is not None:
            heapq.heappush(self._later, (time.monotonic() + wait, self._rows[key], outcome.attempt + 1))
        elif outcome.status is not Status.CANCELLED:
            self._tally.failed += 1
            self._watch.failed(failure, key)
            self._keeper.add_final([key])
        if outcome.status is Status.CANCELLED:
            return
        self._tally.tell_failure(outcome, failure, self._rows[key], will_retry=wait is not None)

    def _commit_when_due(self) -> None:
        if self._keeper.patience == 0.0:
            self._commit()

    def _commit(self) -> None:
        entries = self._keeper.commit(self._run)
        keys = [head[KEY_IN_HEAD] for _, head in entries]
        rows = list(map(self._rows.__getitem__, keys))
        for key, row, entry in zip(keys, rows, entries, strict=True):
            if key not in self._out:  # else it is tried again already, or goes on elsewhere
                self._plan.entries[row] = entry
        self._tally.tell_successes(entries, rows)

    # The end

    @property
    def cached(self) -> bytearray:
        """For each row, whether its result came from the store rather than from this run."""
        cached = bytearray(b"\1" * len(self._plan.keys))
        for row in self._plan.todo:
            cached[row] = 0
        if not self._did_all:
            for row in self._plan.todo:
                entry = self._plan.entries[row]
                cached[row] = entry is not None and Entry(*entry).run != self._run.id
        return cached

    @property
    def succeeded(self) -> bool:
        """Whether every configuration has a result that counts."""
        return self._tally.succeeded == len(self._plan.todo)

    @property
    def _did_all(self) -> bool:
        """Whether this run itself has finished all that was to be run."""
        return self._tally.done == len(self._plan.todo)

    def _look_up(self) -> None:
        """Fill in what came in by the spools alone; what never came to its turn, or goes on elsewhere, stays empty."""
        elsewhere = self._out if self.left is not None else {}
        rows = {self._plan.keys[row]: row for row in self._plan.todo if self._plan.entries[row] is None}
        for key, entry in self._store.find([key for key in rows if key not in elsewhere]).items():
            own = [entry] if entry.run == self._run.id else self._own(key)
            if own:
                self._plan.entries[rows[key]] = own[-1]

    def _own(self, key: bytes) -> list[Any]:
        """Return what this run gave for `key`, though an older success is what others find."""
        if key not in self._plan.anew:
            return []
        return [entry for entry in self._store.history(key) if entry.run == self._run.id]

    def conclude(self) -> None:
        """Tell everybody that the run is over, and let them finish."""
        entries = (self._plan.entries[row] for row in ([] if self._did_all else self._plan.todo))
        left = sum(entry is None or Entry(*entry).status is Status.CANCELLED for entry in entries)
        are_left = f"{plural(left, 'configuration')} {'is' if left == 1 else 'are'} left"
        resume = f"{are_left}: run the same again, nothing stored is run twice" if left else None
        self._tally.tell_end(interrupted=self.interrupts.name, stopped=self.stopped, resume=self.left or resume)
