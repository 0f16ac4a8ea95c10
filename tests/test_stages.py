"""Matrices that depend on one another."""

from __future__ import annotations

from typing import Any

import pytest

from memento.config import Config
from memento.errors import AggregateException, CyclicDependency, MatrixError, UnknownDependency
from memento.results import Results
from memento.stages import in_order, run_each, with_inputs


def test_a_matrix_comes_after_those_it_depends_on() -> None:
    matrices = [
        {"id": "c", "dependencies": ["b", "a"]},
        {"id": "b", "dependencies": ["a"]},
        {"id": "a", "dependencies": []},
    ]
    assert [matrix["id"] for matrix in in_order(matrices)] == ["a", "b", "c"]


def test_independent_matrices_keep_their_order() -> None:
    assert [matrix["id"] for matrix in in_order([{"id": 2}, {"id": 1}, {"id": 3}])] == [2, 1, 3]


def test_a_cycle_is_refused_with_its_path() -> None:
    with pytest.raises(CyclicDependency, match=r"cyclic dependency between matrices: (a → b → a|b → a → b)"):
        in_order([{"id": "a", "dependencies": ["b"]}, {"id": "b", "dependencies": ["a"]}])


def test_where_all_of_a_matrix_were_cancelled_the_error_has_them() -> None:
    store: Any = None
    cancelled = Results(configs=[Config.of({"x": 1})], entries=[None], store=store)
    with pytest.raises(
        AggregateException, match="no experiment of matrix 'a' succeeded, and 'b' depend on it"
    ) as raised:
        run_each(lambda matrix: cancelled, in_order([{"id": "a"}, {"id": "b", "dependencies": ["a"]}]))
    assert len(raised.value.exceptions) == 1


def test_an_unknown_dependency_says_which() -> None:
    with pytest.raises(UnknownDependency, match=r"matrix 'a' depends on 'x', which was never added; added are: 'a'"):
        in_order([{"id": "a", "dependencies": ["x"]}])


def test_ids_are_needed_and_unique() -> None:
    with pytest.raises(MatrixError, match="needs an 'id'"):
        in_order([{"parameters": {}}])
    with pytest.raises(MatrixError, match="two matrices have the id 1"):
        in_order([{"id": 1}, {"id": 1}])


def test_results_become_a_parameter_named_after_the_matrix_and_nothing_given_is_changed() -> None:
    matrix = {"id": "b", "dependencies": [7], "parameters": {"x": [1]}}
    assert with_inputs(matrix, {7: [10, 20]})["parameters"] == {"x": [1], "7": [10, 20]}
    assert matrix == {"id": "b", "dependencies": [7], "parameters": {"x": [1]}}


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (
            {"id": "b", "dependencies": ["a"], "parameters": {"a": [1]}},
            "matrix 'b' has a parameter 'a' and depends on a matrix of that name, whose results would be that "
            "parameter; rename one of the two",
        ),
        (
            {"id": "b", "dependencies": ["a"], "parameters": {("x", "a"): [(1, 2)]}},
            "matrix 'b' has a parameter 'a' and depends on a matrix of that name, whose results would be that "
            "parameter; rename one of the two",
        ),
        (
            {"id": "b", "dependencies": ["a", "a"]},
            "matrix 'b' depends on 'a' twice, and its results would be one parameter; name it once, and give matrices "
            "ids that differ as text",
        ),
        (
            {"id": "b", "dependencies": "a"},
            "matrix 'b': dependencies is the string 'a', not a list; write for example ['training']",
        ),
        (
            {"id": "b", "dependencies": 7},
            "matrix 'b': dependencies is the number 7, not a list; write for example ['training']",
        ),
        ({"id": ["b"]}, "the id ['b'] can change; write a string or a number"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_write(matrix: dict[str, Any], message: str) -> None:
    with pytest.raises(MatrixError) as caught:
        in_order([{"id": "a", "parameters": {}}, matrix])
    assert str(caught.value) == message


def test_a_dependency_that_can_be_no_id_is_unknown() -> None:
    with pytest.raises(UnknownDependency, match=r"matrix 'b' depends on \['a'\], which was never added"):
        in_order([{"id": "a"}, {"id": "b", "dependencies": [["a"]]}])
