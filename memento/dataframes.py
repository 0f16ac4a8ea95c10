"""What every DataFrame is made with: pandas, which may not be there, and columns whose values it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memento.errors import MissingExtra

EXACT_IN_FLOATS = 1 << 53
"""Up to here a float has a value for each integer."""


def load_pandas() -> Any:
    """Return the module pandas.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise MissingExtra("pandas", "pandas") from error
    return pandas


def exact(values: Sequence[Any]) -> Any:
    """Return `values`, as "Int64" where pandas would make floats of integers because some are missing, and err."""
    there = [value for value in values if value is not None]
    if len(there) == len(values) or not there or any(type(value) is not int for value in there):
        return values
    if max(map(abs, there)) <= EXACT_IN_FLOATS:
        return values
    fit = all(-(1 << 63) <= value < 1 << 63 for value in there)
    return load_pandas().array(list(values), dtype="Int64" if fit else object)
