"""Other runs over the same store: what they compute is waited for, and taken up where they died or gave up."""

from __future__ import annotations

import time

from memento.protocols import RemoteExecutor
from memento.running.orphaned_runs import OrphanedRuns
from memento.running.state import RunState
from memento.running.todo import Todo
from memento.store import Entry, Run
from memento.task import Outcome, Status

POLL = 0.2


class OtherRuns:
    """Follows the rows of `todo` that other runs have claimed, until each has a result or is this run's to compute.

    Attributes:
        failed: how many of them have failed there for good.
    """

    def __init__(self, state: RunState, todo: Todo, attendance: OrphanedRuns, remote: RemoteExecutor | None) -> None:
        self._plan, self._store, self._tally = state.plan, state.store, state.tally
        self._retries, self._watch = state.retries, state.watch
        self._todo, self._attendance, self._remote = todo, attendance, remote
        self.failed = 0
        self._looked_at = 0.0
        self._pause = POLL

    def learn_from_earlier(self) -> None:
        """Tell the executor why what is to run has failed before, where this run would try that again."""
        if self._remote is None or not self._plan.failed_before:
            return
        for entry in self._store.find([self._plan.keys[row] for row in self._plan.todo]).values():
            failure = entry.outcome.failure
            if failure is not None and self._retries.rule_for(failure)[1] and self._plan.standing.is_own(entry):
                self._remote.learn(entry.key, failure)

    def look(self, run: Run) -> None:
        """See what has become of what others have claimed; does nothing where that was seen a moment ago."""
        if not self._todo.others or time.monotonic() - self._looked_at < self._pause:
            return
        rows = {self._plan.keys[row]: row for row in self._todo.others}
        self._attendance.look(set(rows))
        begun = time.monotonic()
        self._store.take_over()
        claimed = self._store.claimed_by_others(run, list(rows))
        free = [key for key in rows if key not in claimed]
        found = self._store.find(free)
        for key in free:
            self._todo.others.discard(rows[key])
            self._settle(rows[key], self._newest(found.get(key)))
        self._looked_at = time.monotonic()
        self._pause = max(POLL, 10 * (self._looked_at - begun))

    def _newest(self, entry: Entry | None) -> Entry | None:
        """Return `entry`, which `find` found; where it does not count, what another run gave that does."""
        standing = self._plan.standing
        if entry is None or (standing.counts if entry.ok else standing.is_own)(entry):
            return entry
        success = self._store.newest_that([entry.key], standing.counts).get(entry.key)
        if success is not None:
            return success
        newer = [one for one in self._store.history(entry.key) if standing.is_newer(one) and standing.is_own(one)]
        failed = [one for one in newer if not one.ok]
        return failed[-1] if failed else None

    def _settle(self, row: int, entry: Entry | None) -> None:
        if entry is not None and entry.ok:
            self._plan.entries[row] = entry
            self._tally.stored += 1
        elif entry is not None and self._is_of_now(entry.outcome) and self._counts_here(entry):
            self._plan.entries[row] = entry
            if self._is_to_be_tried_again(entry.outcome):
                self._todo.put_back(row)
            else:
                self._take_failure(row, entry.outcome)
        else:
            self._todo.put_back(row)  # its run died, was stopped, or gave it back: now it is ours

    def _counts_here(self, entry: Entry) -> bool:
        """Whether it is this run's too: that the other was stopped is not, that somebody cancelled its job is."""
        return entry.status is not Status.CANCELLED or entry.key in self._attendance.cancelled

    def _take_failure(self, row: int, outcome: Outcome) -> None:
        self.failed += 1
        self._tally.failed += 1
        if outcome.failure is not None and outcome.status is not Status.CANCELLED:
            self._watch.failed(outcome.failure, outcome.key)
            self._tally.tell_failure(outcome, outcome.failure, row, will_retry=False)

    def _is_of_now(self, failure: Outcome) -> bool:
        """Whether it failed while this run went on; an older failure is to be tried again."""
        return failure.started + failure.runtime >= self._tally.began_at

    def _is_to_be_tried_again(self, outcome: Outcome) -> bool:
        """Whether this run tries once more what failed in another, of which nobody else will."""
        failure = outcome.failure
        if failure is None or self._retries.wait_before_retry(outcome.key, failure) is None:
            return False
        if self._remote is not None:
            self._remote.learn(outcome.key, failure)
        return True
