"""Records as a DataFrame."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memento.dataframes import exact, load_pandas
from memento.recording.statistics import column_values
from memento.scalars import is_common_time, is_time

if TYPE_CHECKING:
    import pandas as pd

    from memento.recording.records import Records


def frame_of(records: Records) -> pd.DataFrame:
    """Return a DataFrame with a row for each of `records`, and a column for each name that any of them has."""
    pandas = load_pandas()
    parts = list(records.parts())
    own = {name for chunk, _ in parts for name in chunk.columns}
    # What the keepers know is looked up once for each chunk and then repeated, not once for each row.
    names = records.names()
    shared = [chunk.shared() for chunk, _ in parts]
    few = pandas.DataFrame(
        {name: _column(pandas, [each.get(name) for each in shared]) for name in names if name not in own},
        index=pandas.RangeIndex(len(parts)),
    )
    many = few.take(_repeated([len(rows) for _, rows in parts])).reset_index(drop=True)
    columns: dict[str, Any] = {
        name: _column(pandas, column_values(records, name)) if name in own else many[name] for name in names
    }
    frame: pd.DataFrame = pandas.DataFrame(columns, index=pandas.RangeIndex(len(records)))
    return frame


def _column(pandas: Any, values: Sequence[Any]) -> Any:
    """Return `values`, as objects where pandas would change or refuse a time of numpy of a unit that it lacks."""
    if isinstance(values, array):
        return values
    if all(is_common_time(value) for value in values if is_time(value)):
        return exact(values)
    return pandas.Series(values, dtype=object)


def _repeated(lengths: Sequence[int]) -> list[int]:
    return [position for position, length in enumerate(lengths) for _ in range(length)]
