"""Questions to records, answered from columns: conditions and statistics."""

from __future__ import annotations

import contextlib
import math
import statistics
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memento import averages
from memento.errors import OptionError, UnkeyableValue, UnknownMetric
from memento.hashing import digest
from memento.recording.columns import ABSENT
from memento.scalars import is_time, plain_of

if TYPE_CHECKING:
    from memento.recording.chunks import Chunk
    from memento.recording.records import Records, Rows

NAN = float("nan")
ORDINARY = frozenset({bool, int, float, str, type(None)})
"""Types of which a value is missing where it is None or differs from itself."""


# ── conditions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def rows_meeting(
    records: Records, rows: Sequence[Rows], chunks: Sequence[Chunk], conditions: Mapping[str, Any]
) -> list[Rows]:
    """Return the rows of each chunk that meet all `conditions`.

    Raises:
        UnknownMetric: no record has a name that there is a condition on.
    """
    for name in conditions:
        check_known(records, name)
    tests = {name: _test_of(condition) for name, condition in conditions.items()}
    return [_rows_of(chunk, some, tests) for chunk, some in zip(chunks, rows, strict=True)]


def _rows_of(chunk: Chunk, rows: Rows, tests: Mapping[str, Callable[[Any], bool]]) -> Rows:
    # What holds for a whole chunk is asked first: most conditions are on what the keepers know.
    for name, test in sorted(tests.items(), key=lambda item: item[0] in chunk.columns):
        if not rows:
            return ()
        if name in chunk.columns:
            values = filled(chunk, name)
            rows = [row for row in rows if test(values[row])]
        elif not test(chunk.shared().get(name)):
            return ()
    return rows


def _test_of(condition: Any) -> Callable[[Any], bool]:
    if callable(condition):
        return condition  # type: ignore[no-any-return]
    if isinstance(condition, list | tuple | set | frozenset | range):
        wanted = [_test_of(value) if callable(value) else _test_of_one(value) for value in condition]
        return lambda value: any(test(value) for test in wanted)
    return _test_of_one(condition)


def _test_of_one(condition: Any) -> Callable[[Any], bool]:
    if condition is not None and is_missing(condition):
        kind = type(plain_of(condition))
        return lambda value: type(plain_of(value)) is kind and is_missing(value)
    truth = isinstance(condition, bool)
    return lambda value: isinstance(value, bool) is truth and _equal(value, condition)


def _equal(value: Any, condition: Any) -> bool:
    try:
        same = value == condition
        if getattr(same, "shape", ()) == ():
            return bool(same)
    except Exception:  # strangers' classes compare as they like
        pass
    with contextlib.suppress(UnkeyableValue):  # arrays compare by element
        return digest(value) == digest(condition)
    return False


def filled(chunk: Chunk, name: str) -> Sequence[Any]:
    """Return a value for each row of `chunk`: its own, else what its keepers know, else None."""
    column = chunk.columns[name]
    if column.is_complete:
        return column.rows
    shared = chunk.shared().get(name)
    return [shared if value is ABSENT else value for value in column.rows]


def check_known(records: Records, name: str) -> None:
    """Raise an UnknownMetric if none of `records` has `name`."""
    if not _knows(records, name):
        raise UnknownMetric(name, records.names(), where="recorded here")


def _knows(records: Records, name: str) -> bool:
    nothing = True
    for chunk, _ in records.parts():
        nothing = False
        if name in chunk.columns or name in chunk.shared():
            return True
    return nothing


# ── values ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def values_of(records: Records, name: str) -> list[Any]:
    """Return the value of `name` in each record, None where there is none."""
    return list(column_values(records, name))


def column_values(records: Records, name: str) -> Sequence[Any]:
    """Return the same, as an array where they are numbers of one type."""
    parts = list(_by_chunk(records, name))
    types = {part.typecode if isinstance(part, array) else "" for part in parts}
    if "" in types or len({typecode == "d" for typecode in types}) != 1:
        return [value for part in parts for value in part]
    joined = array(types.pop() if len(types) == 1 else "q")
    for part in parts:
        same = isinstance(part, array) and part.typecode == joined.typecode
        joined.extend(part if same else iter(part))
    return joined


def _by_chunk(records: Records, name: str) -> Iterator[Sequence[Any]]:
    """Yield the values of `name` in each chunk: an array where they are numbers of one type, a value in each row."""
    check_known(records, name)
    for chunk, rows in records.parts():
        if name not in chunk.columns:
            yield [chunk.shared().get(name)] * len(rows)
            continue
        values = filled(chunk, name)
        if isinstance(rows, range) and rows.step == 1:
            yield values if len(rows) == chunk.length else values[rows.start : rows.stop]
        else:
            chosen = [values[row] for row in rows]
            yield array(values.typecode, chosen) if isinstance(values, array) else chosen


def known_values(records: Records, name: str) -> Sequence[Any]:
    """Return the values of `name` that are not missing, as an array where they are numbers of one type."""
    values = column_values(records, name)
    # A sum is NaN if one of the numbers is: a quick look that spares a slow one.
    if isinstance(values, array) and (values.typecode != "d" or not math.isnan(sum(values))):
        return values
    if ORDINARY.issuperset(map(type, values)):
        return [value for value in values if value is not None and value == value]
    return [value for value in values if not is_missing(value)]


def is_missing(value: Any) -> bool:
    """Return whether `value` is None, NaN or its like: NaT, pandas' NA, what is masked.

    >>> import decimal
    >>> is_missing(float("nan")), is_missing(decimal.Decimal("nan")), is_missing(0), is_missing([float("nan")])
    (True, True, False, False)
    """
    if value is None:
        return True
    try:
        same = value == value
    except Exception:  # strangers' classes compare as they like
        return False
    if getattr(same, "shape", ()) != ():  # an array is there, whatever is in it
        return False
    try:
        return not same
    except Exception:
        return same is value  # as pandas' NA, which is neither equal to itself nor different


# ── statistics ──────────────────────────────────────────────────────────────────────────────────────────────────────


def total(name: str, values: Sequence[Any]) -> Any:
    """Return the sum of `values`, as `averages.exact_sum` does."""
    _check_numbers(name, values)
    return averages.exact_sum(values)


def mean(name: str, values: Sequence[Any]) -> float:
    """Return the mean of `values`."""
    _check_numbers(name, values)
    return averages.mean(values)


def deviation(name: str, values: Sequence[Any]) -> float:
    """Return the standard deviation (n - 1) of `values`."""
    _check_numbers(name, values)
    return averages.deviation(values)


def median(name: str, values: Sequence[Any]) -> float:
    """Return the median of `values`."""
    _check_numbers(name, values)
    try:
        return averages.as_float(statistics.median(values)) if values else NAN
    except (TypeError, OverflowError):  # decimals and fractions, which have no order, or integers beyond floats
        return statistics.median(map(averages.as_float, values))


def smallest(name: str, values: Sequence[Any]) -> Any:
    """Return the smallest of `values`."""
    return _extreme(min, name, values)


def largest(name: str, values: Sequence[Any]) -> Any:
    """Return the largest of `values`."""
    return _extreme(max, name, values)


def _extreme(function: Callable[[Sequence[Any]], Any], name: str, values: Sequence[Any]) -> Any:
    try:
        return function(values) if values else NAN
    except (TypeError, ValueError) as error:  # ValueError: arrays compare by element
        raise OptionError(
            f"the values of {name!r} cannot be ordered ({error}); choose some of them with where() first",
            option="name",
            value=name,
        ) from None


def _check_numbers(name: str, values: Sequence[Any]) -> None:
    if isinstance(values, array):
        return
    if ORDINARY.issuperset(map(type, values)) and str not in map(type, values):
        return
    wrong = [value for value in values if not _adds_up(value)]
    if wrong:
        raise OptionError(
            f"{name!r} is not a number but, for example, {wrong[0]!r}; use values() to see them, or where() to leave "
            "out what is not a number",
            option="name",
            value=name,
        )


def _adds_up(value: Any) -> bool:
    if isinstance(value, int | float):
        return True
    # Arrays and times of numpy can be made floats too, where they have one element or a unit that is forgotten.
    return hasattr(type(value), "__float__") and getattr(value, "shape", ()) == () and not is_time(value)
