"""The union of matrices: what of a later one was already in an earlier one is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from memento.matrix.axis import Axis
from memento.matrix.block import Block
from memento.matrix.configurations import find
from memento.matrix.diagram import Box, Cut, Diagram
from memento.matrix.selection import Selection, Without
from memento.matrix.space import Space

SHORT = 1000
"""Matrices are told apart by the values of axes that have no more than these."""
MANY = 10
"""Where so many times more matrices share the values of one more name, it is quicker to compare those left in full."""


class Boxed(NamedTuple):
    """A selection from some blocks, given by number.

    `boxes` are what is cut from the only block; None where something else decides too.
    """

    selection: Selection
    blocks: tuple[int, ...]
    boxes: tuple[Box, ...] | None


class Earlier:
    """The matrices of a union so far, found by the values that they have.

    To look at all of them for each later one would take ten seconds for two thousand matrices.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._all: list[Boxed] = []
        self._by_names: dict[object, _ByValue] = {}

    def add(self, one: Boxed) -> None:
        """Add what is left of a matrix."""
        if one.selection.count:
            for number in one.blocks:
                block = self._space.blocks[number]
                self._by_names.setdefault(_names_of(block), _ByValue()).add(len(self._all), block)
            self._all.append(one)

    def near(self, later: Boxed) -> list[Boxed]:
        """Return those that may have a configuration of `later`, in order, and few others."""
        found: set[int] = set()
        for number in later.blocks:
            block = self._space.blocks[number]
            if (known := self._by_names.get(_names_of(block))) is not None:
                found |= known.near(block)
        return [self._all[number] for number in sorted(found)]


class _ByValue:
    """The numbers of matrices by the values that they have for each of the same names."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._having: dict[str, dict[bytes, list[int]]] = {}
        self._any: dict[str, list[int]] = {}

    def add(self, number: int, block: Block) -> None:
        """Add a block of the matrix of this number."""
        self._numbers.append(number)
        for name in block.keyed_names:
            values = _values_of(name, block)
            if values is None:
                self._any.setdefault(name, []).append(number)
                continue
            having = self._having.setdefault(name, {})
            for value in values:
                having.setdefault(value, []).append(number)

    def near(self, block: Block) -> set[int]:
        """Return the numbers that share a value of each name with `block`, as far as few share it."""
        shared = sorted((self._sharing(name, block) for name in block.keyed_names), key=_total)
        if not shared:
            return set(self._numbers)
        found = set(chain.from_iterable(shared[0]))
        for lists in shared[1:]:
            if _total(lists) > MANY * len(found):
                break
            found.intersection_update(chain.from_iterable(lists))
        return found

    def _sharing(self, name: str, block: Block) -> list[list[int]]:
        values = _values_of(name, block)
        having = self._having.get(name, {})
        lists = list(having.values()) if values is None else [having[value] for value in values if value in having]
        return [*lists, self._any.get(name, [])]


def _total(lists: Iterable[Sequence[int]]) -> int:
    return sum(map(len, lists))


def _names_of(block: Block) -> object:
    """Return what two blocks have in common that may share a configuration: names and settings."""
    return frozenset(block.keyed_names), frozenset(block.setting_digests.items())


def _values_of(name: str, block: Block) -> set[bytes] | None:
    """Return the digests of the values of a name; None where there are many."""
    axis, _, size, column = block.places[name]
    return None if size > SHORT else {row[column] for row in axis.all_digests()}


def without_earlier(space: Space, later: Boxed, earlier: Sequence[Boxed]) -> Boxed:
    """Return `later` without what is equal to something in `earlier`."""
    touching = [one for one in earlier if _may_share(space, later, one)]
    if not touching:
        return later
    quick = _cut_out(space, later, touching)
    if quick is not None:
        return quick
    removed: set[int] = set()
    for one in touching:
        removed |= _shared(space, later, one)
    return later._replace(selection=Without(later.selection, removed), boxes=None) if removed else later


def _may_share(space: Space, one: Boxed, other: Boxed) -> bool:
    if not one.selection.count or not other.selection.count:
        return False
    return any(
        _comparable(space.blocks[a], space.blocks[b]) and _overlap(space.blocks[a], space.blocks[b])
        for a in one.blocks
        for b in other.blocks
    )


def _comparable(one: Block, other: Block) -> bool:
    return set(one.keyed_names) == set(other.keyed_names) and one.setting_digests == other.setting_digests


def _overlap(one: Block, other: Block) -> bool:
    """Whether no axis that both have shows that they share nothing."""
    matched = [_same_axis(axis, other) for axis in one.axes]
    return all(
        match is None or _same_range(axis, match) or bool(_common(axis, match))
        for axis, match in zip(one.axes, matched, strict=True)
    )


def _same_range(axis: Axis, other: Axis) -> bool:
    return isinstance(axis.values, range) and axis.values == other.values


def _same_axis(axis: Axis, block: Block) -> Axis | None:
    """Return the axis of `block` with the same names, if there is one."""
    for other in block.axes:
        if set(other.names) == set(axis.names):
            return other
    return None


def _common(axis: Axis, other: Axis) -> dict[int, int]:
    """Return the indices of `other`, by those of `axis`, of the values that both have."""
    if isinstance(axis.values, range) and isinstance(other.values, range):
        return _common_of_ranges(axis.values, other.values)
    if len(axis) > len(other):
        return {theirs: ours for ours, theirs in _common(other, axis).items()}
    found = ((index, other.find(axis.named(index), axis.named_digests(index))) for index in range(len(axis)))
    return {index: match for index, match in found if match is not None}


def _common_of_ranges(one: range, other: range) -> dict[int, int]:
    short, long, swapped = (one, other, False) if len(one) <= len(other) else (other, one, True)
    pairs = ((index, long.index(value)) for index, value in enumerate(short) if value in long)
    return {b: a for a, b in pairs} if swapped else dict(pairs)


def _cut_out(space: Space, later: Boxed, touching: Sequence[Boxed]) -> Boxed | None:
    """Return `later` with the earlier products cut out as boxes, where all of them have its axes; else None."""
    if later.boxes is None or any(one.boxes is None for one in touching):
        return None
    (number,) = later.blocks
    block = space.blocks[number]
    boxes: list[Box] = list(later.boxes)
    cuts = [Cut(place) for place in range(len(boxes))]
    for one in touching:
        translated = _translated(block, space.blocks[one.blocks[0]], one.boxes or ())
        if translated is None:
            return None
        product, excluded = translated
        first = len(boxes)
        boxes += [product, *excluded]
        cuts.append(Cut(first, sum(1 << place for place in range(first + 1, len(boxes)))))
    sizes = [len(axis) for axis in block.axes]
    return later._replace(selection=Diagram(sizes, boxes, cuts, start=space.starts[number]))


def _translated(block: Block, earlier: Block, boxes: Sequence[Box]) -> tuple[Box, list[Box]] | None:
    """Return an earlier product, and the boxes cut from it, as boxes of `block`."""
    product: dict[int, frozenset[int]] = {}
    ours: dict[int, tuple[int, dict[int, int] | None]] = {}
    for number, axis in enumerate(block.axes):
        other = _same_axis(axis, earlier)
        if other is None:
            return None
        place = earlier.axes.index(other)
        if _same_range(axis, other):
            ours[place] = number, None
            continue
        common = _common(axis, other)
        product[number] = frozenset(common)
        ours[place] = number, {theirs: index for index, theirs in common.items()}
    return product, [_moved(box, ours) for box in boxes]


def _moved(box: Box, ours: dict[int, tuple[int, dict[int, int] | None]]) -> Box:
    moved: dict[int, frozenset[int]] = {}
    for place, indices in box.items():
        number, common = ours[place]
        moved[number] = indices if common is None else frozenset(common[one] for one in indices if one in common)
    return moved


def _shared(space: Space, later: Boxed, earlier: Boxed) -> set[int]:
    """Return the positions of `later` whose configurations are in `earlier`, found by going through the smaller one."""
    if later.selection.count <= earlier.selection.count:
        return {position for position in later.selection.positions() if _found(space, position, earlier) is not None}
    found = (_found(space, position, later) for position in earlier.selection.positions())
    return {position for position in found if position is not None}


def _found(space: Space, position: int, among: Boxed) -> int | None:
    """Return the position in `among` of a configuration equal to the one at `position`."""
    config = space.config(position)
    for number in among.blocks:
        local = find(space.blocks[number], config)
        if local is not None and among.selection.rank(space.starts[number] + local) is not None:
            return space.starts[number] + local
    return None
