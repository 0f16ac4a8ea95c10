"""Which failures are tried again, how often, and after which wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from memento.errors import OptionError
from memento.given import whole
from memento.task import Failure, type_name

CAUSES = ("error", "killed", "timeout", "exit", "memory", "unpicklable", "node")
FIRST_WAIT = 0.1
LONGEST_WAIT = 60.0
DOUBLINGS = 10  # more of them go beyond the longest wait, and at last beyond what a float holds

Retries = int | Mapping[str | type[BaseException], int]


class RetryPolicy:
    """How often each cause of failure is tried again, counted for each configuration by itself.

    A number is for all causes together. A mapping is by cause: the words of `CAUSES`, or exception classes, which count
    for their subclasses too; the class nearest to what was raised decides, and a word where no class does.

    Raises:
        OptionError: `retries` is neither, or names an unknown cause.

    Example:
        >>> RetryPolicy({"killed": 2, ConnectionError: 3}).rule_for(
        ...     Failure(type="ConnectionResetError", message="", lineage=("ConnectionResetError", "ConnectionError")))
        ('ConnectionError', 3)
    """

    def __init__(self, retries: Retries) -> None:
        self._any: int | None = None
        self._by_cause: dict[str, int] = {}
        if isinstance(retries, Mapping):
            for cause, number in retries.items():
                name = _name_of(cause)
                self._by_cause[name] = whole(f"retries[{name!r}]", number, 0)
        else:
            self._any = whole("retries", retries, 0, ", nor numbers by cause such as {'killed': 2}")
        self._spent: dict[bytes, Counter[str]] = {}
        self._given_up: set[bytes] = set()

    def rule_for(self, failure: Failure) -> tuple[str, int]:
        """Return the rule that decides about `failure`: its name and how many retries it grants."""
        if self._any is not None:
            return "", self._any
        for name in (*failure.lineage, failure.type, failure.cause):
            if name in self._by_cause:
                return name, self._by_cause[name]
        return failure.cause, 0

    def give_up(self, key: bytes) -> None:
        """Have `key` not tried again, whatever is granted."""
        self._given_up.add(key)

    def wait_before_retry(self, key: bytes, failure: Failure) -> float | None:
        """Return the seconds to wait before `key` is tried again, or None when it has failed for good."""
        if failure.cause == "cancelled" or key in self._given_up:
            return None
        rule, granted = self.rule_for(failure)
        if not granted:
            return None
        spent = self._spent.setdefault(key, Counter())
        if spent[rule] >= granted:
            return None
        spent[rule] += 1
        wait: float = FIRST_WAIT * 2.0 ** min(spent.total() - 1, DOUBLINGS)
        return min(LONGEST_WAIT, wait)


def _name_of(cause: object) -> str:
    if isinstance(cause, type) and issubclass(cause, BaseException):
        return type_name(cause)
    if isinstance(cause, str) and cause in CAUSES:
        return cause
    raise OptionError(
        f"retries names {cause!r}, which is no cause of failure; use an exception class or one of {', '.join(CAUSES)}",
        option="retries",
        value=cause,
    )
