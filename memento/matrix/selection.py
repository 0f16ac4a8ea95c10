"""Selections: which positions of a space are configurations, as ordered sets that know count, order and membership."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import filterfalse, islice
from typing import Protocol


class Selection(Protocol):
    """An ordered set of positions; ranks count from 0."""

    count: int

    def at(self, rank: int) -> int:
        """Return the position with this rank, which is in range."""
        ...

    def rank(self, position: int) -> int | None:
        """Return how many positions come before this one; None: it is not selected."""
        ...

    def positions(self, first: int = 0) -> Iterator[int]:
        """Return the positions in order, beginning with the one of rank `first`."""
        ...


class Picked:
    """These positions, in ascending order: eight bytes each."""

    def __init__(self, positions: Iterable[int]) -> None:
        self._positions = array("Q", positions)
        self.count = len(self._positions)

    def at(self, rank: int) -> int:
        """Return the position with this rank."""
        return self._positions[rank]

    def rank(self, position: int) -> int | None:
        """Return how many positions come before this one."""
        rank = bisect_left(self._positions, position)
        return rank if rank < self.count and self._positions[rank] == position else None

    def positions(self, first: int = 0) -> Iterator[int]:
        """Return the positions in order."""
        return islice(self._positions, first, None) if first else iter(self._positions)


class Chain:
    """Selections one after the other, each beyond the positions of the one before."""

    def __init__(self, parts: Iterable[Selection]) -> None:
        self._parts = [part for part in parts if part.count]
        self._firsts = [part.at(0) for part in self._parts]
        self._before = [0]
        for part in self._parts:
            self._before.append(self._before[-1] + part.count)
        self.count = self._before[-1]

    def at(self, rank: int) -> int:
        """Return the position with this rank."""
        number = bisect_right(self._before, rank) - 1
        return self._parts[number].at(rank - self._before[number])

    def rank(self, position: int) -> int | None:
        """Return how many positions come before this one."""
        number = bisect_right(self._firsts, position) - 1
        rank = None if number < 0 else self._parts[number].rank(position)
        return None if rank is None else self._before[number] + rank

    def positions(self, first: int = 0) -> Iterator[int]:
        """Return the positions in order."""
        for part, before in zip(self._parts, self._before, strict=False):
            if first < before + part.count:
                yield from part.positions(max(first - before, 0))


class Without:
    """A selection without some of its positions."""

    def __init__(self, base: Selection, removed: Iterable[int]) -> None:
        self._base = base
        self._removed = frozenset(removed)
        ranks = (base.rank(position) for position in self._removed)
        self._ranks = array("Q", sorted(rank for rank in ranks if rank is not None))
        self.count = base.count - len(self._ranks)

    def at(self, rank: int) -> int:
        """Return the position with this rank."""
        return self._base.at(self._base_rank(rank))

    def rank(self, position: int) -> int | None:
        """Return how many positions come before this one."""
        rank = None if position in self._removed else self._base.rank(position)
        return None if rank is None else rank - bisect_left(self._ranks, rank)

    def positions(self, first: int = 0) -> Iterator[int]:
        """Return the positions in order."""
        if first >= self.count:
            return iter(())
        return filterfalse(self._removed.__contains__, self._base.positions(self._base_rank(first)))

    def _base_rank(self, rank: int) -> int:
        # The removed position number i leaves `_ranks[i] - i` kept ones before it.
        passed = bisect_right(range(len(self._ranks)), rank, key=lambda number: self._ranks[number] - number)
        return rank + passed


class Part:
    """Those of a selection whose ranks are in a range, in the range's order."""

    def __init__(self, base: Selection, ranks: range) -> None:
        self._base = base
        self._ranks = ranks
        self.count = len(ranks)

    def at(self, rank: int) -> int:
        """Return the position with this rank."""
        return self._base.at(self._ranks[rank])

    def rank(self, position: int) -> int | None:
        """Return how many positions come before this one."""
        rank = self._base.rank(position)
        return self._ranks.index(rank) if rank is not None and rank in self._ranks else None

    def positions(self, first: int = 0) -> Iterator[int]:
        """Return the positions in order."""
        ranks = self._ranks[first:]
        if ranks.step == 1:
            return islice(self._base.positions(ranks.start), len(ranks))
        return map(self._base.at, ranks)
