"""A matrix → Configurations: product, linked axes, replicates, exclude, include, union, sampling.

The product and what is included become blocks of a space; `choosing` then decides which positions are configurations::

    matrix ─> Block(product) ─> exclude ─> sample ┐
           └> Block(include) ─> without these ────┴─> without earlier matrices ─> Configurations
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from memento import user_warnings
from memento.errors import MatrixWarning
from memento.matrix import lint
from memento.matrix.axis import Axis
from memento.matrix.block import Block
from memento.matrix.choosing import Choice, Predicate, selected
from memento.matrix.configurations import Configurations
from memento.matrix.diagram import Box
from memento.matrix.runtime import check_runtime
from memento.matrix.selection import Selection
from memento.matrix.space import Space
from memento.names import REPLICATE

_MOST = 2**62


def generate_configurations(
    matrix: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, experiment: str = ""
) -> Configurations:
    """Return the configurations of `matrix`, in declared order with the last parameter fastest.

    Args:
        matrix: A dict with `parameters` and, where wanted, `settings`, `exclude`, `include`, `replicates`,
            `introduced`, `sample` and `runtime`; or a list of such dicts, which gives their union with each
            configuration once, where it is first. A value in an `exclude` matches by the equality of keys; a list
            there matches itself and each of its elements. The matrix is never changed.
        experiment: The identity of what is run, which is part of every key.

    Raises:
        MatrixError: the matrix cannot be meant; the message says what to write instead.

    Warns:
        MatrixWarning: an exclude that matches nothing, duplicate values, and the like.

    >>> matrix = {"parameters": {"model": ["svm", "tree"], "depth": [1, 2]}, "exclude": [{"model": "svm", "depth": 2}]}
    >>> for config in generate_configurations(matrix):
    ...     print(config)
    {'model': 'svm', 'depth': 1}
    {'model': 'tree', 'depth': 1}
    {'model': 'tree', 'depth': 2}
    """
    union = isinstance(matrix, (list, tuple))
    if union and not matrix:
        lint.refuse(
            "matrix", matrix, "the list of matrices is empty; write at least one, such as {'parameters': {...}}"
        )
    warned: list[str] = []
    blocks: list[Block] = []
    choices = [
        _checked(one, f"matrix[{number}]" if union else "matrix", blocks, experiment, warned.append)
        for number, one in enumerate(matrix if union else [matrix])
    ]
    space = Space(blocks)
    if space.size > _MOST:
        lint.refuse(
            "parameters", None, f"{space.size} configurations are more than can be numbered; leave parameters out"
        )

    def select(warn: lint.Warn) -> Selection:
        return selected(space, choices, warn)

    if any(choice.predicates for choice in choices):  # scanned when somebody asks, which may be never
        _issue(warned)
        return Configurations(space, lambda warn: select(_both(warn)), warned=warned)
    selection = select(warned.append)
    _issue(warned)
    return Configurations(space, selection, warned=warned)


def _checked(matrix: object, place: str, blocks: list[Block], experiment: str, warn: lint.Warn) -> Choice:
    """Check one matrix and append its blocks."""
    found = lint.check_matrix(matrix, place)
    axes = [lint.axis_of(names, values, warn) for names, values in found["parameters"].items()]
    names = [name for axis in axes for name in axis.names]
    for name in names:
        if names.count(name) > 1:
            lint.refuse(f"parameters[{name!r}]", name, f"parameters: {name!r} is declared twice; keep it in one axis")
    settings = lint.check_settings(found.get("settings") or {}, names)
    replicates = found.get("replicates")
    repeated = [] if replicates is None else [Axis((REPLICATE,), range(lint.check_replicates(replicates)))]
    known = [*names, *([REPLICATE] if repeated else [])]
    shared: dict[str, Any] = {
        "settings": settings,
        "runtime": check_runtime(found.get("runtime") or {}),
        "introduced": lint.check_introduced(found.get("introduced") or {}, [*known, *settings]),
        "experiment": experiment,
    }
    number = len(blocks)
    with lint.keying(place):
        block = Block([*axes, *repeated], **shared)
    blocks.append(block)
    rows = _included(found.get("include") or (), names, warn)
    if rows is not None:
        blocks.append(Block([rows, *repeated], included=True, **shared))
    boxes, predicates = _excludes(found.get("exclude") or (), block, known, warn)
    return Choice(
        place=place,
        product=number,
        include=None if rows is None else number + 1,
        boxes=boxes,
        predicates=predicates,
        sample=None if found.get("sample") is None else lint.check_sample(found["sample"]),
    )


def _included(include: object, names: Sequence[str], warn: lint.Warn) -> Axis | None:
    """Return what is included as one linked axis over all parameters."""
    rows = []
    for number, one in enumerate(lint.check_list(include, "include", "[{'model': 'svm', 'depth': 1}]")):
        place = f"include[{number}]"
        given = lint.check_dict(one, place, "{'model': 'svm', 'depth': 1}")
        for name in given:
            lint.check_known(name, names, place)
        missing = [name for name in names if name not in given]
        if missing:
            lint.refuse(
                place,
                one,
                f"{place} gives no value for {', '.join(map(repr, missing))}; give one for every parameter",
            )
        rows.append(tuple(given[name] for name in names))
    if not rows:
        return None
    axis = Axis(tuple(names), rows, linked=True, path="include")
    return lint.without_duplicates(axis, warn)


def _excludes(
    exclude: object, block: Block, known: Sequence[str], warn: lint.Warn
) -> tuple[list[Box], list[tuple[str, Predicate]]]:
    """Return the excludes of values as boxes in the product, and the others with their places."""
    boxes: list[Box] = []
    places: dict[frozenset[tuple[int, frozenset[int]]], str] = {}
    predicates: list[tuple[str, Predicate]] = []
    for number, rule in enumerate(lint.check_list(exclude, "exclude", "[{'model': 'svm', 'depth': 8}]")):
        place = f"exclude[{number}]"
        if isinstance(rule, Mapping):
            box = _box(rule, block, known, place)
            first = places.setdefault(frozenset(box.items()), place)
            if not all(box.values()):
                warn(f"{place} matches nothing, so it has no effect: {lint.shortly(dict(rule))}")
            elif first != place:
                warn(f"{place} matches the same as {first}, so it has no effect: {lint.shortly(dict(rule))}")
            else:
                boxes.append(box)
        elif callable(rule):
            predicates.append((place, rule))
        else:
            lint.refuse(
                place,
                rule,
                f"{place} is {lint.said(rule)}; write a dict such as {{'depth': 8}}, or a function of a configuration",
                wrong_type=True,
            )
    return boxes, predicates


def _box(rule: Mapping[Any, Any], block: Block, known: Sequence[str], place: str) -> Box:
    if not rule:
        lint.refuse(
            place, rule, f"{place} is empty and would match every configuration; write which values to leave out"
        )
    numbers = {axis: number for number, axis in enumerate(block.axes)}
    box: dict[int, frozenset[int]] = {}
    for name, value in rule.items():
        lint.check_known(name, known, place)
        axis, _, _, column = block.places[name]
        path = f"{place}[{name!r}]"
        wanted = [value, *value] if isinstance(value, list) else [value]
        with lint.keying(path):
            matching = frozenset(index for one in wanted for index in axis.matching(column, one, path))
        number = numbers[axis]
        box[number] = box[number] & matching if number in box else matching
    return box


def _both(warn: lint.Warn) -> lint.Warn:
    """Return what keeps a warning and issues it."""

    def told(message: str) -> None:
        warn(message)
        _issue([message])

    return told


def _issue(messages: Sequence[str]) -> None:
    for message in messages:
        user_warnings.warn(message, MatrixWarning)
