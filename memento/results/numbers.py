"""One number for each result by its name: the best of them, and their means over replicates. Needs no pandas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from memento import payload
from memento.averages import deviation, mean
from memento.errors import MementoError, NotStored, OptionError, UnknownMetric
from memento.hashing import digest
from memento.results.tables import (
    RUN_NUMBERS,
    ByIdentity,
    Columns,
    free_name,
    gather,
    last_metrics,
    parameters_of,
    replicates_of,
    returned_by,
    settings_of,
)

if TYPE_CHECKING:
    from memento.config import Config
    from memento.results.result import Result

_Row = TypeVar("_Row")


def numbers_of(results: Sequence[Result], name: str) -> list[float | None]:
    """Return the number called `name` of each result, None where there is none: it failed, or the number is NaN.

    Raises:
        UnknownMetric: nothing of that name was returned or recorded.
        OptionError: what has that name is not a number.
        NotStored: there are no results.
    """
    _refuse_none(results, name)
    if not isinstance(name, str):
        raise OptionError(
            f"metric={name!r} is no string; of a returned dict, those entries can be chosen by whose keys are strings",
            option="metric",
            value=name,
        )
    column = _column(results, name)
    values = [_number(value) for value in column]
    if all(value is None for value in values) and (wrong := [value for value in column if isinstance(value, str)]):
        raise OptionError(
            f"{name!r} is not a number but, for example, {wrong[0]!r}; use filter() to choose by it",
            option="metric",
            value=name,
        )
    return values


def _refuse_none(results: Sequence[Result], name: str) -> None:
    if not results:
        raise NotStored(f"there are no results of which {name!r} could be looked at; were they chosen by a filter?")


def _column(results: Sequence[Result], name: str) -> list[Any]:
    bare = name.removeprefix("run.")
    # Most are found in the heads; the metrics have to be loaded, so they are looked at last.
    (returned,) = gather(results, returned_by)
    for entry in (name, name.removeprefix("result.")):
        if found := returned.get(entry):
            pairs = zip(results, found, strict=True)
            return [_looked_for(result, entry) if value is None else value for result, value in pairs]
    if bare in RUN_NUMBERS:
        return [getattr(result.outcome, bare) if result.ok else None for result in results]
    (recorded,) = gather(results, last_metrics)
    if found := recorded.get(name) or recorded.get(name.removeprefix("metric.")):
        return found
    if not any(other.startswith(f"{name.removeprefix('result.')}.") for other in returned):
        _refuse_no_number(results, name)
    known = dict.fromkeys([*returned, *recorded, *RUN_NUMBERS])
    raise UnknownMetric(name, known, where="returned or recorded by any experiment that succeeded")


def _looked_for(result: Result, name: str) -> Any:
    """Return what tables lack of a success that was stored before they had fields and what is inside dicts."""
    if not result.ok or result.outcome is None or result.outcome.value.codec == payload.JSON:
        return None
    if result.outcome.summary and "." not in name:  # it had what is plain by that name
        return None
    try:
        plain = payload.summary_of(payload.plain_part(result.inner).encode())
    except MementoError:
        return None
    return plain.get(name) if isinstance(plain, dict) else None


def _refuse_no_number(results: Iterable[Result], name: str) -> None:
    """Raise an OptionError if the first experiment that succeeded returned something of that name for no table."""
    first = next((result for result in results if result.ok), None)
    if first is None:
        return
    try:
        value = first.inner  # loaded, as this is an error already
    except MementoError:
        return
    bare, entries = name.removeprefix("result."), payload.entries_of(value)
    if entries is not None and bare in entries:
        value, instead = entries[bare], f"{{{bare!r}: number}}"
    elif name == "result" and not entries:
        instead = 'a number, or a dict of numbers such as {"accuracy": 0.9}'
    else:
        return
    kind = "None" if value is None else f"a {type(value).__qualname__}"
    if isinstance(value, int):
        kind, instead = f"an integer of {value.bit_length()} bits, which no table takes", "a float"
    raise OptionError(
        f"{name!r} is not a number but {kind}; have the experiment return {instead}, "
        "or choose among the values of .inner yourself",
        option="metric",
        value=name,
    )


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and value == value else None


def best_row(results: Sequence[Result], name: str, *, maximize: bool) -> int:
    """Return the index of the result whose number called `name` is the highest (or lowest); of equals the first.

    Raises:
        NotStored: no experiment that succeeded has such a number.
    """
    return _best_of(range(len(results)), numbers_of(results, name), name, maximize=maximize)


def _best_of(rows: Iterable[_Row], numbers: Sequence[float | None], name: str, *, maximize: bool) -> _Row:
    """Return that of `rows` whose number is the highest (or lowest)."""
    able = [(row, number) for row, number in zip(rows, numbers, strict=True) if number is not None]
    if not able:
        raise NotStored(f"none of the {len(numbers)} experiments succeeded with a number for {name!r}")
    return (max if maximize else min)(able, key=itemgetter(1))[0]


# ── replicates ──────────────────────────────────────────────────────────────────────────────────────────────────────


def aggregate_table(results: Sequence[Result], name: str) -> Columns:
    """Return the mean, the standard deviation (n - 1) and n of `name` over the replicates of each configuration.

    Raises:
        OptionError: there are no replicates.
    """
    numbers, groups = _by_configuration(results, name)
    firsts = [results[rows[0]] for rows in groups]
    table = {**parameters_of(firsts), **settings_of(firsts)}
    statistics: Columns = {"mean": [], "std": [], "n": [], "missing": []}
    for rows in groups:
        values = _given(numbers, rows)
        row = mean(values), deviation(values), len(values), len(rows) - len(values)
        for statistic, value in zip(statistics, row, strict=True):
            statistics[statistic].append(value)
    for statistic, column in statistics.items():
        table[free_name(statistic, name, table)] = column
    return table


def best_group(results: Sequence[Result], name: str, *, maximize: bool) -> list[int]:
    """Return the rows of the replicates whose mean of `name` is the highest (or lowest).

    Raises:
        OptionError: there are no replicates.
        NotStored: no experiment that succeeded has such a number.
    """
    numbers, groups = _by_configuration(results, name)
    means = [_number(mean(_given(numbers, rows))) for rows in groups]
    return _best_of(groups, means, name, maximize=maximize)


def _by_configuration(results: Sequence[Result], name: str) -> tuple[list[float | None], list[list[int]]]:
    """Return the number of each result, and the rows of each configuration's replicates."""
    _refuse_none(results, name)  # of none, nobody knows whether they have replicates
    if not replicates_of(results):
        raise OptionError(
            "these configurations have no replicates to aggregate over; "
            "write 'replicates': 5 in the matrix to run each of them five times",
            option="replicates",
        )
    return numbers_of(results, name), _without_replicates([result.config for result in results])


def _without_replicates(configs: Iterable[Config]) -> list[list[int]]:
    """Return the rows of each group of configurations that differ in nothing but their replicate."""
    digested = ByIdentity(digest)
    groups: dict[Any, list[int]] = {}
    for row, config in enumerate(configs):
        own = frozenset((name, digested(value)) for name, value in config.asdict().items())
        groups.setdefault((own, digested(config.settings)), []).append(row)
    return list(groups.values())


def _given(numbers: Sequence[float | None], rows: Iterable[int]) -> list[float]:
    return [number for row in rows if (number := numbers[row]) is not None]
