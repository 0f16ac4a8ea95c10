"""Records in groups: by the values that one name or several have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from memento.errors import OptionError
from memento.recording.columns import ABSENT, PICKLED
from memento.recording.statistics import ORDINARY, check_known, filled, is_missing, values_of
from memento.scalars import plain_of

if TYPE_CHECKING:
    from memento.recording.chunks import Chunk
    from memento.recording.records import Records, Rows


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
    """Return `records` by the values of `names`; values that a dict takes for one key, as 1 and True, are one group.

    Raises:
        UnknownMetric: no record has one of `names`.
        OptionError: a value cannot be a key of a dict.
    """
    groups = Groups()
    for key, some in told_apart_by(records, names):
        alone = key[0] if len(names) == 1 else key
        groups[alone] = groups[alone] + some if alone in groups else some
    return groups


def told_apart_by(records: Records, names: Sequence[str]) -> list[tuple[tuple[Any, ...], Records]]:
    """Return the values of `names` that there are, and with them their records; 1 and True are two, NaN is one.

    Raises:
        UnknownMetric: no record has one of `names`.
        OptionError: a value cannot be a key of a dict.
    """
    from memento.recording.records import Records

    for name in names:
        check_known(records, name)
    found: dict[Any, tuple[tuple[Any, ...], list[Chunk], list[Rows]]] = {}
    for chunk, rows in records.parts():
        try:
            for key, some in _split(chunk, rows, names):
                hash(key)
                _, chunks, kept = found.setdefault(_identity(key), (key, [], []))
                chunks.append(chunk)
                kept.append(some)
        except TypeError:
            _refuse_unhashable(records, names)
            raise
    return [(key, Records(chunks, kept)) for key, chunks, kept in found.values()]


def _refuse_unhashable(records: Records, names: Sequence[str]) -> None:
    """Raise an OptionError if a value of one of `names` cannot be a key of a dict."""
    for name in names:
        for value in values_of(records, name):
            try:
                hash(value)
            except TypeError:
                raise OptionError(
                    f"values of {name!r} such as {value!r} cannot be keys of a dict, so there are no groups by them; "
                    "record a text or a tuple to group by, or choose records with where()",
                    option="names",
                    value=name,
                ) from None


def _identity(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what is equal for two keys of one group alone."""
    return tuple((isinstance(value, bool), value if _is_ordinary(value) else _told(value)) for value in key)


def _is_ordinary(value: Any) -> bool:
    return type(value) in ORDINARY and value == value


def _told(value: Any) -> Any:
    """Return `value`, or where it is missing something that is equal for all such values of its type."""
    if value is not None and is_missing(value):
        return ABSENT, type(plain_of(value))
    return value


def _split(chunk: Chunk, rows: Rows, names: Sequence[str]) -> Iterable[tuple[tuple[Any, ...], Rows]]:
    shared = chunk.shared()
    own = [chunk.columns[name] for name in names if name in chunk.columns]
    if not own:
        return [(tuple(shared.get(name) for name in names), rows)]
    # Where all values are of one type, and not floats, they tell themselves apart.
    identity = _identity if any(column.mask or column.kind in (PICKLED, "d") for column in own) else tuple
    columns = [filled(chunk, name) if name in chunk.columns else None for name in names]
    split: dict[Any, tuple[tuple[Any, ...], list[int]]] = {}
    for row in rows:
        key = tuple(
            shared.get(name) if column is None else column[row] for name, column in zip(names, columns, strict=True)
        )
        split.setdefault(identity(key), (key, []))[1].append(row)
    return split.values()
