"""Everything here that needs pandas: records as a DataFrame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memento.errors import MissingExtra
from memento.recording.statistics import column_values

if TYPE_CHECKING:
    import pandas as pd

    from memento.recording.records import Records


def frame_of(records: Records) -> pd.DataFrame:
    """Return a DataFrame with a row for each of `records`, and a column for each name that any of them has."""
    try:
        import pandas
    except ImportError as error:
        raise MissingExtra("pandas", "pandas") from error
    parts = list(records.parts())
    own = {name for chunk, _ in parts for name in chunk.columns}
    # What the keepers know is looked up once for each chunk and then repeated, not once for each row.
    names = records.names()
    shared = [chunk.shared() for chunk, _ in parts]
    few = pandas.DataFrame({name: [each.get(name) for each in shared] for name in names if name not in own})
    many = few.take(_repeated([len(rows) for _, rows in parts])).reset_index(drop=True)
    columns: dict[str, Any] = {name: column_values(records, name) if name in own else many[name] for name in names}
    return pandas.DataFrame(columns, index=pandas.RangeIndex(len(records)))


def _repeated(lengths: Sequence[int]) -> list[int]:
    return [position for position, length in enumerate(lengths) for _ in range(length)]
