"""The union of matrices: what of a later one was already in an earlier one is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from memento.matrix.axis import Axis
from memento.matrix.block import Block
from memento.matrix.configurations import find
from memento.matrix.diagram import Box, Cut, Diagram
from memento.matrix.selection import Selection, Without
from memento.matrix.space import Space


class Boxed(NamedTuple):
    """A selection from some blocks, given by number.

    `boxes` are what is cut from the only block; None where something else decides too.
    """

    selection: Selection
    blocks: tuple[int, ...]
    boxes: tuple[Box, ...] | None


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
    return all(match is None or bool(_common(axis, match)) for axis, match in zip(one.axes, matched, strict=True))


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
        if isinstance(axis.values, range) and axis.values == other.values:
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
