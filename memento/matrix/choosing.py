"""Which positions of a space are configurations: what a matrix's excludes, include and sample leave of its blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from memento.config import Config
from memento.errors import MatrixError
from memento.matrix import lint
from memento.matrix.block import Block
from memento.matrix.diagram import Box, Cut, Diagram
from memento.matrix.selection import Chain, Picked, Selection
from memento.matrix.space import Space
from memento.matrix.union import Boxed, Earlier, without_earlier
from memento.names import REPLICATE

Predicate = Callable[[Config], object]


class Choice(NamedTuple):
    """One matrix of a union: its blocks' numbers in the space, and what is to be chosen from them."""

    place: str
    product: int
    include: int | None
    boxes: Sequence[Box]
    predicates: Sequence[tuple[str, Predicate]]
    sample: tuple[int, int] | None


def selected(space: Space, choices: Sequence[Choice], warn: lint.Warn) -> Selection:
    """Return the positions that are configurations, of all matrices."""
    done: list[Selection] = []
    earlier = Earlier(space)
    for choice in choices:
        boxed = _chosen(space, choice, warn)
        left = without_earlier(space, boxed, earlier.near(boxed))
        done.append(left.selection)
        if len(choices) > 1:
            earlier.add(left)
        if not boxed.selection.count:
            warn(f"{choice.place}: everything is excluded, so there is nothing to run")
    return done[0] if len(done) == 1 else Chain(done)


def _chosen(space: Space, choice: Choice, warn: lint.Warn) -> Boxed:
    """Return the positions of one matrix that are configurations, whatever other matrices there are."""
    block, start = space.blocks[choice.product], space.starts[choice.product]
    sizes = [len(axis) for axis in block.axes]
    cuts = [Cut(number) for number in range(len(choice.boxes))]
    kept: Diagram | Picked = Diagram(sizes, choice.boxes, cuts, start=start)
    if choice.predicates:
        kept = Picked(_scan(space, kept, choice.predicates, warn))
    if choice.sample is not None:
        kept = _sampled(kept, block, start, *choice.sample, warn)
    listed = choice.predicates or choice.sample is not None
    product = Boxed(selection=kept, blocks=(choice.product,), boxes=None if listed else tuple(choice.boxes))
    if choice.include is None:
        return product
    added = Diagram([len(axis) for axis in space.blocks[choice.include].axes], start=space.starts[choice.include])
    beside = without_earlier(space, Boxed(selection=added, blocks=(choice.include,), boxes=None), [product])
    return Boxed(selection=Chain([kept, beside.selection]), blocks=(choice.product, choice.include), boxes=None)


def _scan(space: Space, base: Selection, predicates: Sequence[tuple[str, Predicate]], warn: lint.Warn) -> list[int]:
    """Return the positions that no predicate excludes."""
    matched = [0] * len(predicates)
    kept = []
    for position in base.positions():
        config = space.config(position)
        for number, (place, predicate) in enumerate(predicates):
            if _excluded(predicate, config, place):
                matched[number] += 1
                break
        else:
            kept.append(position)
    for (place, _), count in zip(predicates, matched, strict=True):
        if not count:
            warn(f"{place} matches nothing that is not already excluded, so it has no effect")
    return kept


def _excluded(predicate: Predicate, config: Config, place: str) -> bool:
    try:
        answer = predicate(config)
    except Exception as error:
        raise MatrixError(
            f"{place} raised {type(error).__name__}: {error}, for the configuration {config}; "
            "make it return True or False for every configuration",
            key=place,
            value=predicate,
        ) from error
    if answer is True or answer is False:
        return answer
    if getattr(getattr(answer, "dtype", None), "kind", "") == "b" and getattr(answer, "ndim", 1) == 0:
        return bool(answer)  # what comparing numpy's numbers gives
    raise MatrixError(
        f"{place} returned {lint.said(answer)} for the configuration {config}; "
        "make it return True to leave a configuration out, False to keep it",
        key=place,
        value=predicate,
    )


def _sampled(
    base: Diagram | Picked, block: Block, start: int, count: int, seed: int, warn: lint.Warn
) -> Diagram | Picked:
    """Return the positions of `count` configurations, each with all of its replicates that `base` has."""
    repeats = block.places[REPLICATE][2] if REPLICATE in block.places else 1
    groups: Selection
    if isinstance(base, Diagram):
        groups = base.in_groups(repeats)
    else:
        groups = Picked(dict.fromkeys((position - start) // repeats for position in base.positions()))
    if count >= groups.count:
        if count > groups.count:
            warn(f"sample['n'] is {count:,}, but there are only {groups.count:,} configurations; all of them are taken")
        return base
    import random

    drawn = [groups.at(rank) for rank in sorted(random.Random(seed).sample(range(groups.count), count))]
    positions = (start + group * repeats + number for group in drawn for number in range(repeats))
    return Picked(position for position in positions if base.rank(position) is not None)
