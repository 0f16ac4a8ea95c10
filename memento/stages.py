"""Matrices that depend on one another: in which order they run, and what one hands to the next."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from memento.errors import CyclicDependency, MatrixError, UnknownDependency

Matrix = Mapping[str, Any]


def in_order(matrices: Sequence[Matrix]) -> list[Matrix]:
    """Return `matrices` so that each comes after those it depends on, otherwise in the order given.

    Raises:
        MatrixError: a matrix has no `id`, or two have the same.
        UnknownDependency: a matrix depends on an id that none has.
        CyclicDependency: matrices wait for one another.
    """
    by_id: dict[Hashable, Matrix] = {}
    for matrix in matrices:
        if not isinstance(matrix, Mapping) or "id" not in matrix:
            raise MatrixError("a matrix for run_all needs an 'id'; write {'id': 'training', ...}", key="id")
        if matrix["id"] in by_id:
            raise MatrixError(
                f"two matrices have the id {matrix['id']!r}; give each its own", key="id", value=matrix["id"]
            )
        by_id[matrix["id"]] = matrix
    graph: dict[Hashable, Sequence[Hashable]] = {}
    for name, matrix in by_id.items():
        graph[name] = matrix.get("dependencies", ())
        for dependency in graph[name]:
            if dependency not in by_id:
                raise UnknownDependency(name, dependency, by_id)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise CyclicDependency(error.args[1]) from None
    return [by_id[name] for name in order]


def with_inputs(matrix: Matrix, given: Mapping[Any, Sequence[Any]]) -> dict[str, Any]:
    """Return `matrix` with what it depends on as further parameters, named `str(id)`; the given one is not changed.

    Raises:
        MatrixError: `matrix` has a parameter of that name already.
    """
    parameters = dict(matrix.get("parameters", {}))
    for dependency in matrix.get("dependencies", ()):
        name = str(dependency)
        if name in parameters:
            raise MatrixError(
                f"matrix {matrix['id']!r} has a parameter {name!r} and depends on a matrix of that name, whose results "
                "would be that parameter; rename one of the two",
                key=f"parameters[{name!r}]",
            )
        parameters[name] = list(given[dependency])
    return {**matrix, "parameters": parameters}
