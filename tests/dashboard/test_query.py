"""Filters and orders, in AG Grid's words."""

from __future__ import annotations

from typing import Any

import pytest

from memento.dashboard.query import chosen, ordered
from memento.dashboard.rows import Cell, Row

CELLS: list[Cell] = [3, "Tree", None, 1.5, "", True, "apple tree"]
ROWS: list[Row] = [{"c": cell} for cell in CELLS]


def passed(**model: Any) -> list[Cell]:
    return [row["c"] for row in chosen(ROWS, {"c": model})]


@pytest.mark.parametrize(
    ("kind", "wanted", "cells"),
    [
        ("contains", "TREE", ["Tree", "apple tree"]),
        ("notContains", "tree", [3, None, 1.5, "", True]),
        ("equals", "tree", ["Tree"]),
        ("notEqual", "tree", [3, None, 1.5, "", True, "apple tree"]),
        ("startsWith", "t", ["Tree", True]),
        ("endsWith", "tree", ["Tree", "apple tree"]),
        ("equals", "1.5", [1.5]),
    ],
)
def test_texts_are_compared_whatever_their_case(kind: str, wanted: str, cells: list[Cell]) -> None:
    assert passed(filterType="text", type=kind, filter=wanted) == cells


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("equals", [3]),
        ("notEqual", [1.5, True]),
        ("lessThan", [1.5, True]),
        ("lessThanOrEqual", [3, 1.5, True]),
        ("greaterThan", []),
        ("greaterThanOrEqual", [3]),
    ],
)
def test_what_is_no_number_passes_no_filter_of_numbers(kind: str, cells: list[Cell]) -> None:
    assert passed(filterType="number", type=kind, filter=3) == cells


def test_a_range_has_its_ends_in_it() -> None:
    assert passed(filterType="number", type="inRange", filter=1.5, filterTo=3) == [3, 1.5]


def test_what_is_missing_can_be_asked_for() -> None:
    assert passed(filterType="text", type="blank") == [None, ""]
    assert passed(filterType="number", type="notBlank") == [3, "Tree", 1.5, True, "apple tree"]


def test_conditions_are_joined() -> None:
    two = [{"filterType": "text", "type": "contains", "filter": word} for word in ("tree", "apple")]
    assert passed(operator="AND", conditions=two) == ["apple tree"]
    assert passed(operator="OR", conditions=[*two, {"type": "blank"}]) == ["Tree", None, "", "apple tree"]


@pytest.mark.parametrize("model", [{"filterType": "date", "type": "equals"}, {"filterType": "number", "type": "odd"}])
def test_a_filter_that_is_not_understood_leaves_nothing_out_silently(model: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a filter that is not understood"):
        chosen(ROWS, {"c": {**model, "filter": 1}})


def test_what_is_missing_comes_last_whichever_way_the_rest_goes() -> None:
    def cells(way: str) -> list[Cell]:
        return [row["c"] for row in ordered(ROWS, [{"colId": "c", "sort": way}])]

    assert cells("asc") == [True, 1.5, 3, "", "apple tree", "Tree", None]
    assert cells("desc") == ["Tree", "apple tree", "", 3, 1.5, True, None]


def test_what_is_not_a_number_disturbs_no_order() -> None:
    rows: list[Row] = [{"c": cell} for cell in (2.0, float("nan"), 1.0, float("inf"), 3.0)]
    for way, cells in (("asc", [1.0, 2.0, 3.0, float("inf")]), ("desc", [float("inf"), 3.0, 2.0, 1.0])):
        assert [row["c"] for row in ordered(rows, [{"colId": "c", "sort": way}])][:4] == cells


def test_the_first_of_several_orders_counts_most() -> None:
    rows: list[Row] = [{"a": a, "b": b} for a in (1, 2) for b in (1, 2)]
    found = ordered(rows, [{"colId": "b", "sort": "desc"}, {"colId": "a", "sort": "asc"}])
    assert [(row["b"], row["a"]) for row in found] == [(2, 1), (2, 2), (1, 1), (1, 2)]
    assert ordered(rows, []) == rows
