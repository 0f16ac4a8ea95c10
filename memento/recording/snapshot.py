"""Values as they are now: what can change later is copied when it is recorded, and not when it is written."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import NoneType
from typing import Any

UNCHANGING = frozenset((int, float, str, bool, bytes, complex, NoneType))


def as_it_is(value: Any) -> Any:
    """Return `value` if it cannot change, else a copy; itself where it cannot be copied.

    >>> weights = [1, 2]
    >>> kept = as_it_is(weights)
    >>> weights.append(3)
    >>> kept
    [1, 2]
    """
    if type(value) in UNCHANGING:
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # a lock, an open file: what is written of it is a text all the same
        return value


def as_they_are(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict of the values of `record` as they are now."""
    return {name: as_it_is(value) for name, value in record.items()}
