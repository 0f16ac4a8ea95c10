"""Diagram: a product from which boxes are cut, counted and indexed without listing it.

A rule of values (`{"model": SVC, "dataset": "cifar10"}`) is a box in the product. Going down axis by axis, all that
decides about the rest is which rules are still alive, so the diagram has one node for each (axis, living rules),
however many positions there are::

    axis 0: model    SVC ─────────────┐           others ───┐
    axis 1: dataset  cifar10: cut     others: 1 ┐           all: 1 ┐
    axis 2: …                                   └── everything ────┘
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import chain
from typing import NamedTuple

_PATTERN = 4096


class Cut(NamedTuple):
    """What is cut from a product: where box `box` is alive and none of the boxes `unless` is.

    Boxes are numbered; `unless` has their bits. An exclude is a box cut as it is; a matrix of a union that came
    earlier is cut out of a later one as its product, unless its own excludes apply.
    """

    box: int
    unless: int = 0


Box = Mapping[int, frozenset[int]]
"""For some axes, the indices that it spans; it spans all of the others."""


class _Node:
    """What is kept below one choice of indices: segments of indices of one axis that have the same child.

    `firsts[k]` is the first index of segment k, `lengths[k]` its length, `before[k]` how many are kept in earlier ones.
    Without children everything is kept.
    """

    __slots__ = ("before", "children", "count", "firsts", "lengths", "pattern", "size")

    def __init__(self, size: int, segments: Sequence[tuple[int, int, _Node]] | None) -> None:
        self.size = size
        self.firsts: list[int] = []
        self.lengths: list[int] = []
        self.before: list[int] = []
        self.children: list[_Node] | None = None
        self.pattern: list[tuple[int, int]] | None = None
        self.count = size
        if segments is not None:
            self.count = 0
            self.children = []
            for first, length, child in segments:
                self.firsts.append(first)
                self.lengths.append(length)
                self.before.append(self.count)
                self.children.append(child)
                self.count += length * child.count


class Diagram:
    """The product of axes of these `sizes`, without what is cut; its positions begin at `start`."""

    def __init__(
        self, sizes: Sequence[int], boxes: Sequence[Box] = (), cuts: Sequence[Cut] = (), *, start: int = 0
    ) -> None:
        self.start = start
        self._root = _Builder(sizes, boxes, cuts).node(0, (1 << len(boxes)) - 1)
        self.count = self._root.count

    def at(self, rank: int) -> int:
        """Return the position with this rank."""
        node, position = self._root, self.start
        while node.children is not None:
            segment = bisect_right(node.before, rank) - 1
            child = node.children[segment]
            index, rank = divmod(rank - node.before[segment], child.count)
            position += (node.firsts[segment] + index) * child.size
            node = child
        return position + rank

    def rank(self, position: int) -> int | None:
        """Return how many positions come before this one."""
        node, rest, rank = self._root, position - self.start, 0
        if not 0 <= rest < node.size:
            return None
        while node.children is not None:
            if not node.children:
                return None
            index, rest = divmod(rest, node.children[0].size)
            segment = bisect_right(node.firsts, index) - 1
            beyond = index - node.firsts[segment]
            if segment < 0 or beyond >= node.lengths[segment]:
                return None
            child = node.children[segment]
            rank += node.before[segment] + beyond * child.count
            node = child
        return rank + rest

    def positions(self, first: int = 0) -> Iterator[int]:
        """Return the positions in order."""
        return chain.from_iterable(_runs(self._root, self.start, first))

    def in_groups(self, size: int) -> Diagram:
        """Return which groups of so many positions have any left, numbered from 0; the last axes make up a group."""
        groups = copy(self)
        groups.start, groups._root = 0, _grouped(self._root, size, {})
        groups.count = groups._root.count
        return groups


class _Builder:
    """Makes the nodes of one diagram, each once."""

    def __init__(self, sizes: Sequence[int], boxes: Sequence[Box], cuts: Sequence[Cut]) -> None:
        self._sizes = sizes
        self._below = [1]
        for size in reversed(sizes):
            self._below.append(self._below[-1] * size)
        self._below.reverse()
        # A box is decided after the last axis that it names: alive then means that it spans all that is left.
        decided = [max(box, default=-1) + 1 for box in boxes]
        self._decided = [
            sum(1 << number for number, after in enumerate(decided) if after <= axis) for axis in range(len(sizes) + 1)
        ]
        self._plain = sum(1 << cut.box for cut in cuts if not cut.unless)
        self._guarded = [cut for cut in cuts if cut.unless]
        self._marks = [_marks_of(axis, boxes) for axis in range(len(sizes))]
        self._nodes: dict[tuple[int, int], _Node] = {}

    def node(self, axis: int, alive: int) -> _Node:
        """Return what is kept of the axes from `axis` on where these boxes are alive (as bits)."""
        alive = self._relevant(axis, alive)
        if (axis, alive) not in self._nodes:
            self._nodes[axis, alive] = self._made(axis, alive)
        return self._nodes[axis, alive]

    def _relevant(self, axis: int, alive: int) -> int:
        """Return those of the living boxes on which something still depends; -1 where everything is cut."""
        decided = self._decided[axis]
        relevant = alive & self._plain
        if relevant & decided:
            return -1
        for box, unless in self._guarded:
            blocking = alive & unless
            if not alive >> box & 1 or blocking & decided:
                continue
            if not blocking and decided >> box & 1:
                return -1
            relevant |= 1 << box | blocking
        return relevant

    def _made(self, axis: int, alive: int) -> _Node:
        below = self._below[axis]
        if alive == -1:
            return _Node(below, [])
        if alive == 0 or below == 0:
            return _Node(below, None)
        marks, unmarked = self._marks[axis]
        segments: list[tuple[int, int, _Node]] = []
        following = 0
        for index, spanning in marks:
            self._add(segments, following, index, self.node(axis + 1, alive & unmarked))
            self._add(segments, index, index + 1, self.node(axis + 1, alive & spanning))
            following = index + 1
        self._add(segments, following, self._sizes[axis], self.node(axis + 1, alive & unmarked))
        return _Node(below, segments)

    @staticmethod
    def _add(segments: list[tuple[int, int, _Node]], first: int, end: int, child: _Node) -> None:
        if first == end or not child.count:
            return
        if segments and segments[-1][2] is child and segments[-1][0] + segments[-1][1] == first:
            first -= segments.pop()[1]
        segments.append((first, end - first, child))


def _marks_of(axis: int, boxes: Sequence[Box]) -> tuple[list[tuple[int, int]], int]:
    """Return, for each index of an axis that some box names, which boxes span it; and which span all other indices."""
    unmarked = sum(1 << number for number, box in enumerate(boxes) if axis not in box)
    spanning: dict[int, int] = {}
    for number, box in enumerate(boxes):
        for index in box.get(axis, ()):
            spanning[index] = spanning.get(index, unmarked) | 1 << number
    return sorted(spanning.items()), unmarked


def _grouped(node: _Node, size: int, known: dict[_Node, _Node]) -> _Node:
    """Return the same with one position for each group of `size` that has any left."""
    if node not in known:
        if node.size <= size:
            known[node] = _Node(1, None if node.count else [])
        elif node.children is None:
            known[node] = _Node(node.size // size, None)
        else:
            children = zip(node.firsts, node.lengths, node.children, strict=True)
            segments = [(first, length, _grouped(child, size, known)) for first, length, child in children]
            known[node] = _Node(node.size // size, segments)
    return known[node]


def _runs(node: _Node, base: int, skip: int = 0) -> Iterator[range]:
    """Yield the kept positions below `node` as ranges, without the first `skip` of them."""
    if node.children is None:
        yield range(base + skip, base + node.size)
        return
    if not skip and node.size <= _PATTERN:
        # Small nodes are visited again and again: their runs are found once.
        if node.pattern is None:
            node.pattern = _joined(chain.from_iterable(_segments(node, 0, 0)))
        for start, stop in node.pattern:
            yield range(base + start, base + stop)
        return
    yield from chain.from_iterable(_segments(node, base, skip))


def _segments(node: _Node, base: int, skip: int) -> Iterator[Iterable[range]]:
    for first, length, child in zip(node.firsts, node.lengths, node.children or (), strict=True):
        if skip >= length * child.count:
            skip -= length * child.count
        elif child.children is None:
            yield (range(base + first * child.size + skip, base + (first + length) * child.size),)
            skip = 0
        else:
            passed, skip = divmod(skip, child.count)
            for index in range(first + passed, first + length):
                yield _runs(child, base + index * child.size, skip)
                skip = 0


def _joined(runs: Iterable[range]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for run in runs:
        if joined and joined[-1][1] == run.start:
            joined[-1] = joined[-1][0], run.stop
        else:
            joined.append((run.start, run.stop))
    return joined
