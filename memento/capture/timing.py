"""How long a call took, beside what it returned."""

from __future__ import annotations

from collections.abc import Callable

from memento.capture.call import Clock
from memento.capture.calling import F, decorated
from memento.errors import OptionError


def time_taken(minutes: bool = False, rounding: int = 2) -> Callable[[F], F]:
    """Add to every record how long the function took, as `time_taken`; `capture_time` is the same.

    The time is that of the function alone, without its recorders, wherever this stands among them, and what the
    function returns stays as it is. Where nothing records, the time is added to the dict that the function returns.

    Args:
        minutes: tell minutes instead of seconds.
        rounding: how many decimals.

    Raises:
        OptionError: `rounding` is no whole number.

    Example:
        >>> @time_taken()
        ... def area(width):
        ...     return {"area": width * width}
        >>> area(3)
        {'area': 9, 'time_taken': 0.0}
    """
    if type(rounding) is not int:
        raise OptionError(
            f"rounding={rounding!r}: give a number of decimals; and write @time_taken() with its parentheses",
            option="rounding",
            value=rounding,
        )
    if callable(minutes):
        raise OptionError("write @time_taken() with its parentheses", option="minutes", value=minutes)
    return lambda func: decorated(func, clock=Clock(minutes=minutes, rounding=rounding))


capture_time = time_taken
