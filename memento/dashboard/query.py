"""Which rows of a table are asked for, and in which order: in the words of AG Grid, whose requests these are.

https://www.ag-grid.com/javascript-data-grid/filter-api/ tells the form of a filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memento.dashboard.rows import Cell, Row

Test = Callable[[Cell], bool]

_TEXT: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda text, wanted: wanted in text,
    "notContains": lambda text, wanted: wanted not in text,
    "equals": lambda text, wanted: text == wanted,
    "notEqual": lambda text, wanted: text != wanted,
    "startsWith": lambda text, wanted: text.startswith(wanted),
    "endsWith": lambda text, wanted: text.endswith(wanted),
}
_NUMBER: dict[str, Callable[[float, float], bool]] = {
    "equals": lambda number, wanted: number == wanted,
    "notEqual": lambda number, wanted: number != wanted,
    "lessThan": lambda number, wanted: number < wanted,
    "lessThanOrEqual": lambda number, wanted: number <= wanted,
    "greaterThan": lambda number, wanted: number > wanted,
    "greaterThanOrEqual": lambda number, wanted: number >= wanted,
}


def chosen(rows: Sequence[Row], filters: Mapping[str, Any] | None) -> Sequence[Row]:
    """Return those of `rows` that pass all `filters`, which are by column.

    Raises:
        ValueError: a filter is of a kind that is unknown here; nothing is left out silently.
    """
    for name, model in (filters or {}).items():
        passes = _test_of(model)
        rows = [row for row in rows if passes(row.get(name))]
    return rows


def ordered(rows: Sequence[Row], orders: Sequence[Mapping[str, str]] | None) -> Sequence[Row]:
    """Return `rows` by the columns in `orders`, the first counting most; without any, the newest first."""
    for order in reversed(orders or ()):
        name, falling = order["colId"], order["sort"] == "desc"
        there = [row for row in rows if not _is_missing(row.get(name))]
        missing = [row for row in rows if _is_missing(row.get(name))]
        # What is missing, or not a number, comes last, whichever way the rest goes.
        rows = [*sorted(there, key=lambda row: _rank(row.get(name)), reverse=falling), *missing]
    return rows


def _is_missing(cell: Cell) -> bool:
    return cell is None or cell != cell


def _rank(cell: Cell) -> tuple[bool, float, str]:
    """Numbers before texts."""
    return (False, cell, "") if isinstance(cell, int | float) else (True, 0.0, str(cell).lower())


def _test_of(model: Mapping[str, Any]) -> Test:
    if conditions := model.get("conditions"):
        tests = [_test_of(condition) for condition in conditions]
        together = any if model["operator"] == "OR" else all
        return lambda cell: together(test(cell) for test in tests)
    kind = model.get("type")
    if kind == "blank":
        return lambda cell: cell is None or cell == ""
    if kind == "notBlank":
        return lambda cell: cell is not None and cell != ""
    if model.get("filterType") == "number":
        return _number_test(kind, model)
    if model.get("filterType") == "text" and kind in _TEXT:
        holds, wanted = _TEXT[kind], str(model.get("filter", "")).lower()
        return lambda cell: holds(_text_of(cell), wanted)
    raise ValueError(f"a filter that is not understood: {dict(model)}")


def _number_test(kind: Any, model: Mapping[str, Any]) -> Test:
    if kind == "inRange":
        least, most = float(model["filter"]), float(model["filterTo"])
        return lambda cell: isinstance(cell, int | float) and least <= cell <= most
    if kind not in _NUMBER:
        raise ValueError(f"a filter that is not understood: {dict(model)}")
    holds, wanted = _NUMBER[kind], float(model["filter"])
    return lambda cell: isinstance(cell, int | float) and holds(cell, wanted)


def _text_of(cell: Cell) -> str:
    return "" if cell is None else str(cell).lower()
