"""The process that delivers: `python -m memento.tracking.courier LEDGER [--run=ID]`.

With a run it stays until that is over and told, or until its patience ends after the run's process has; without, it
tries everything once. It says in lines of JSON, on what was its standard output, what the problems are and, at its end,
what it delivered. It may be killed at any moment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from memento.store import SqliteStore, open_store
from memento.tracking.delivery import Delivery
from memento.tracking.journal import journals_in, locked, run_of
from memento.tracking.mlflow_terms import without_secret
from memento.wording import one_line

IDLE = 0.05
# The ledger is asked at most so often, and less where asking takes long.
ASKED_EVERY = 0.2
SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# After the end of a run a server that failed is tried again so often.
LAST_TRIES = 2
ORPHAN_PATIENCE = 20.0
MOST_PROBLEMS = 10


class Courier:
    """Delivers the journals of `store`; `run` is the one whose end it waits for, `say` takes what it has to say."""

    def __init__(self, store: SqliteStore, run: bytes | None, say: Callable[[dict[str, Any]], None]) -> None:
        self._store = store
        self._run = run
        self._say = say
        self._parent = os.getppid()
        self._delivered = 0
        self._left = 0
        self._waiting = 0
        self._problems: list[str] = []

    def work(self) -> None:
        """Deliver until there is nothing more to deliver, or no hope."""
        own = [path for path in journals_in(self._store.root) if run_of(path) == self._run]
        with contextlib.ExitStack() as held:
            rounds = [Round(Delivery(path, self._store)) for path in own if _locked_soon(held, path)]
            self._follow(rounds)
            self._account(rounds)
        # Where its own run could not be told, the run's end does not wait for others' to fail as well.
        for path in journals_in(self._store.root) if not self._left else ():
            with locked(path) as free:
                if free:
                    self._deliver_once(path)
        self._say(
            {"left": self._left, "waiting": self._waiting, "delivered": self._delivered, "problems": self._problems}
        )

    def _follow(self, rounds: Sequence[Round]) -> None:
        orphaned_at: float | None = None
        while pending := [one for one in rounds if not one.over]:
            if orphaned_at is None and os.getppid() != self._parent:
                orphaned_at = time.monotonic()
            if orphaned_at is not None:
                if time.monotonic() > orphaned_at + ORPHAN_PATIENCE:
                    return
                self._store.take_over()
            busy = False
            for one in pending:
                busy |= one.turn(abandoned=orphaned_at is not None)
                self._tell_problems(one)
            if not busy:
                time.sleep(IDLE)

    def _deliver_once(self, path: Path) -> None:
        self._store.take_over()
        one = Round(Delivery(path, self._store))
        # What cannot be told now can be told neither by trying on: the next run or `sync` tries again.
        while one.turn(abandoned=True) and not one.over:
            pass
        self._tell_problems(one)
        self._account([one])

    def _tell_problems(self, one: Round) -> None:
        for problem in one.problems():
            if not self._problems:
                self._say({"problem": problem})
            if len(self._problems) < MOST_PROBLEMS:
                self._problems.append(problem)

    def _account(self, rounds: Sequence[Round]) -> None:
        self._delivered += sum(one.delivery.delivered for one in rounds)
        self._left += sum(not one.delivery.finished for one in rounds)
        self._waiting += sum(one.delivery.left for one in rounds)


class Round:
    """One delivery and when it is its turn again."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self._problems: list[str] = []
        self._asked_at = -ASKED_EVERY
        self._asking_costs = 0.0
        self._resume_at = 0.0
        self._pause = SHORTEST_PAUSE
        self._failures = 0

    @property
    def over(self) -> bool:
        """Whether it is done, or has failed as often as is tried after the end of the run."""
        return self.delivery.finished or (self.delivery.ended and self._failures >= LAST_TRIES)

    def turn(self, *, abandoned: bool) -> bool:
        """Deliver a little; return whether there was anything to deliver."""
        now = time.monotonic()
        if now < self._resume_at and not (self.delivery.ended and self._failures < LAST_TRIES):
            return False
        if now < self._asked_at + max(ASKED_EVERY, 10 * self._asking_costs) and not self.delivery.has_news():
            return False
        try:
            something = self.delivery.look(abandoned=abandoned)
            self._asking_costs = time.monotonic() - now
            self._asked_at = time.monotonic()
            if not something:
                return False
            with contextlib.suppress(OSError):
                os.chdir(self.delivery.folder)
            self.delivery.step()
            self._asked_at = -ASKED_EVERY
            self._failures, self._pause = 0, SHORTEST_PAUSE
        except Exception as error:
            self._problems.append(
                f"{self.delivery.where}: {type(error).__name__}: {one_line(without_secret(str(error)), 400)}"
            )
            self._failures += 1
            self._resume_at = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return False
        return True

    def problems(self) -> list[str]:
        """Return the problems that were not returned before."""
        found = self._problems + [f"{self.delivery.where}: {refusal}" for refusal in self.delivery.refusals]
        self._problems, self.delivery.refusals = [], []
        return found


def _locked_soon(held: contextlib.ExitStack, path: Path) -> bool:
    """Hold the lock of `path`; somebody's `sync` may just look what is in it."""
    for _ in range(100):
        if held.enter_context(locked(path)):
            return True
        if not path.exists():
            return False
        time.sleep(IDLE)
    return False


def main() -> None:
    """Deliver, and say so on what was standard output when this began; nothing else gets there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--run", type=bytes.fromhex, default=None)
    options = parser.parse_args()
    output = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def say(line: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the run was killed; what it started goes on a while
            os.write(output, json.dumps(line).encode() + b"\n")

    with contextlib.suppress(OSError):
        os.nice(10)  # experiments come first
    try:
        with open_store(options.ledger) as store:
            Courier(store, options.run, say).work()
    except Exception as error:
        say({"problem": f"{type(error).__name__}: {one_line(error, 400)}"})
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
