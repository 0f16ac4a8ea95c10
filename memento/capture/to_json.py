"""Values → JSON, with notes of what JSON cannot say, as `notation` lists them."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import sys
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath
from typing import Any

from memento.capture import arrays, times
from memento.capture.notation import Notes, is_simple, step_to
from memento.hashing import readable
from memento.hashing.naming import qualified


def to_plain(value: Any, notes: Notes, place: str = "") -> Any:
    """Return `value` as JSON can hold it, and add to `notes` what JSON cannot say; never fails.

    Example:
        >>> notes = Notes()
        >>> to_plain({"shape": (2, 3), "loss": float("nan")}, notes), notes
        ({'shape': [2, 3], 'loss': None}, {'/shape': 'tuple', '/loss': 'float'})
    """
    try:
        return _plain(value, notes, place)
    except Exception:  # whatever a value of a foreign class raises, the call was made
        for below in [pointer for pointer in notes if pointer.startswith(place + "/")]:
            del notes[below]
        return _text(value, notes, place)


def _plain(value: Any, notes: Notes, place: str) -> Any:
    kind = type(value)
    if is_simple(value):
        return value
    if kind is int:
        return _noted(hex(value), "int", notes, place)
    if kind is float:
        return value if math.isfinite(value) else _noted(arrays.not_finite(value), "float", notes, place)
    if kind is list:
        return _listed(value, notes, place)
    if kind is dict and all(type(name) is str for name in value):
        return {name: _plain(inner, notes, place + step_to(name)) for name, inner in value.items()}
    writer = _WRITERS.get(kind)
    if writer is not None:
        return _noted(writer(value, notes, place), _note_of(value, kind), notes, place)
    return _of_a_kind(value, notes, place)


def _noted(plain: Any, note: str, notes: Notes, place: str) -> Any:
    notes[place] = note
    return plain


def _note_of(value: Any, kind: type) -> str:
    more = times.note_of(value) if kind in _ZONED else ""
    return f"{kind.__name__}:{more}" if more else kind.__name__


def _listed(values: Iterable[Any], notes: Notes, place: str) -> list[Any]:
    listed = list(values)
    if all(map(is_simple, listed)):
        return listed
    return [_plain(value, notes, f"{place}/{index}") for index, value in enumerate(listed)]


def _ordered(values: Iterable[Any], notes: Notes, place: str) -> list[Any]:
    try:
        ordered = sorted(values)
    except Exception:  # of several types, or NaN among Decimals; by their text equal sets are written alike
        ordered = sorted(values, key=lambda value: (type(value).__qualname__, readable(value)))
    return _listed(ordered, notes, place)


def _pairs(value: dict[Any, Any], notes: Notes, place: str) -> list[Any]:
    return [_listed(pair, notes, f"{place}/{index}") for index, pair in enumerate(value.items())]


_WRITERS: dict[type, Callable[[Any, Notes, str], Any]] = {
    tuple: _listed,
    set: _ordered,
    frozenset: _ordered,
    dict: _pairs,
    bytes: lambda value, *_: base64.b64encode(value).decode(),
    complex: lambda value, notes, place: _listed((value.real, value.imag), notes, place),
    datetime.datetime: lambda value, *_: value.isoformat(),
    datetime.date: lambda value, *_: value.isoformat(),
    datetime.time: lambda value, *_: value.isoformat(),
    datetime.timedelta: lambda value, *_: times.seconds_of(value),
    decimal.Decimal: lambda value, *_: str(value),
    fractions.Fraction: lambda value, *_: str(value),
    uuid.UUID: lambda value, *_: str(value),
}


_ZONED = frozenset({datetime.datetime, datetime.time})


def _datetime_of(value: Any) -> datetime.datetime:
    return datetime.datetime.combine(value.date(), value.timetz(), value.tzinfo)


_BASES: dict[type, Callable[[Any], Any]] = {
    str: str,
    int: int,
    float: float,
    datetime.datetime: _datetime_of,
    datetime.date: lambda value: datetime.date(value.year, value.month, value.day),
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    dict: dict,
    list: list,
}


def _of_a_kind(value: Any, notes: Notes, place: str) -> Any:
    """Return the plain form of a value that is of a subclass or of another library."""
    if isinstance(value, enum.Enum):
        return _noted(value.name or str(value), f"enum:{qualified(type(value))}", notes, place)
    if isinstance(value, PurePath):
        concrete = isinstance(value, Path) and isinstance(value, type(Path()))
        return _noted(str(value), "path" if concrete else f"path:{type(value).__name__}", notes, place)
    if isinstance(value, type) or callable(value):
        return _text(value, notes, place)
    pandas, numpy = sys.modules.get("pandas"), sys.modules.get("numpy")
    if pandas is not None and type(value) is getattr(pandas, "Timestamp", None):
        return _noted(value.isoformat(), times.timestamp_note(value), notes, place)
    if numpy is not None and isinstance(value, numpy.generic):
        return _scalar(value, notes, place)
    for base, plainer in _BASES.items():
        if isinstance(value, base) and (base is not datetime.datetime or value == value):  # pandas' NaT is no time
            plain = _plain(plainer(value), notes, place)
            return _noted(plain, f"{notes.get(place, 'like')}:{qualified(type(value))}", notes, place)
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _noted(_plain(fields, notes, place), f"dataclass:{qualified(type(value))}", notes, place)
    if numpy is not None and isinstance(value, numpy.ndarray) and arrays.is_listed(value):
        plain, note = arrays.listed(value)
        return _noted(plain, note, notes, place)
    return _text(value, notes, place)


def _scalar(value: Any, notes: Notes, place: str) -> Any:
    kind = value.dtype.kind
    if kind == "M":
        return _noted(str(value), times.datetime64_note(value), notes, place)
    number = arrays.number_of(value)
    if number is None:
        return _text(value, notes, place)
    notes.approximate = True
    return _plain(number, notes, place)


def _text(value: Any, notes: Notes, place: str) -> str:
    kind = type(value)
    try:
        text = readable(value)
    except Exception:  # an object whose repr fails
        text = f"<{kind.__qualname__}>"
    return str(_noted(text, f"text:{qualified(kind)}", notes, place))
