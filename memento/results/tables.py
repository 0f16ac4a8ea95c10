"""Results as columns of plain values, without pandas and without unpickling anything.

A table's columns are, in this order: the parameters, `replicate`, settings that differ, how the experiment went, what
it returned, the last value of each metric, `error` and `key`. Each column has a name of its own: where two would share
one, the later of them gets its group before it, as in `result.depth` beside a parameter `depth`.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from memento.errors import NotStored, OptionError, UnknownMetric
from memento.hashing import digest, readable

if TYPE_CHECKING:
    from memento.config import Config
    from memento.results.result import Result

Columns = dict[str, list[Any]]
Cell = tuple[str, Any]
Cells = Callable[["Result"], Iterable[Cell]]

_PLAIN = frozenset(
    {type(None), bool, int, float, str, datetime.date, datetime.datetime, datetime.time, datetime.timedelta}
)
RUN_NUMBERS = ("runtime", "cpu_time", "hardware_peak", "virtual_peak")
FOR_MACHINES = frozenset({"start_time", "cpu_time", "hardware_peak", "virtual_peak", "key"})


class ByIdentity:
    """A function of values that is called once for each object; the same few values make up many configurations."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self._known: dict[int, tuple[Any, Any]] = {}

    def __call__(self, value: Any) -> Any:
        """Return the function of `value`."""
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = value, self._function(value)  # kept, so that its id stays its own
        return known[1]


def shown(value: Any) -> Any:
    """Return `value` as a table shows it: plain values as they are, others as readable text."""
    if type(value) in _PLAIN:
        return value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return readable(value)


def table_of(results: Sequence[Result], *, brief: bool = False) -> Columns:
    """Return the columns of `results`, one row for each; the rows of failed ones have None for what is missing.

    A brief table is for reading: it goes without the columns for machines, such as `key` and `start_time`.
    """
    readers = (_parameters(), _replicate, _how_it_went, _returned, _last_metrics, _closing)
    parameters, replicates, runs, returned, recorded, closing = _gather(results, *readers)
    groups = [
        ("", parameters),
        ("run", replicates),
        ("setting", _settings_of(results)),
        ("run", runs),
        ("result", returned),
        ("metric", recorded),
        ("run", closing),
    ]
    table: Columns = {}
    for group, columns in groups:
        for name, column in columns.items():
            if not (brief and group == "run" and name in FOR_MACHINES):
                table[free_name(name, group, table)] = column
    return table


def free_name(name: str, group: str, taken: Container[Any]) -> str:
    """Return `name`, behind the name of its group where it is taken."""
    while name in taken:
        name = f"{group}.{name}"
    return name


def _gather(results: Sequence[Result], *readers: Cells) -> list[Columns]:
    """Return the columns that each of `readers` gives rise to, going through the results once.

    A column comes into being when a row first has a cell for it.
    """
    gathered: list[Columns] = [{} for _ in readers]
    for row, result in enumerate(results):
        for read, columns in zip(readers, gathered, strict=True):
            for name, value in read(result):
                column = columns.get(name)
                if column is None:
                    column = columns[name] = [None] * len(results)
                column[row] = value
    return gathered


def parameters_of(results: Sequence[Result]) -> Columns:
    """Return the columns of the parameters."""
    return _gather(results, _parameters())[0]


def replicates_of(results: Sequence[Result]) -> Columns:
    """Return the column of the replicates' numbers, or none where there are no replicates."""
    return _gather(results, _replicate)[0]


def _parameters() -> Cells:
    text = ByIdentity(shown)
    return lambda result: [
        (name, value if type(value) in _PLAIN else text(value)) for name, value in result.config.asdict().items()
    ]


def _replicate(result: Result) -> Iterable[Cell]:
    replicate = result.config.replicate
    return () if replicate is None else (("replicate", replicate),)


def _settings_of(results: Sequence[Result]) -> Columns:
    """Return the columns of those settings in which the configurations differ."""
    text = ByIdentity(lambda settings: {name: shown(value) for name, value in settings.items()})
    rows = [text(result.config.settings) for result in results]
    distinct = list({id(row): row for row in rows}.values())
    names = dict.fromkeys(name for row in distinct for name in row)
    differing = [name for name in names if len({repr(row.get(name, ...)) for row in distinct}) > 1]
    return {f"setting.{name}": [row.get(name) for row in rows] for name in differing}


def _how_it_went(result: Result) -> Iterable[Cell]:
    outcome = result.outcome
    yield "status", result.status.value
    yield "start_time", result.start_time
    for name in RUN_NUMBERS:
        yield name, getattr(outcome, name, None)


def _returned(result: Result) -> Iterable[Cell]:
    """Yield the entries of a dict by their keys, anything else that is plain as `result`."""
    summary = result.summary
    if isinstance(summary, dict):
        return summary.items()
    return () if summary is None else (("result", summary),)


def _last_metrics(result: Result) -> Iterable[Cell]:
    """Yield the last value of each metric if the experiment succeeded: only then it is a result."""
    return result.metrics.last().items() if result.ok and result.has_metrics else ()


def _closing(result: Result) -> Iterable[Cell]:
    error = result.error
    return ("error", None if error is None else f"{error.type}: {error.message}"), ("key", result.key)


# ── one number for each configuration ───────────────────────────────────────────────────────────────────────────────


def numbers_of(results: Sequence[Result], name: str) -> list[float | None]:
    """Return the number called `name` of each result, None where there is none: it failed, or the number is NaN.

    Raises:
        UnknownMetric: nothing of that name was returned or recorded.
        OptionError: what has that name is not a number.
    """
    column = _column(results, name)
    values = [_number(value) for value in column]
    if all(value is None for value in values) and (wrong := [value for value in column if isinstance(value, str)]):
        raise OptionError(
            f"{name!r} is not a number but, for example, {wrong[0]!r}; use filter() to choose by it",
            option="metric",
            value=name,
        )
    return values


def _column(results: Sequence[Result], name: str) -> list[Any]:
    bare = name.removeprefix("run.")
    # Most are found in the heads; the metrics have to be loaded, so they are looked at last.
    (returned,) = _gather(results, _returned)
    if found := returned.get(name) or returned.get(name.removeprefix("result.")):
        return found
    if bare in RUN_NUMBERS:
        return [getattr(result.outcome, bare) if result.ok else None for result in results]
    (recorded,) = _gather(results, _last_metrics)
    if found := recorded.get(name) or recorded.get(name.removeprefix("metric.")):
        return found
    known = dict.fromkeys([*returned, *recorded, *RUN_NUMBERS])
    raise UnknownMetric(name, known, where="returned or recorded by any experiment that succeeded")


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and value == value else None


def best_row(results: Sequence[Result], name: str, *, maximize: bool) -> int:
    """Return the index of the result whose number called `name` is the highest (or lowest); of equals the first.

    Raises:
        NotStored: no experiment that succeeded has such a number.
    """
    numbers = numbers_of(results, name)
    rows = [row for row, number in enumerate(numbers) if number is not None]
    if not rows:
        raise NotStored(f"none of the {len(results)} experiments succeeded with a number for {name!r}")
    return (max if maximize else min)(rows, key=lambda row: numbers[row])  # type: ignore[arg-type,return-value]


# ── replicates ──────────────────────────────────────────────────────────────────────────────────────────────────────


def aggregate_table(results: Sequence[Result], name: str) -> Columns:
    """Return the mean, the standard deviation (n - 1) and n of `name` over the replicates of each configuration.

    Raises:
        OptionError: there are no replicates.
    """
    if not replicates_of(results):
        raise OptionError(
            "these configurations have no replicates to aggregate over; "
            "write 'replicates': 5 in the matrix to run each of them five times",
            option="replicates",
        )
    numbers = numbers_of(results, name)
    groups = _without_replicates([result.config for result in results])
    firsts = [results[rows[0]] for rows in groups]
    table = {**parameters_of(firsts), **_settings_of(firsts)}
    statistics: Columns = {"mean": [], "std": [], "n": [], "missing": []}
    for rows in groups:
        values = [number for row in rows if (number := numbers[row]) is not None]
        mean, deviation = _mean_and_deviation(values)
        for statistic, value in zip(statistics, (mean, deviation, len(values), len(rows) - len(values)), strict=True):
            statistics[statistic].append(value)
    for statistic, column in statistics.items():
        table[free_name(statistic, name, table)] = column
    return table


def _without_replicates(configs: Iterable[Config]) -> list[list[int]]:
    """Return the rows of each group of configurations that differ in nothing but their replicate."""
    digested = ByIdentity(digest)
    groups: dict[Any, list[int]] = {}
    for row, config in enumerate(configs):
        own = frozenset((name, digested(value)) for name, value in config.asdict().items())
        groups.setdefault((own, digested(config.settings)), []).append(row)
    return list(groups.values())


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    nan = float("nan")
    if not values:
        return nan, nan
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, nan
    return mean, (math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
