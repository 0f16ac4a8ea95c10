"""Results as DataFrames."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memento.dataframes import exact, load_pandas
from memento.errors import OptionError
from memento.results.tables import Columns, free_name, parameters_of, replicates_of, table_of
from memento.wording import printable

if TYPE_CHECKING:
    import pandas as pd

    from memento.payload import Points
    from memento.results.result import Result


def frame_of(columns: Columns) -> pd.DataFrame:
    """Return `columns` as a DataFrame, with every digit of integers.

    Half a surrogate pair, which Arrow cannot hold, becomes an escape.
    """
    columns = {name: exact(values) for name, values in columns.items()}
    try:
        frame: pd.DataFrame = load_pandas().DataFrame(columns)
    except UnicodeEncodeError:
        frame = load_pandas().DataFrame({name: list(map(_escaped, values)) for name, values in columns.items()})
    return frame


def _escaped(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def frame_of_points(points: Points) -> pd.DataFrame:
    """Return one metric as a DataFrame with the columns `x` and `y`."""
    frame: pd.DataFrame = load_pandas().DataFrame({"x": points[0], "y": points[1]}, dtype="float64")
    return frame


def metrics_frame(results: Sequence[Result]) -> pd.DataFrame:
    """Return all recorded points, one row each: parameters, status, key, metric, x, y.

    Where a parameter has one of these names, the column's is `metric.x` and so on.
    """
    results = [result for result in results if result.has_metrics]
    rows, names, lengths = array("q"), list[str](), array("q")
    xs, ys = array("d"), array("d")
    for row, result in enumerate(results):
        for name in result.metrics:
            points = result.metric_points(name)
            rows.append(row)
            names.append(name)
            lengths.append(len(points[0]))
            xs.extend(points[0])
            ys.extend(points[1])
    series = frame_of({**parameters_of(results), **replicates_of(results)})
    for name, column in (("status", [result.status.value for result in results]), ("key", [r.key for r in results])):
        series[free_name(name, "metric", series)] = column
    series = series.take(rows)
    series[free_name("metric", "metric", series)] = names
    long = series.take(_repeated(lengths)).reset_index(drop=True)
    for name, values in (("x", xs), ("y", ys)):
        long[free_name(name, "metric", long)] = values
    return long


def _repeated(lengths: Sequence[int]) -> array[int]:
    return array("q", (position for position, length in enumerate(lengths) for _ in range(length)))


def pivot(
    results: Sequence[Result], index: str | Sequence[str], columns: str | Sequence[str], values: str
) -> pd.DataFrame:
    """Return the column `values` of the table, with rows by `index` and columns by `columns`.

    Raises:
        OptionError: there is no such column, or two configurations would share a cell.
    """
    table = table_of(results)
    frame = frame_of(table)
    chosen = [*_names(index), *_names(columns)]
    for name in (*chosen, values):
        if name not in frame:
            raise OptionError(
                f"there is no column {name!r} to pivot; there is: {', '.join(map(repr, frame.columns))}",
                option="pivot",
                value=name,
            )
    shared = frame[frame.duplicated(chosen, keep=False)]
    if len(shared):
        raise _shared_cell(table, shared, chosen, [*parameters_of(results), *replicates_of(results)])
    return frame.pivot(index=index, columns=columns, values=values)


def _names(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


def _shared_cell(table: Columns, shared: pd.DataFrame, chosen: Sequence[str], names: Sequence[str]) -> OptionError:
    cells = shared.groupby(list(chosen), dropna=False).ngroup()
    rows = [int(row) for row in shared.index[cells == cells.iloc[0]]]
    cell = ", ".join(f"{name}={table[name][rows[0]]!r}" for name in chosen)
    seen = {name: {repr(table[name][row]): None for row in rows} for name in dict.fromkeys([*names, *chosen])}
    differing = [
        f"{name} ({' and '.join(values)} are equal)" if name in chosen else name
        for name, values in seen.items()
        if len(values) > 1
    ]
    what = f" and differ in {', '.join(differing)}" if differing else ""
    return OptionError(
        f"{len(rows)} configurations share the cell {cell}{what}; "
        "choose one of them with filter(), or take the mean over replicates with aggregate()",
        option="pivot",
        value=cell,
    )
