"""Jobs that end before they can begin anything: the trouble of one node, which others make good, or that of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from memento.errors import SlurmError, WorkerStartError
from memento.executors.slurm.commands import JobState
from memento.executors.slurm.job_parts import JobPart
from memento.executors.slurm.verdict import named, never_begun
from memento.protocols import Begun, Report
from memento.task import Failure

# So many such jobs in a row, and none will ever begin; so many in a row of one configuration, and it fails.
MOST = 3


class FailedStarts:
    """Counts them for one run."""

    def __init__(self) -> None:
        self.has_run = False
        """Whether any experiment has begun, in any job."""
        self._in_a_row = 0
        self._by_key: Counter[bytes] = Counter()

    def hear(self, reports: Iterable[Report]) -> None:
        """Take note of what has happened, after which the next such job is the first in a row."""
        for report in reports:
            self._in_a_row = 0
            if isinstance(report, Begun):
                self.has_run = True
                self._by_key.pop(report.task.key, None)

    def count(
        self, part: JobPart, state: JobState, words: str, *, unseen: str, is_first: bool, goes_on: bool
    ) -> dict[bytes, Failure]:
        """Take note of the job of `part`; return the failures of what is not to be tried again, by key.

        Args:
            part: what was to be run.
            state: how the job ended.
            words: what was said about it last.
            unseen: what to say if its node does not see the store; empty if it is not that.
            is_first: whether no job of the run has ever said anything.
            goes_on: whether experiments are running in others.

        Raises:
            WorkerStartError: jobs end before they can begin anything.
            SlurmError: their nodes do not see the store.
        """
        self._in_a_row += 1
        self._by_key.update(part.open.keys())
        which = f"{named(state)} ({state.state}, exit {state.exit or 'unknown'}, on {state.node or 'no node'})"
        failures = self._failures(part, f"{which}: {unseen or words or 'it said nothing'}") if self.has_run else {}
        # One node of many may have lost sight of the store; where nothing has ever begun it is the store.
        if unseen and (is_first or self._is_hopeless(goes_on)):
            raise SlurmError(f"Slurm job {which} ended before it could begin anything: {unseen}")
        if self._is_hopeless(goes_on):
            raise WorkerStartError(
                f"{MOST} Slurm jobs in a row ended before they could begin anything; the last was {which}. "
                f"Its last words: {words or 'none'}",
                details=words,
            )
        return failures

    def _is_hopeless(self, goes_on: bool) -> bool:
        # What runs elsewhere is not to be ended because of some nodes.
        return self._in_a_row >= MOST and not goes_on

    def _failures(self, part: JobPart, last: str) -> dict[bytes, Failure]:
        failed = [key for key in part.open if self._by_key[key] >= MOST]
        if failed:
            self._in_a_row = 0
        for key in failed:
            del self._by_key[key]
        said = f"{MOST} Slurm jobs in a row that were to run it ended before they could begin; the last was {last}"
        return dict.fromkeys(failed, never_begun(said))
