"""Arrays and numbers of numpy ⇄ nested lists and Python's numbers; numpy is imported only to make an array again."""

from __future__ import annotations

import importlib
import math
from typing import Any

from memento.hashing.naming import qualified

_INFINITIES = {math.inf: "Infinity", -math.inf: "-Infinity"}
_DOUBLE = {"f": 8, "c": 16}
"""Bytes of the longest floats and complex numbers of numpy that are Python's too."""


def not_finite(value: float) -> str | None:
    """Return how a NaN or an infinity is written."""
    return _INFINITIES.get(value)


def float_from(plain: Any) -> float:
    """Return the float, which may be a NaN or an infinity."""
    return math.nan if plain is None else float(plain)


def number_of(scalar: Any) -> Any:
    """Return the number of Python that a scalar of numpy stands for; None if there is none that has all its digits."""
    kind = scalar.dtype.kind
    if kind not in "biufcU":
        return None
    if scalar.dtype.itemsize <= _DOUBLE.get(kind, scalar.dtype.itemsize):
        return scalar.item()
    number = float(scalar) if kind == "f" else complex(scalar)
    return number if number == scalar or scalar != scalar else None


def is_listed(array: Any) -> bool:
    """Return whether `array` is written as nested lists; its class may mean more by it, such as a unit."""
    own = type(array).__module__.partition(".")[0] == "numpy"
    return own and type(array).__name__ in ("ndarray", "memmap", "MaskedArray") and array.dtype.kind in "biufUM"


def listed(array: Any) -> tuple[Any, str]:
    """Return `array` as nested lists and their note, of which `array_from` makes the same array, if that can be."""
    dtype = array.dtype
    empty = f":{','.join(map(str, array.shape))}" if array.size == 0 else ""
    note = f"ndarray:{dtype.str}{empty}"
    if hasattr(array, "mask"):
        note = f"like:{qualified(type(array))}"
    elif dtype.kind == "f" and dtype.itemsize > _DOUBLE["f"]:
        shorter = array.astype(float)
        if not ((shorter == array) | (array != array)).all():
            note = f"like:{qualified(type(array))}"
    if dtype.kind == "M":
        return array.astype(str).tolist(), note
    if dtype.kind == "f":
        return _finite(array.astype(float).tolist()), note
    return array.tolist(), note


def _finite(values: Any) -> Any:
    if isinstance(values, list):
        return [_finite(value) for value in values]
    return values if values is None or math.isfinite(values) else not_finite(values)


def array_from(plain: Any, described: str) -> Any:
    """Return the array of which `listed` made `plain`."""
    numpy = importlib.import_module("numpy")
    dtype, _, shape = described.partition(":")
    if numpy.dtype(dtype).kind == "f":
        plain = _with_not_finite(plain)
    array = numpy.array(plain, dtype=dtype)
    return array.reshape([int(length) for length in shape.split(",")]) if shape else array


def _with_not_finite(values: Any) -> Any:
    if isinstance(values, list):
        return [_with_not_finite(value) for value in values]
    return float_from(values)
