"""Questions to records, answered from columns: conditions, statistics, groups."""

from __future__ import annotations

import contextlib
import math
import statistics
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memento.errors import OptionError, UnkeyableValue, UnknownMetric
from memento.hashing import digest
from memento.recording.columns import ABSENT, PICKLED

if TYPE_CHECKING:
    from memento.recording.chunks import Chunk
    from memento.recording.records import Records, Rows

NAN = float("nan")


# ── conditions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def rows_meeting(
    records: Records, rows: Sequence[Rows], chunks: Sequence[Chunk], conditions: Mapping[str, Any]
) -> list[Rows]:
    """Return the rows of each chunk that meet all `conditions`.

    Raises:
        UnknownMetric: no record has a name that there is a condition on.
    """
    for name in conditions:
        _check_known(records, name)
    tests = {name: _test_of(condition) for name, condition in conditions.items()}
    return [_rows_of(chunk, some, tests) for chunk, some in zip(chunks, rows, strict=True)]


def _rows_of(chunk: Chunk, rows: Rows, tests: Mapping[str, Callable[[Any], bool]]) -> Rows:
    # What holds for a whole chunk is asked first: most conditions are on what the keepers know.
    for name, test in sorted(tests.items(), key=lambda item: item[0] in chunk.columns):
        if not rows:
            return ()
        if name in chunk.columns:
            values = _filled(chunk, name)
            rows = [row for row in rows if test(values[row])]
        elif not test(chunk.shared().get(name)):
            return ()
    return rows


def _test_of(condition: Any) -> Callable[[Any], bool]:
    if callable(condition):
        return condition  # type: ignore[no-any-return]
    if isinstance(condition, list | tuple | set | frozenset | range):
        wanted = [_test_of(value) for value in condition]
        return lambda value: any(test(value) for test in wanted)
    truth = isinstance(condition, bool)
    return lambda value: isinstance(value, bool) is truth and _equal(value, condition)


def _equal(value: Any, condition: Any) -> bool:
    try:
        return bool(value == condition)
    except Exception:  # arrays compare by element, and strangers' classes as they like
        with contextlib.suppress(UnkeyableValue):
            return digest(value) == digest(condition)
        return False


def _filled(chunk: Chunk, name: str) -> Sequence[Any]:
    """Return a value for each row of `chunk`: its own, else what its keepers know, else None."""
    column = chunk.columns[name]
    if column.is_complete:
        return column.rows
    shared = chunk.shared().get(name)
    return [shared if value is ABSENT else value for value in column.rows]


def _check_known(records: Records, name: str) -> None:
    if not _is_known(records, name):
        raise UnknownMetric(name, records.names(), where="recorded here")


def _is_known(records: Records, name: str) -> bool:
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
    _check_known(records, name)
    for chunk, rows in records.parts():
        if name not in chunk.columns:
            yield [chunk.shared().get(name)] * len(rows)
            continue
        values = _filled(chunk, name)
        if isinstance(rows, range) and rows.step == 1:
            yield values if len(rows) == chunk.length else values[rows.start : rows.stop]
        else:
            chosen = [values[row] for row in rows]
            yield array(values.typecode, chosen) if isinstance(values, array) else chosen


def known_values(records: Records, name: str) -> Sequence[Any]:
    """Return the values of `name` that are neither None nor NaN, as an array where they are numbers of one type."""
    values = column_values(records, name)
    # A sum is NaN if one of the numbers is: a quick look that spares a slow one.
    if isinstance(values, array) and (values.typecode != "d" or not math.isnan(sum(values))):
        return values
    return [value for value in values if value is not None and value == value]


# ── statistics ──────────────────────────────────────────────────────────────────────────────────────────────────────


def total(name: str, values: Sequence[Any]) -> Any:
    """Return the sum of `values`, exact for integers and rounded once for floats."""
    _check_numbers(name, values)
    floats = values.typecode == "d" if isinstance(values, array) else float in set(map(type, values))
    try:
        return math.fsum(values) if floats else sum(values)
    except (OverflowError, ValueError):  # beyond the largest float on the way, or both infinities
        return sum(values)


def mean(name: str, values: Sequence[Any]) -> float:
    """Return the mean of `values`."""
    return total(name, values) / len(values) if values else NAN


def deviation(name: str, values: Sequence[Any]) -> float:
    """Return the standard deviation (n - 1) of `values`."""
    middle = mean(name, values)
    if len(values) < 2:
        return NAN
    return math.dist(values, [middle] * len(values)) / math.sqrt(len(values) - 1)


def median(name: str, values: Sequence[Any]) -> float:
    """Return the median of `values`."""
    _check_numbers(name, values)
    return statistics.median(values) if values else NAN


def smallest(name: str, values: Sequence[Any]) -> Any:
    """Return the smallest of `values`."""
    return _extreme(min, name, values)


def largest(name: str, values: Sequence[Any]) -> Any:
    """Return the largest of `values`."""
    return _extreme(max, name, values)


def _extreme(function: Callable[[Sequence[Any]], Any], name: str, values: Sequence[Any]) -> Any:
    try:
        return function(values) if values else NAN
    except TypeError as error:
        raise OptionError(
            f"the values of {name!r} cannot be ordered ({error}); choose some of them with where() first",
            option="name",
            value=name,
        ) from None


def _check_numbers(name: str, values: Sequence[Any]) -> None:
    if isinstance(values, array):
        return
    wrong = next((kind for kind in set(map(type, values)) if not issubclass(kind, int | float)), None)
    if wrong is not None and not hasattr(wrong, "__float__"):
        example = next(value for value in values if type(value) is wrong)
        raise OptionError(
            f"{name!r} is not a number but, for example, {example!r}; use values() to see them, or where() to leave "
            "out what is not a number",
            option="name",
            value=name,
        )


# ── groups ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Groups(dict[Any, "Records"]):
    """Records by the value of one name, or by the tuple of the values of several; in the order of their first record.

    What is asked of it is asked of each group: the answer is a dict.
    """

    def count(self, name: str | None = None) -> dict[Any, int]:
        """Return the count for each group."""
        return {key: records.count(name) for key, records in self.items()}

    def sum(self, name: str) -> dict[Any, Any]:
        """Return the sum for each group."""
        return {key: records.sum(name) for key, records in self.items()}

    def mean(self, name: str) -> dict[Any, float]:
        """Return the mean for each group."""
        return {key: records.mean(name) for key, records in self.items()}

    def std(self, name: str) -> dict[Any, float]:
        """Return the standard deviation (n - 1) for each group."""
        return {key: records.std(name) for key, records in self.items()}

    def median(self, name: str) -> dict[Any, float]:
        """Return the median for each group."""
        return {key: records.median(name) for key, records in self.items()}

    def min(self, name: str) -> dict[Any, Any]:
        """Return the smallest value for each group."""
        return {key: records.min(name) for key, records in self.items()}

    def max(self, name: str) -> dict[Any, Any]:
        """Return the largest value for each group."""
        return {key: records.max(name) for key, records in self.items()}


def groups_of(records: Records, names: Sequence[str]) -> Groups:
    """Return `records` by the values of `names`; values that a dict takes for one key, as 1 and True, are one group."""
    groups = Groups()
    for key, some in told_apart_by(records, names):
        alone = key[0] if len(names) == 1 else key
        groups[alone] = groups[alone] + some if alone in groups else some
    return groups


def told_apart_by(records: Records, names: Sequence[str]) -> list[tuple[tuple[Any, ...], Records]]:
    """Return the values of `names` that there are, and with them their records; 1 and True are two, NaN is one."""
    from memento.recording.records import Records

    for name in names:
        _check_known(records, name)
    found: dict[Any, tuple[tuple[Any, ...], list[Chunk], list[Rows]]] = {}
    for chunk, rows in records.parts():
        for key, some in _split(chunk, rows, names):
            _, chunks, kept = found.setdefault(_identity(key), (key, [], []))
            chunks.append(chunk)
            kept.append(some)
    return [(key, Records(chunks, kept)) for key, chunks, kept in found.values()]


def _identity(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what is equal for two keys of one group alone."""
    return tuple((isinstance(value, bool), value if value == value else "NaN") for value in key)


def _split(chunk: Chunk, rows: Rows, names: Sequence[str]) -> Iterable[tuple[tuple[Any, ...], Rows]]:
    shared = chunk.shared()
    own = [chunk.columns[name] for name in names if name in chunk.columns]
    if not own:
        return [(tuple(shared.get(name) for name in names), rows)]
    # Where all values are of one type, and not floats, they tell themselves apart.
    identity = _identity if any(column.mask or column.kind in (PICKLED, "d") for column in own) else tuple
    columns = [_filled(chunk, name) if name in chunk.columns else None for name in names]
    split: dict[Any, tuple[tuple[Any, ...], list[int]]] = {}
    for row in rows:
        key = tuple(
            shared.get(name) if column is None else column[row] for name, column in zip(names, columns, strict=True)
        )
        split.setdefault(identity(key), (key, []))[1].append(row)
    return split.values()
