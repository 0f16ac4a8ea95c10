"""Scalars of numpy, torch and their like, told from what they look like: no library of theirs is imported."""

from __future__ import annotations

from typing import Any

_NUMBERS = frozenset({bool, int, float, complex, str, bytes})
_TIMES = frozenset("mM")
_DURATIONS = frozenset({"W", "D", "h", "m", "s", "ms", "us", "ns"})
_DATES = frozenset({"Y", "M"})


def plain_of(value: Any) -> Any:
    """Return the number or text of Python that a scalar, or an array or tensor of no dimension, stands for.

    What none of Python's says exactly is returned as it is: a time of numpy, which may count nanoseconds or be none, a
    number of more digits than a float has, what is masked, a record.
    """
    if getattr(value, "shape", None) != () or not hasattr(value, "item"):
        return value
    if hasattr(value, "mask") or is_time(value):
        return value
    item = value.item()
    return item if type(item) in _NUMBERS else value


def is_time(value: Any) -> bool:
    """Return whether `value` is a datetime64 or a timedelta64 of numpy, or an array of them."""
    return getattr(getattr(value, "dtype", None), "kind", None) in _TIMES


def unit_of(time: Any) -> str:
    """Return the unit of what `is_time`, such as `ns` or `25s`; empty where it has none."""
    return str(time.dtype.name).partition("[")[2][:-1]


def is_common_time(time: Any) -> bool:
    """Return whether pandas and Parquet keep what `is_time` exactly: not years of unknown length, nor picoseconds."""
    return unit_of(time) in (_DATES | _DURATIONS if time.dtype.kind == "M" else _DURATIONS)
