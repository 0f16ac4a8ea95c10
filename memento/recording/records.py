"""Record and Records: the flat view of what keepers have recorded, and questions to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

from memento.recording.chunks import Chunk, StoredLevel, lineage
from memento.recording.columns import ABSENT, column_of

if TYPE_CHECKING:
    import pandas as pd

    from memento.recording.groups import Groups

Rows = Sequence[int]


class Record(Mapping[str, Any]):
    """One record: a read-only dict of its own values and of all that its keepers know; of equal names, the nearest.

    A key that nobody has reads as None by indexing; `in`, `get`, `keys()` and `len` tell what there is.

    Example:
        >>> from memento import RecordKeeper
        >>> keeper = RecordKeeper(model="svm")
        >>> keeper.push(loss=0.5)
        >>> record = keeper.records[0]
        >>> record["model"], record["loss"], record["epoch"]
        ('svm', 0.5, None)
        >>> "epoch" in record, record.get("epoch", -1), dict(record)
        (False, -1, {'model': 'svm', 'loss': 0.5})
    """

    __slots__ = ("_chunk", "_row")

    def __init__(self, chunk: Chunk, row: int) -> None:
        self._chunk = chunk
        self._row = row

    def get(self, name: str, default: Any = None) -> Any:
        """Return what the record or the nearest of its keepers has for `name`, else `default`."""
        column = self._chunk.columns.get(name)
        if column is not None:
            value = column.rows[self._row]
            if value is not ABSENT:
                return value
        for level in lineage(self._chunk.level):
            if name in level.data:
                return level.data[name]
        return default

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return self.get(name, ABSENT) is not ABSENT  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def own(self) -> dict[str, Any]:
        """Return the record's own values, without what its keepers know."""
        values = ((name, column.rows[self._row]) for name, column in self._chunk.columns.items())
        return {name: value for name, value in values if value is not ABSENT}

    def _all(self) -> dict[str, Any]:
        return {**self._chunk.shared(), **self.own()}

    def __repr__(self) -> str:
        return f"Record({self._all()!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _record_of, (self.own(), self._chunk.shared())


def _record_of(own: dict[str, Any], shared: dict[str, Any]) -> Record:
    columns = {name: column for name, value in own.items() if (column := column_of([value])) is not None}
    return Record(Chunk(StoredLevel(shared), 1, columns), 0)


class Records(Sequence[Record]):
    """Records, one after another, without having made any of them: each is made when it is read.

    Questions are answered from the columns. `None`, NaN and their like (NaT, pandas' NA) take no part in `mean`,
    `sum`, `min`, `max`, `std`, `median` and `count`; where nothing takes part, the sum is 0 and the others but `count`
    are NaN.

    Example:
        >>> from memento import RecordKeeper
        >>> keeper = RecordKeeper()
        >>> for model in "svm", "tree":
        ...     losses = keeper.sub_record_keeper(model=model)
        ...     for index in range(3):
        ...         losses.push(index=index, loss=index + len(model))
        >>> keeper.records.where(model="svm").mean("loss")
        4.0
        >>> keeper.records.groupby("model").max("loss")
        {'svm': 5, 'tree': 6}
        >>> keeper.records.where(index=lambda index: index > 0).values("loss")
        [4, 5, 5, 6]
    """

    def __init__(self, chunks: Sequence[Chunk], rows: Sequence[Rows] | None = None) -> None:
        self._chunks = chunks
        self._rows: Sequence[Rows] = [range(chunk.length) for chunk in chunks] if rows is None else rows
        self._ends: list[int] | None = None

    # ── a sequence ──────────────────────────────────────────────────────────────────────────────────────────────────

    def parts(self) -> Iterator[tuple[Chunk, Rows]]:
        """Yield each chunk that has some of these records, with their rows in it."""
        return ((chunk, rows) for chunk, rows in zip(self._chunks, self._rows, strict=True) if rows)

    def __len__(self) -> int:
        return sum(map(len, self._rows))

    def __iter__(self) -> Iterator[Record]:
        return (Record(chunk, row) for chunk, rows in self.parts() for row in rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Record | Records:
        import bisect

        if self._ends is None:
            self._ends = list(itertools.accumulate(map(len, self._rows)))
        if isinstance(index, slice):
            return self._slice(range(len(self))[index])
        try:
            position = range(len(self))[index]
        except IndexError:
            are = f"these are {len(self):,}, from 0 to {len(self) - 1:,}" if len(self) else "there are none"
            raise IndexError(f"there is no record {index}: {are}") from None
        part = bisect.bisect_right(self._ends, position)
        before = self._ends[part] - len(self._rows[part])
        return Record(self._chunks[part], self._rows[part][position - before])

    def _slice(self, wanted: range) -> Records:
        if wanted.step != 1:
            picked = [self[index] for index in wanted]
            return Records([record._chunk for record in picked], [[record._row] for record in picked])
        rows, before = list[Rows](), 0
        for part in self._rows:
            rows.append(part[max(0, wanted.start - before) : max(0, wanted.stop - before)])
            before += len(part)
        return Records(self._chunks, rows)

    @classmethod
    def joined(cls, many: Iterable[Records]) -> Records:
        """Return the records of each of `many`, one after another."""
        parts = [part for records in many for part in records.parts()]
        return cls([chunk for chunk, _ in parts], [rows for _, rows in parts])

    def __add__(self, other: Records) -> Records:
        """Return these records and then the others."""
        return Records.joined((self, other))

    def __reduce__(self) -> tuple[Any, ...]:
        return Records, (list(self._chunks), list(self._rows))

    def __repr__(self) -> str:
        return f"Records({len(self):,} with {', '.join(self.names()) or 'no names'})"

    def names(self) -> list[str]:
        """Return every name that any of these records or of their keepers has: first what the keepers know."""
        shared = dict.fromkeys(name for level in self._levels() for name in level.data)
        return list(shared | dict.fromkeys(name for chunk, _ in self.parts() for name in chunk.columns))

    def shared_names(self) -> list[str]:
        """Return the names that the keepers know."""
        return list(dict.fromkeys(name for level in self._levels() for name in level.data))

    def _levels(self) -> list[Any]:
        found = {id(chunk.level): chunk.level for chunk, _ in self.parts()}
        return list({id(level): level for each in found.values() for level in reversed(list(lineage(each)))}.values())

    # ── questions ───────────────────────────────────────────────────────────────────────────────────────────────────

    def where(self, **conditions: Any) -> Records:
        """Return the records that meet all `conditions`.

        A condition on a name is a value (equal by ``==``, but 1 is not True, and NaN finds NaN), a list, tuple or set
        of values of which one has to be equal, or a function of the value. A name that a record does not have reads as
        None.

        Raises:
            UnknownMetric: no record has that name.

        Example:
            ``collection.where(training=True, model=["svm", "tree"], index=lambda index: index < 500)``
        """
        from memento.recording.statistics import rows_meeting

        return Records(self._chunks, rows_meeting(self, self._rows, self._chunks, conditions))

    def values(self, name: str) -> list[Any]:
        """Return the value of `name` in each record, None where there is none."""
        from memento.recording.statistics import values_of

        return values_of(self, name)

    def count(self, name: Any = None) -> int:
        """Return how many records there are; with a name: how many have a value of it but None, NaN and their like."""
        from memento.recording.statistics import known_values

        return len(self) if name is None else len(known_values(self, name))

    def sum(self, name: str) -> Any:
        """Return the sum of `name`; exact for integers, rounded once for floats."""
        return self._of("total", name)

    def mean(self, name: str) -> float:
        """Return the mean of `name`."""
        return float(self._of("mean", name))

    def std(self, name: str) -> float:
        """Return the standard deviation of `name` (n - 1); NaN for fewer than two values."""
        return float(self._of("deviation", name))

    def median(self, name: str) -> float:
        """Return the median of `name`; between the two in the middle where there is an even number."""
        return float(self._of("median", name))

    def min(self, name: str) -> Any:
        """Return the smallest value of `name`."""
        return self._of("smallest", name)

    def max(self, name: str) -> Any:
        """Return the largest value of `name`."""
        return self._of("largest", name)

    def _of(self, statistic: str, name: str) -> Any:
        from memento.recording import statistics

        return getattr(statistics, statistic)(name, statistics.known_values(self, name))

    def groupby(self, *names: str) -> Groups:
        """Return the records by the values of `names`: a dict of Records that answers the same questions for each.

        What a dict takes for one key is one group, as 1, 1.0 and True are; so is NaN, however many there are.

        Raises:
            UnknownMetric: no record has that name.
            OptionError: a value cannot be a key of a dict, such as a list or an array.

        Example:
            ``collection.groupby("model", "training").mean("loss")  # {("svm", True): 0.1, ...}``
        """
        from memento.recording.groups import groups_of

        return groups_of(self, names)

    # ── for other programs ──────────────────────────────────────────────────────────────────────────────────────────

    def to_frame(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each record and a column for each name.

        Raises:
            MissingExtra: pandas is not installed.
        """
        from memento.recording.frames import frame_of

        return frame_of(self)

    def to_parquet(self, folder: str | PathLike[str], partition_by: Sequence[str] | None = None) -> None:
        """Write the records as Parquet files below `folder`, which has to be empty or new.

        DuckDB, polars, Spark and pandas read the folder as one table, whose partitions are folders such as
        ``model=svm/training=true``. Left out, `partition_by` is what the keepers know, without their times.

        Raises:
            MissingExtra: pyarrow is not installed.
            OptionError: there is something in the folder, or no record has a name of `partition_by`.
        """
        from memento.recording.parquet import write_parquet

        write_parquet(self, folder, partition_by)
