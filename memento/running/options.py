"""What a user says about how to run, checked before anything runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from memento.errors import OptionError
from memento.running.retries import Retries, RetryPolicy

ON_ERROR = ("raise", "return", "stop")
DRY_RUN = (True, False, "script")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The options of one run; see `Memento.run` for what they mean.

    Raises:
        OptionError: one cannot be meant.
    """

    force_run: bool = False
    force_cache: bool = False
    on_error: str = "raise"
    max_failures: float | None = None
    timeout: float | None = None
    retries: Retries = 0
    wait: bool = True

    def __post_init__(self) -> None:
        one_of("on_error", self.on_error, ON_ERROR)
        if self.force_run and self.force_cache:
            raise OptionError("force_run and force_cache exclude each other", option="force_run", value=True)
        if self.timeout is not None and not (_is_number(self.timeout) and 0 < self.timeout < math.inf):
            raise OptionError(
                f"timeout={self.timeout!r} is not a number of seconds above 0", option="timeout", value=self.timeout
            )
        if self.max_failures is not None and not (_is_number(self.max_failures) and self.max_failures >= 1):
            raise OptionError(
                f"max_failures={self.max_failures!r} is not a number from 1 on",
                option="max_failures",
                value=self.max_failures,
            )
        RetryPolicy(self.retries)


def one_of(option: str, value: Any, allowed: Sequence[Any]) -> None:
    """Raise OptionError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise OptionError(
            f"{option}={value!r} is not one of {', '.join(map(repr, allowed))}", option=option, value=value
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
