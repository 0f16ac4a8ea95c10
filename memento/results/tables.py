"""Results as columns of plain values, without pandas and without unpickling anything.

A table's columns are, in this order: the parameters, `replicate`, settings that differ, how the experiment went, what
it returned, the last value of each metric, `error` and `key`. Each column has a name of its own: where two would share
one, the later of them gets its group before it, as in `result.depth` beside a parameter `depth`.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Container, Iterable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from memento.hashing import readable
from memento.scalars import is_common_time, is_time, plain_of

if TYPE_CHECKING:
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
    """Return `value` as a table shows it: plain values and times as they are, others as readable text."""
    if type(value) in _PLAIN or isinstance(value, datetime.datetime | datetime.timedelta):  # pandas' among them
        return value
    if getattr(value, "shape", None) == ():
        if is_time(value):
            return value if is_common_time(value) else str(value)
        with contextlib.suppress(Exception):  # not every library's scalar is one of Python's
            plain = plain_of(value)
            if plain is not value or isinstance(value, Real):  # numpy's longest floats are none of Python's
                return plain
    return readable(value)


def table_of(results: Sequence[Result], *, brief: bool = False) -> Columns:
    """Return the columns of `results`, one row for each; the rows of failed ones have None for what is missing.

    A brief table is for reading: it goes without the columns for machines, such as `key` and `start_time`.
    """
    readers = (_parameters(), _replicate, _how_it_went, returned_by, last_metrics, _closing)
    parameters, replicates, runs, returned, recorded, closing = gather(results, *readers)
    groups = [
        ("", parameters),
        ("run", replicates),
        ("setting", settings_of(results)),
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


def gather(results: Sequence[Result], *readers: Cells) -> list[Columns]:
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
    return gather(results, _parameters())[0]


def replicates_of(results: Sequence[Result]) -> Columns:
    """Return the column of the replicates' numbers, or none where there are no replicates."""
    return gather(results, _replicate)[0]


def _parameters() -> Cells:
    text = ByIdentity(shown)
    return lambda result: [
        (name, value if type(value) in _PLAIN else text(value)) for name, value in result.config.asdict().items()
    ]


def _replicate(result: Result) -> Iterable[Cell]:
    replicate = result.config.replicate
    return () if replicate is None else (("replicate", replicate),)


def settings_of(results: Sequence[Result]) -> Columns:
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


def returned_by(result: Result) -> Iterable[Cell]:
    """Yield the entries of a dict and its like by their names, anything else that is plain as `result`."""
    summary = result.summary
    if isinstance(summary, dict):
        return summary.items()
    return () if summary is None else (("result", summary),)


def last_metrics(result: Result) -> Iterable[Cell]:
    """Yield the last value of each metric if the experiment succeeded: only then it is a result."""
    return result.metrics.last().items() if result.ok and result.has_metrics else ()


def _closing(result: Result) -> Iterable[Cell]:
    error = result.error
    return ("error", None if error is None else error.title), ("key", result.key)
