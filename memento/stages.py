"""Matrices that depend on one another: in which order they run, what one hands to the next, how they end together."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence, Sized
from graphlib import CycleError, TopologicalSorter
from typing import Any

from memento.errors import AggregateException, CyclicDependency, MatrixError, MatrixTypeError, UnknownDependency
from memento.events import Counts, RunFinished
from memento.matrix.lint import check_list
from memento.results import Results
from memento.results.collection import errors_of
from memento.task import Status
from memento.user_warnings import warn

Stage = Mapping[str, Any]
"""A matrix that has an `id`, and `dependencies` where it waits for others."""


def in_order(matrices: Sequence[Stage]) -> list[Stage]:
    """Return `matrices` so that each comes after those it depends on, otherwise in the order given.

    Raises:
        MatrixError: a matrix has no `id` that can be one, two have the same, or its dependencies are no list of ids, or
            one of them would be a parameter that it has already.
        UnknownDependency: a matrix depends on an id that none has.
        CyclicDependency: matrices wait for one another.
    """
    by_id: dict[Hashable, Stage] = {}
    for matrix in matrices:
        name = _id_of(matrix)
        if name in by_id:
            raise MatrixError(f"two matrices have the id {name!r}; give each its own", key="id", value=name)
        by_id[name] = matrix
    graph: dict[Hashable, Sequence[Hashable]] = {}
    for name, matrix in by_id.items():
        graph[name] = dependencies_of(matrix)
        for dependency in graph[name]:
            if not _is_hashable(dependency) or dependency not in by_id:
                raise UnknownDependency(name, dependency, by_id)
        _refuse_taken_names(matrix)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise CyclicDependency(error.args[1]) from None
    return [by_id[name] for name in order]


def _id_of(matrix: object) -> Hashable:
    if not isinstance(matrix, Mapping) or "id" not in matrix:
        raise MatrixError("a matrix for run_all needs an 'id'; write {'id': 'training', ...}", key="id")
    name: Hashable = matrix["id"]
    if not _is_hashable(name):
        raise MatrixTypeError(f"the id {name!r} can change; write a string or a number", key="id", value=name)
    return name


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def dependencies_of(matrix: Stage) -> Sequence[Any]:
    """Return the ids that `matrix` depends on.

    Raises:
        MatrixError: they are not in a list.
    """
    given = matrix.get("dependencies")
    return () if given is None else check_list(given, f"matrix {matrix['id']!r}: dependencies", "['training']")


def _refuse_taken_names(matrix: Stage) -> None:
    """Refuse a dependency whose results would be a parameter that is there already."""
    taken: set[Any] = set()
    for names in matrix.get("parameters", ()):
        taken.update(names if isinstance(names, tuple) else (names,))
    dependencies = dependencies_of(matrix)
    for dependency in dependencies:
        name = str(dependency)
        if name in taken:
            raise MatrixError(
                f"matrix {matrix['id']!r} has a parameter {name!r} and depends on a matrix of that name, whose results "
                "would be that parameter; rename one of the two",
                key=f"parameters[{name!r}]",
            )
        if [str(other) for other in dependencies].count(name) > 1:
            raise MatrixError(
                f"matrix {matrix['id']!r} depends on {name!r} twice, and its results would be one parameter; "
                "name it once, and give matrices ids that differ as text",
                key="dependencies",
                value=dependency,
            )


def with_inputs(matrix: Stage, given: Mapping[Any, Sequence[Any]]) -> dict[str, Any]:
    """Return `matrix` with what it depends on as further parameters, named `str(id)`; the given one is not changed."""
    inputs = {str(dependency): list(given[dependency]) for dependency in dependencies_of(matrix)}
    return {**matrix, "parameters": {**matrix.get("parameters", {}), **inputs}}


def with_stand_ins(matrix: Stage) -> dict[str, Any]:
    """Return `matrix` as `with_inputs` will, with a text in place of the results that are not there yet."""
    return with_inputs(matrix, {one: [f"what {one!r} will give"] for one in dependencies_of(matrix)})


def check_gives(matrix: Stage, order: Sequence[Stage], configurations: Sized) -> None:
    """Refuse `matrix` where it has no `configurations` and others of `order` wait for its results.

    Raises:
        MatrixError: it is so.
    """
    waiting = _waiting_for(matrix, order)
    if waiting and not len(configurations):
        raise MatrixError(
            f"matrix {matrix['id']!r} has no configurations, as everything in it is excluded, and so no results to "
            f"hand on to {waiting}; exclude less of it, or take it out of the dependencies",
            key="exclude",
        )


def _waiting_for(matrix: Stage, order: Sequence[Stage]) -> str:
    return ", ".join(repr(other["id"]) for other in order if matrix["id"] in dependencies_of(other))


def run_each(
    run: Callable[[dict[str, Any]], Results | None],
    order: Sequence[Stage],
    *,
    tell: Callable[[RunFinished], None] = lambda event: None,
) -> dict[Any, Results]:
    """Call `run` with each matrix of `order`, and `tell` how all of them ended, whatever happens.

    What depends on a matrix whose experiments go on in the queue of a cluster is left out, and said.

    Raises:
        AggregateException: experiments failed, or none succeeded of a matrix that others depend on.
        MatrixError: what a matrix was handed left it without configurations, and others depend on it.
    """
    begun = time.monotonic()
    results: dict[Any, Results] = {}
    given: dict[Any, Sequence[Any]] = {}
    ended_by: BaseException | None = None
    try:
        for matrix in order:
            if any(name not in given for name in dependencies_of(matrix)):
                continue
            done = run(with_inputs(matrix, given))
            assert done is not None
            results[matrix["id"]] = done
            if done.unfinished is not None:
                if waiting := _waiting_for(matrix, order):
                    warn(f"{waiting} waits for what matrix {matrix['id']!r} gives, of which {done.unfinished}")
                continue
            given[matrix["id"]] = _values_for_dependants(matrix, order, done)
    except BaseException as error:
        ended_by = error
        if isinstance(error, AggregateException) and error.results is not None:
            results[matrix["id"]] = error.results
        raise
    finally:
        tell(_end_of_all(results, order, time.monotonic() - begun, ended_by))
    return results


def _values_for_dependants(matrix: Stage, order: Sequence[Stage], done: Results) -> list[Any]:
    """Return what the experiments of `matrix` gave, for those that depend on it.

    Raises:
        AggregateException: something depends on it, and none of its experiments succeeded.
        MatrixError: something depends on it, and it has none.
    """
    check_gives(matrix, order, done)
    values = [result.inner for result in done if result.ok]
    waiting = _waiting_for(matrix, order)
    if waiting and not values:
        raise AggregateException(
            errors_of(done.failures or done),  # all may have been cancelled
            done,
            f"no experiment of matrix {matrix['id']!r} succeeded, and {waiting} depend on it",
        )
    return values


def _end_of_all(results: Mapping[Any, Results], order: Sequence[Stage], elapsed: float, error: object) -> RunFinished:
    """Return how the matrices of `order` together ended: with `results` of those that ran, and by which `error`."""
    every = [result for some in results.values() for result in some]
    ended = Counter(result.status for result in every)
    stored = sum(result.was_cached and result.ok for result in every)
    counts = Counts(
        total=len(every),
        stored=stored,
        succeeded=ended[Status.SUCCEEDED] - stored,
        failed=len(every) - ended[Status.SUCCEEDED] - ended[Status.CANCELLED],
        cancelled=ended[Status.CANCELLED],
    )
    signals = {KeyboardInterrupt: "SIGINT", SystemExit: "SIGTERM"}
    left = ", ".join(repr(matrix["id"]) for matrix in order if matrix["id"] not in results)
    return RunFinished(
        counts=counts,
        elapsed=elapsed,
        name=", ".join(str(matrix["id"]) for matrix in order),
        interrupted=signals.get(type(error)),  # type: ignore[arg-type]
        stopped=f"not run to the end: {left}" if left else None,
    )
