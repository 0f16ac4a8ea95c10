"""Sums, means and deviations: exact of integers, rounded once of floats, infinite or NaN where numbers diverged."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from operator import mul
from typing import Any

_INTEGERS = frozenset({int, bool})


def exact_sum(values: Sequence[Any]) -> Any:
    """Return the sum of `values`: numbers, or what can be made a float.

    Example:
        >>> exact_sum([0.1] * 10), exact_sum([2**60, 1]) - 2**60, exact_sum([1e308, 1e308])
        (1.0, 1, inf)
    """
    has_floats = values.typecode == "d" if isinstance(values, array) else float in set(map(type, values))
    try:
        return math.fsum(values) if has_floats else sum(values)
    except (OverflowError, ValueError):  # beyond the largest float, maybe on the way only, or both infinities
        return sum(map(as_float, values))
    except TypeError:  # decimals and fractions, which do not add up
        return math.fsum(values)


def mean(values: Sequence[Any]) -> float:
    """Return the mean of `values`, NaN of none.

    Example:
        >>> mean([1, 2]), mean([10**400, 1])
        (1.5, inf)
    """
    if not values:
        return math.nan
    total = exact_sum(values)
    try:
        return total / len(values)  # type: ignore[no-any-return]
    except OverflowError:
        return as_float(total)


def deviation(values: Sequence[Any]) -> float:
    """Return the standard deviation (n - 1) of `values`, NaN of fewer than two.

    Example:
        >>> deviation([1, 3]), deviation([2**60, 2**60 + 2])
        (1.4142135623730951, 1.4142135623730951)
    """
    many, middle = len(values), as_float(mean(values))
    if many < 2:
        return math.nan
    if _are_integers(values) and math.isfinite(middle):  # whose mean may lie between two floats
        total = sum(values)
        above = many * sum(map(mul, values, values)) - total * total
        try:
            return math.sqrt(above / (many * (many - 1)))
        except OverflowError:
            return math.inf
    distances = [as_float(value) - middle for value in values]
    # Where ** raises and `math.dist` goes on, this gives infinity, as numpy does.
    return math.sqrt(exact_sum(list(map(mul, distances, distances))) / (many - 1))


def as_float(number: Any) -> float:
    """Return `number` as a float, infinite where it is an integer that no float comes near."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _are_integers(values: Sequence[Any]) -> bool:
    return values.typecode != "d" if isinstance(values, array) else _INTEGERS.issuperset(map(type, values))
