"""When a run should start nothing new: the first failure, too many of them, or one error common to all."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from memento.task import Failure

# So many configurations in a row with one and the same error, and the rest is not worth the night.
IN_A_ROW = 20
# After so many the next ones are taken from all over the matrix: a block of it may share a parameter that fails. From
# then on only those count, whatever else of the block was handed out before.
SUSPICIOUS = 10


class CircuitBreaker:
    """Counts final failures and says why a run should stop, if it should.

    The rule about one common error holds as long as `max_failures` is not given: who gives it has decided.

    Args:
        stop_at_first: whether one failure is enough.
        max_failures: how many are; None: the rule about a common error holds.
        spread: takes the next configurations from all over what is left, and returns their keys.
    """

    def __init__(
        self,
        *,
        stop_at_first: bool,
        max_failures: float | None,
        spread: Callable[[], Collection[bytes]] = frozenset,
    ) -> None:
        self._limit = 1.0 if stop_at_first else math.inf if max_failures is None else max_failures
        self._watch_common = max_failures is None
        self._failures = 0
        self._last: tuple[str, str] | None = None
        self._in_a_row = 0
        self._spread = spread
        self._sample: Collection[bytes] = ()  # from all over, since the error has become suspicious
        self._in_sample = 0
        self.reason: str | None = None
        """Why the run should stop, None while it should not."""

    def succeeded(self) -> None:
        """Take note of a success."""
        self._begin_again(None)

    def _begin_again(self, kind: tuple[str, str] | None) -> None:
        self._last, self._in_a_row, self._sample, self._in_sample = kind, 0, (), 0

    def failed(self, failure: Failure, key: bytes = b"") -> None:
        """Take note of a configuration, known by `key`, that failed for good."""
        self._failures += 1
        kind = (failure.type, _place(failure))
        if kind != self._last:
            self._begin_again(kind)
        self._in_a_row += 1
        self._in_sample += key in self._sample
        if self.reason is not None:
            return
        if self._watch_common and self._in_a_row == SUSPICIOUS:
            self._sample = self._spread()
        if self._failures >= self._limit:
            number = "the first failure" if self._limit == 1 else f"{self._failures} failures"
            self.reason = f"stopped after {number}, as asked"
        elif self._watch_common and self._is_common:
            self.reason = (
                f"stopped because {self._in_a_row} configurations in a row failed with the same error "
                f"({failure.type}: {failure.message.splitlines()[0] if failure.message else ''}); "
                "mend it and run again, or pass max_failures=math.inf to go on regardless"
            )

    @property
    def _is_common(self) -> bool:
        """Whether the last error is that of all configurations, as far as can be told."""
        if self._sample:
            return self._in_sample >= min(IN_A_ROW - SUSPICIOUS, len(self._sample))
        return self._in_a_row >= IN_A_ROW


def _place(failure: Failure) -> str:
    """Return the last line of the traceback that names a place in the code."""
    places = [line.strip() for line in failure.traceback.splitlines() if line.lstrip().startswith('File "')]
    return places[-1] if places else failure.cause
