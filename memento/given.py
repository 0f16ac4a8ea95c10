"""What users give, checked where it is given: later it would end a run, or have it wait for ever."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from memento.errors import OptionError
from memento.names import nearest


def as_number(value: Any) -> float | None:
    """Return `value`, which may be numpy's, as a number of Python's; None where it is none, or a truth value."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:  # also by arrays, which have the method
        return float(value) if isinstance(value, Real) else None


def as_whole(value: Any) -> int | None:
    """Return `value`, which may be numpy's, or a float such as 3.0, as a whole number; None where it is none."""
    found = as_number(value)
    if isinstance(found, float):
        return int(found) if found.is_integer() else None
    return found


def number(option: str, value: Any, least: int, *, finite: bool = True) -> float:
    """Return the number that `option` was given.

    Raises:
        OptionError: it is no number from `least` on, or, where it has to be, not `finite`.
    """
    found = as_number(value)
    if found is None or not found >= least or (finite and found == math.inf):
        kind = "finite number" if finite else "number"
        raise OptionError(f"{option}={value!r} is not a {kind} from {least} on", option=option, value=value)
    return found


def seconds(option: str, value: Any) -> float:
    """Return the time that `option` was given.

    Raises:
        OptionError: it is no finite number above 0.
    """
    found = as_number(value)
    if found is None or not 0 < found < math.inf:
        raise OptionError(f"{option}={value!r} is not a number of seconds above 0", option=option, value=value)
    return found


def whole(option: str, value: Any, least: int, hint: str = "") -> int:
    """Return the whole number that `option` was given.

    Raises:
        OptionError: it is none from `least` on; the message ends with `hint`.
    """
    found = as_whole(value)
    if found is None or found < least:
        raise OptionError(f"{option}={value!r} is not a whole number from {least} on{hint}", option=option, value=value)
    return found


def worker_count(value: Any, option: str = "workers") -> int | None:
    """Return the number of workers that `option` was given, None where it is left to us.

    Raises:
        OptionError: it is not a whole number from 1 on.
    """
    return None if value is None else whole(option, value, 1, "; leave it out for one worker per CPU")


def one_of(option: str, value: Any, allowed: Sequence[Any]) -> None:
    """Raise OptionError, with the nearest word, unless `value` is one of `allowed`."""
    if value not in allowed:
        near = nearest(value, [word for word in allowed if isinstance(word, str)])
        raise OptionError(
            f"{option}={value!r} is not one of {', '.join(map(repr, allowed))}{near}", option=option, value=value
        )


def texts(option: str, value: Iterable[str]) -> tuple[str, ...]:
    """Return the texts that `option` was given.

    Raises:
        OptionError: it is one text, whose letters would count as texts, or not all are texts.
    """
    found: tuple[Any, ...] = (None,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(one, str) for one in found):
        hint = f"; write [{value!r}]" if isinstance(value, str) else ""
        raise OptionError(f"{option}={value!r} is not a list of texts{hint}", option=option, value=value)
    return found


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
