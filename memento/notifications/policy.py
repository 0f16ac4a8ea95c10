"""When a provider is told: at once, or in digests at growing intervals."""

from __future__ import annotations

from dataclasses import dataclass

from memento.error_groups import ErrorGroup
from memento.events import Event, RunFinished
from memento.given import number


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestPolicy:
    """The first failures are told at once, later ones in digests grouped by error, the rest in the final summary.

    Args:
        first: How many failures are told one by one (None: all of them, as far as the provider keeps up).
        every: Seconds between the last thing told about failures and the next digest (`math.inf`: no digests, the
            summary tells the rest).
        growth: The interval is multiplied by this after each digest, so that a night of failures is a handful of mails.
        longest: Seconds that the interval does not exceed.
        successes: Whether each success and each retry is told too, where the provider does not say so itself by
            overriding `task_completed` or `task_retried`.

    Raises:
        OptionError: a number that cannot be meant.

    Example:
        >>> DigestPolicy(first=3, every=3600).growth
        2.0
    """

    first: int | None = 1
    every: float = 300.0
    growth: float = 2.0
    longest: float = 6 * 3600.0
    successes: bool = False

    def __post_init__(self) -> None:
        lowest = {"first": 0, "every": 0, "growth": 1, "longest": 0}
        for name, bound in lowest.items():
            value = getattr(self, name)
            if not (value is None and name == "first"):
                number(name, value, bound, finite=False)


EVERY_EVENT = DigestPolicy(first=None, successes=True)
"""Each event is told as it comes: for a console or a file. Failures that come faster than the provider takes them are
still told, together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureDigest(Event):
    """Several failures in one: what `task_failure` gets instead of a `Failed` when a digest is due."""

    groups: tuple[ErrorGroup, ...]
    failures: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary(RunFinished):
    """What `all_tasks_completed` gets: the end of the run, with all its failures grouped by error."""

    groups: tuple[ErrorGroup, ...] = ()
