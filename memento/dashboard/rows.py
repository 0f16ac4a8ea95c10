"""Configurations as rows of a table: what varies, how it went, what it gave; read from heads and sheets alone.

A column's name begins with its group, as in `parameter:lr`, `run:status` and `result:accuracy`, so that two of one
name are told apart; `title_of` is what a reader sees.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from memento import payload
from memento.task import Outcome

PARAMETER, RUN, RESULT = "parameter:", "run:", "result:"
STATUS, KEY, ERROR, STARTED, RUNTIME = (f"{RUN}{name}" for name in ("status", "key", "error", "started", "runtime"))
FURTHER = f"{RUN}cpu_time", f"{RUN}memory", f"{RUN}attempt", f"{RUN}host", f"{RUN}run"
# JavaScript's numbers are floats: beyond this an integer would be shown as another one.
EXACT_IN_FLOATS = 1 << 53
# What JavaScript takes for an object's prototype, wherever a library uses it as a key: no table comes up with it.
UNUSABLE = "__proto__"

Cell = str | int | float | bool | None
Row = Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column: its `name`, and whether all that is in it are numbers."""

    name: str
    numeric: bool


def row_of(outcome: Outcome, text: str | None) -> Row:
    """Return the row of `outcome`, whose configuration has the `text` that its run's sheet gives."""
    row: dict[str, Cell] = {f"{PARAMETER}{name}": cell_of(value) for name, value in parameters_of(text).items()}
    row |= {STATUS: outcome.status.value, RUNTIME: outcome.runtime}
    returned = payload.summary_of(outcome.summary) if outcome.status.ok else None
    if isinstance(returned, dict):
        row |= {f"{RESULT}{name}": _shown(value) for name, value in returned.items() if name != UNUSABLE}
    elif returned is not None:
        row[f"{RESULT}value"] = _shown(returned)
    return row | {
        ERROR: outcome.failure.title if outcome.failure is not None else None,
        STARTED: outcome.started,
        f"{RUN}cpu_time": outcome.cpu_time,
        f"{RUN}memory": outcome.hardware_peak or None,
        f"{RUN}attempt": outcome.attempt,
        f"{RUN}host": outcome.host,
        f"{RUN}run": outcome.run.hex(),
        KEY: outcome.key.hex(),
    }


def parameters_of(text: str | None) -> dict[str, str]:
    """Return the readable values by name of a configuration's `text`; none where nothing is known of it."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


@functools.lru_cache(maxsize=10_000)  # the same few values make up many configurations
def cell_of(text: str) -> Cell:
    """Return a readable value as what it stands for, where that is a number, a truth value or a string.

    >>> cell_of("0.1"), cell_of("'svm'"), cell_of("True"), cell_of("sklearn.svm.SVC"), cell_of("[1, 2]")
    (0.1, 'svm', True, 'sklearn.svm.SVC', '[1, 2]')
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return _shown(value) if isinstance(value, str | int | float) else text


def _shown(value: Any) -> Cell:
    if value is None or isinstance(value, str | bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) <= EXACT_IN_FLOATS else str(value)
    return json.dumps(value)


def columns_of(rows: Iterable[Row]) -> list[Column]:
    """Return the columns of `rows`: parameters, how it went, what was returned, and the rest."""
    numeric: dict[str, bool | None] = {}
    for row in rows:
        for name, cell in row.items():
            if cell is not None and numeric.get(name) is not False:
                numeric[name] = isinstance(cell, int | float) and not isinstance(cell, bool)
            else:
                numeric.setdefault(name, None)
    groups = (
        [name for name in numeric if name.startswith(PARAMETER)],
        [STATUS],
        [name for name in numeric if name.startswith(RESULT)],
        [ERROR, RUNTIME, STARTED, *FURTHER, KEY],
    )
    return [Column(name=name, numeric=bool(numeric[name])) for group in groups for name in group if name in numeric]


def title_of(name: str) -> str:
    """Return a column's name as a reader sees it.

    >>> title_of("parameter:lr"), title_of("run:cpu_time")
    ('lr', 'cpu time')
    """
    group, _, own = name.partition(":")
    return own.replace("_", " ") if f"{group}:" == RUN else own
