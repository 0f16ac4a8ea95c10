"""A chunk: some records of one keeper as columns. And what a keeper is to those who read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from memento.recording.columns import ABSENT, PICKLED, Column, column_of

WIDEST_UNION = 64
"""Records of different names share columns up to here; beyond, each kind of record gets columns of its own."""


MANY_CHUNKS, SMALL = 64, 64


class Level(Protocol):
    """A keeper as its records see it; alive or read from a file."""

    @property
    def data(self) -> Mapping[str, Any]:
        """What all records below have in common."""
        ...

    @property
    def parent(self) -> Level | None:
        """The keeper above."""
        ...


class StoredLevel:
    """A keeper read from a file."""

    __slots__ = ("data", "parent")

    def __init__(self, data: Mapping[str, Any] | None = None, parent: Level | None = None) -> None:
        self.data: Mapping[str, Any] = data or {}
        self.parent = parent


class Chunk:
    """Some records of one keeper: `length` rows, and a column for each name that any of them has."""

    __slots__ = ("columns", "length", "level")

    def __init__(self, level: Level, length: int, columns: dict[str, Column]) -> None:
        self.level = level
        self.length = length
        self.columns = columns

    def __reduce__(self) -> tuple[Any, ...]:
        return Chunk, (StoredLevel(self.shared()), self.length, self.columns)

    def shared(self) -> dict[str, Any]:
        """Return what all these records have in common, as it is now."""
        return shared_by(self.level)


def merged(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Return the same records in as few chunks as may be: those of a level in one, in the order they have."""
    by_level: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        by_level.setdefault(id(chunk.level), []).append(chunk)
    return [whole for some in by_level.values() for run in _alike(some) for whole in _merged_of_one_level(run)]


def join_last(chunks: list[Chunk]) -> None:
    """Join the last ones of `chunks` in place, now and then, where they are small.

    Who looks at the records after each of them would leave a chunk for each of them.
    """
    if len(chunks) % MANY_CHUNKS == 0:
        last = chunks[-MANY_CHUNKS:]
        if sum(chunk.length for chunk in last) < SMALL * MANY_CHUNKS:
            chunks[-MANY_CHUNKS:] = merged(last)


def _alike(chunks: list[Chunk]) -> Iterator[list[Chunk]]:
    """Yield runs of `chunks` that together have not too many names: a column costs something in each row."""
    run, names = list[Chunk](), set[str]()
    for chunk in chunks:
        if run and not names.issuperset(chunk.columns) and len(names.union(chunk.columns)) > WIDEST_UNION:
            yield run
            run, names = [], set()
        run.append(chunk)
        names.update(chunk.columns)
    yield run


def _merged_of_one_level(chunks: list[Chunk]) -> list[Chunk]:
    if any(column.kind == PICKLED for chunk in chunks for column in chunk.columns.values()):
        return chunks  # whose bytes are kept as they are, because loading them may need more than is at hand
    columns = {}
    for name in dict.fromkeys(name for chunk in chunks for name in chunk.columns):
        values: list[Any] = []
        for chunk in chunks:
            column = chunk.columns.get(name)
            values += [ABSENT] * chunk.length if column is None else column.rows
        whole = column_of(values)
        if whole is not None:
            columns[name] = whole
    return [Chunk(chunks[0].level, sum(chunk.length for chunk in chunks), columns)]


def lineage(level: Level | None) -> Iterator[Level]:
    """Yield `level`, its parent, and so on up."""
    while level is not None:
        yield level
        level = level.parent


def shared_by(level: Level) -> dict[str, Any]:
    """Return the data of `level` and of all above it; of equal names the nearest counts."""
    shared: dict[str, Any] = {}
    for each in reversed(list(lineage(level))):
        shared.update(each.data)
    return shared
