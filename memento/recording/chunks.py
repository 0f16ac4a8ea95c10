"""A chunk: some records of one keeper as columns. And what a keeper is to those who read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from memento.recording.columns import Column


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

    def shared(self) -> dict[str, Any]:
        """Return what all these records have in common, as it is now."""
        return shared_by(self.level)


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
