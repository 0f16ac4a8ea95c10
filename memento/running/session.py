"""One run: claims configurations, hands them to the executor, keeps what comes back, and ends in order.

    todo ─claim→ submit ─→ executor ─→ Delivered | Lost ─→ store (in groups) ─→ events
      ▲                                     │
      └──── retry after a wait ─────────────┘          others' claims ─poll→ their results, or ours to run

Guarantees: an outcome is in the store before anybody is told of it; a configuration is claimed before it is handed out,
and the claim is given up in the transaction that stores its last outcome, so two runs never both see it as open;
however the run ends, what workers have delivered is taken in.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from memento.checkpoints import give_way
from memento.entry import Entry
from memento.errors import StoreError
from memento.experiment import Experiment
from memento.hashing.origin import as_seen_from
from memento.job import Job
from memento.matrix.configurations import Configurations
from memento.plan import Plan
from memento.protocols import Executor, RemoteExecutor, Watch
from memento.running.circuit_breaker import CircuitBreaker
from memento.running.intake import Intake
from memento.running.interrupts import Interrupts
from memento.running.keeping import LINGER, Keeper
from memento.running.listeners import Listeners
from memento.running.options import Options
from memento.running.orphaned_runs import OrphanedRuns
from memento.running.other_runs import OtherRuns
from memento.running.pace import AHEAD, Pace
from memento.running.retries import RetryPolicy
from memento.running.state import RunState
from memento.running.tally import TICK, Tally
from memento.running.tasks import Tasks
from memento.running.todo import Todo
from memento.store import Run, SqliteStore
from memento.store.error_messages import disk_errors_explained
from memento.task import Status, Task
from memento.wording import plural

# Running experiments are given this many seconds to see `context.should_stop` after Ctrl-C: with what it takes to end
# the others after that, everything is gone in five.
GRACE = 3.5
# An engine with a queue of its own is given everything at once.
WITHOUT_END = 1 << 60


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
        listeners: Listeners,
        options: Options,
        experiment: Experiment,
        watch: Callable[[Path], Watch | None] = lambda folder: None,
    ) -> None:
        self.left: str | None = None
        """What a reader should know of work that goes on without this process, None where none does."""
        self.stopped: str | None = None
        self.interrupts = Interrupts(inline=executor.inline)
        self._configurations, self._plan, self._store = configurations, plan, store
        self._make_job, self._executor = make_job, executor
        self._options, self._experiment = options, experiment
        self._tally = Tally(configurations, listeners, experiment, total=len(plan.keys), stored=plan.stored)
        self._run: Run
        self._todo = Todo(plan, store)
        self._watch = CircuitBreaker(
            stop_at_first=options.on_error == "stop", max_failures=options.max_failures, spread=self._todo.spread_out
        )
        state = RunState(
            plan=plan, store=store, tally=self._tally, retries=RetryPolicy(options.retries), watch=self._watch
        )
        self._pace = Pace(getattr(executor, "ahead", AHEAD))
        self._remote = executor if isinstance(executor, RemoteExecutor) else None
        self._tasks = Tasks(configurations, plan, timeout=options.timeout, limited=self._remote is None)
        self._attendance = OrphanedRuns(store, watch, self._tally.tell_notice)
        self._others = OtherRuns(state, self._todo, self._attendance, self._remote)
        # Where experiments run in this thread, the next one may take hours.
        keeper = Keeper(store, plan.anew, linger=0.0 if executor.inline else LINGER)
        self._intake = Intake(
            state, keeper, self._pace, stopping=lambda: self.interrupts.count > 0 or self.stopped is not None
        )

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
                self._others.learn_from_earlier()
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
        while self._todo or self._intake.out or self._intake.later or self._todo.others:
            if self.interrupts.count:
                self._interrupted()
                return
            if self._watch.reason is not None:
                self._stop_early(self._watch.reason)
                return
            self._feed()
            self._hear(self._patience())
            self._feed()  # before storing, which takes a while in which workers would have nothing to do
            self._intake.commit_when_due(self._run)
            self._others.look(self._run)
            self._tally.tell_progress()
            if not self._options.wait and not self._todo and self._remote is not None and self._remote.is_submitted:
                self._leave()
                return
        self._intake.commit(self._run)

    def _patience(self) -> float:
        patience = self._intake.patience
        return TICK if patience is None else min(TICK, patience)

    def _hear(self, timeout: float) -> None:
        self._intake.hear(self._run, self._executor.wait(timeout))

    def _interrupted(self) -> None:
        """Start nothing new, and give what is running a short grace; what runs elsewhere goes on unless asked twice."""
        self._tally.ended = True
        if self._remote is not None and not self._remote.cancels:
            self._leave()
            self._wait_for_a_second()
            if self.interrupts.count < 2:
                return
            self.left = None
        if self._intake.out and self.interrupts.count < 2:
            self._tally.tell_notice(
                f"interrupted: nothing new is begun, and what is running has {GRACE:g} s to stop by itself; "
                "a second interrupt ends it at once"
            )
        self._attendance.cancel({self._plan.keys[row] for row in self._todo.others})
        self._intake.told_to_stop = True
        self._intake.give_back(self._executor.cancel())
        until = time.monotonic() + GRACE
        while self._intake.out and time.monotonic() < until and self.interrupts.count < 2:
            self._take_in()

    def _leave(self) -> None:
        if self._remote is not None:
            self.left = self._remote.leave()

    def _wait_for_a_second(self) -> None:
        self._tally.tell_notice(f"{self.left}; a second Ctrl-C within {GRACE:g} s cancels them")
        until = time.monotonic() + GRACE
        while time.monotonic() < until and self.interrupts.count < 2:
            self._hear(TICK)

    def _stop_early(self, reason: str) -> None:
        """Start nothing new, and wait for what is running; an interrupt ends that as it ends any run."""
        self.stopped = reason
        self._tally.ended = True
        self._intake.give_back(self._executor.drain())
        while self._intake.out:
            if self.interrupts.count:
                self._interrupted()
                return
            self._take_in()

    def _take_in(self) -> None:
        """Take in what comes within a moment, while nothing new is handed out."""
        self._hear(TICK)
        self._intake.commit_when_due(self._run)
        self._tally.tell_progress()

    def _wind_up(self) -> None:
        """End what still runs, and keep everything that was delivered."""
        self.interrupts.hold()
        try:
            if self.left is None:
                self._stop()
            self._hear(0.0)
            self._intake.commit(self._run)
        finally:
            self._attendance.close()
            if self.left is None:
                self._store.end_run(self._run, self._intake.taken)
            else:
                self._store.leave(self._run)
        self._look_up()

    def _stop(self) -> None:
        try:
            self._executor.stop()
        except Exception as error:
            if self._remote is not None:  # its jobs may go on: what they give is taken in by whoever comes next
                self.left = str(error)
            raise

    # Handing out

    def _feed(self) -> None:
        for row, attempt in self._intake.due():
            self._submit([self._tasks.of(row, attempt)])
        room = self._room() if self._todo else 0
        rows = self._todo.claim(self._run, room) if room else []
        if rows:
            keys = (self._plan.keys[row] for row in rows)
            give_way(self._store.root, keys, self._experiment.file, self._plan.standing.goes_on_from)
            self._submit(self._tasks.first(rows))

    def _room(self) -> int:
        if self._remote is not None:
            return WITHOUT_END
        return self._pace.room(self._executor.slots, self._tally.done, len(self._intake.out))

    def _submit(self, tasks: Sequence[Task]) -> None:
        self._intake.hand_out(tasks)
        self._executor.submit(tasks)

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
        return self._tally.done - self._others.failed == len(self._plan.todo)

    def _look_up(self) -> None:
        """Fill in what came in by the spools alone; what never came to its turn, or goes on elsewhere, stays empty."""
        elsewhere = self._intake.out if self.left is not None else {}
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
