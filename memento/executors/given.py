"""What users give to executors, checked where it is given: later it would end a run, or have it wait for ever."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from memento.errors import OptionError


def worker_count(value: Any, option: str = "workers") -> int | None:
    """Return the number of workers that `option` was given, None where it is left to us.

    Raises:
        OptionError: it is not a whole number from 1 on.
    """
    if value is None:
        return None
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(value, bool) or not hasattr(whole, "__index__") or operator.index(whole) < 1:
        raise OptionError(
            f"{option}={value!r} is not a number from 1 on; leave it out for one worker per CPU",
            option=option,
            value=value,
        )
    return operator.index(whole)


def variables(environment: Mapping[str, str] | None) -> dict[str, str]:
    """Return what `environment` was given.

    Raises:
        OptionError: it holds what cannot be a variable; the value is not shown, which may be a secret.
    """
    found: dict[Any, Any] = dict(environment or {})
    for name, value in found.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            fault = f"its name is of type {type(name).__name__} and its value of type {type(value).__name__}, not text"
        elif not name or "=" in name:
            fault = "its name is empty or holds '='"
        elif "\0" in name + value:
            fault = "it holds a null character"
        else:
            continue
        raise OptionError(
            f"environment[{name!r}] cannot be a variable: {fault}", option="environment", value=environment
        )
    return found
