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
    from memento.result import Result

Columns = dict[str, list[Any]]

_PLAIN = frozenset(
    {type(None), bool, int, float, str, datetime.date, datetime.datetime, datetime.time, datetime.timedelta}
)
RUN_NUMBERS: dict[str, Callable[[Result], float]] = {
    "runtime": lambda result: result.runtime.total_seconds(),
    "cpu_time": lambda result: result.cpu_time.total_seconds(),
    "hardware_peak": lambda result: result.memory.hardware_peak,
    "virtual_peak": lambda result: result.memory.virtual_peak,
}
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
    closing = {"error": [_error_text(result) for result in results], "key": [result.key for result in results]}
    groups = [
        ("", parameters_of(results)),
        ("run", replicates_of(results)),
        ("setting", _settings_of(results)),
        ("run", _runs_of(results)),
        ("result", returned_of(results)),
        ("metric", last_metrics_of(results)),
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


class _Sparse:
    """Columns that come into being when a row first has a value for them."""

    def __init__(self, rows: int) -> None:
        self.columns: Columns = {}
        self._rows = rows

    def put(self, row: int, name: str, value: Any) -> None:
        column = self.columns.get(name)
        if column is None:
            column = self.columns[name] = [None] * self._rows
        column[row] = value


def parameters_of(results: Sequence[Result]) -> Columns:
    """Return the columns of the parameters."""
    sparse = _Sparse(len(results))
    text = ByIdentity(shown)
    for row, result in enumerate(results):
        for name, value in result.config.items():
            sparse.put(row, name, value if type(value) in _PLAIN else text(value))
    return sparse.columns


def replicates_of(results: Sequence[Result]) -> Columns:
    """Return the column of the replicates' numbers, or none where there are no replicates."""
    replicates = [result.config.replicate for result in results]
    return {"replicate": replicates} if any(replicate is not None for replicate in replicates) else {}


def _settings_of(results: Sequence[Result]) -> Columns:
    """Return the columns of those settings in which the configurations differ."""
    text = ByIdentity(lambda settings: {name: shown(value) for name, value in settings.items()})
    rows = [text(result.config.settings) for result in results]
    distinct = list({id(row): row for row in rows}.values())
    names = dict.fromkeys(name for row in distinct for name in row)
    differing = [name for name in names if len({repr(row.get(name, ...)) for row in distinct}) > 1]
    return {f"setting.{name}": [row.get(name) for row in rows] for name in differing}


def _runs_of(results: Sequence[Result]) -> Columns:
    columns: Columns = {
        "status": [result.status.value for result in results],
        "start_time": [result.start_time for result in results],
    }
    return columns | {name: [read(result) for result in results] for name, read in RUN_NUMBERS.items()}


def returned_of(results: Sequence[Result]) -> Columns:
    """Return the columns of what was returned: a dict's entries by key, anything else that is plain as `result`."""
    sparse = _Sparse(len(results))
    for row, result in enumerate(results):
        summary = result.summary
        if isinstance(summary, dict):
            for name, value in summary.items():
                sparse.put(row, name, value)
        elif summary is not None:
            sparse.put(row, "result", summary)
    return sparse.columns


def last_metrics_of(results: Sequence[Result]) -> Columns:
    """Return the columns of the last value of each metric, of those experiments that succeeded."""
    sparse = _Sparse(len(results))
    for row, result in enumerate(results):
        if result.ok and result.has_metrics:
            for name, value in result.metrics.last().items():
                sparse.put(row, name, value)
    return sparse.columns


def _error_text(result: Result) -> str | None:
    return None if result.error is None else f"{result.error.type}: {result.error.message}"


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
    returned = returned_of(results)
    for candidate in (name, name.removeprefix("result.")):
        if candidate in returned:
            return returned[candidate]
    bare = name.removeprefix("run.")
    if bare in RUN_NUMBERS:
        read = RUN_NUMBERS[bare]
        return [read(result) if result.ok else None for result in results]
    recorded = last_metrics_of(results)
    for candidate in (name, name.removeprefix("metric.")):
        if candidate in recorded:
            return recorded[candidate]
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
        own = frozenset((name, digested(value)) for name, value in config.items())
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
