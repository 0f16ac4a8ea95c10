"""Values ⇄ JSON that every program reads: plain values, and beside them notes of what JSON cannot say.

What is written, the note, and what is read back:

    None, bool, int, str, finite float   themselves
    int of more than 1,024 bits          "0x…"                 int                  the same
    NaN                                  null                  float                NaN
    infinity                             "Infinity"            float                infinity
    numbers of numpy                     numbers                                    Python's numbers
    tuple, set, frozenset                list (sets sorted)    tuple, set, …        the same
    dict with other keys than strings    list of pairs         dict                 the same
    datetime, date, time                 "2024-05-01T12:00:00" datetime, date, time the same
    timedelta                            seconds               timedelta            the same
    pandas.Timestamp                     the same as datetime  Timestamp:ns         the same
    Path, UUID, Decimal, Fraction        their text            path, UUID, …        the same
    an Enum's member                     its name              enum:module:Class    the member, where Class is imported
    bytes                                base64                bytes                the same
    complex                              [real, imaginary]     complex              the same
    numpy.datetime64                     "2024-05-01"          datetime64           the same
    a subclass of one of these           as its base           tuple:module:Class   a named tuple of a known Class
                                                               like:module:Class    OrderedDict, Counter; else the base
    numpy.ndarray of plain numbers, …    nested lists          ndarray:<f8          an array
    a dataclass                          object of its fields  dataclass:Class      a dict
    anything else                        its short text        text:Class           the text

A note stands under the JSON pointer (RFC 6901) of its value. This is a file format: only add to it.
"""

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
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from memento.capture import arrays, times
from memento.hashing import readable
from memento.hashing.naming import qualified, resolve
from memento.hashing.text import WIDEST_INTEGER

SIMPLE = frozenset({type(None), bool, int, str})
"""Types of which every value is its own JSON, but for the widest integers."""


class Notes(dict[str, str]):
    """JSON pointers → what stands there; `approximate` when a number was written that is not Python's own."""

    approximate = False


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


def from_plain(value: Any, notes: dict[str, str]) -> tuple[Any, list[str]]:
    """Return what `to_plain` was given, and the pointers to what is not quite that, such as a mere text.

    Example:
        >>> from_plain({"shape": [2, 3], "model": "SVC()"}, {"/shape": "tuple", "/model": "text:sklearn.svm:SVC"})
        ({'shape': (2, 3), 'model': 'SVC()'}, ['/model'])
    """
    inexact: list[str] = []
    holder = [value]
    for pointer in sorted(notes, key=lambda pointer: -pointer.count("/")):
        steps: list[Any] = [0, *(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])]
        parent: Any = holder
        try:
            for step in steps[:-1]:
                parent = parent[int(step) if isinstance(parent, list) else step]
            last = int(steps[-1]) if isinstance(parent, list) else steps[-1]
            parent[last], exact = _restored(parent[last], notes[pointer])
        except (LookupError, ValueError, TypeError, ArithmeticError, ImportError):
            exact = False  # somebody edited the file; the plain value stands
        if not exact:
            inexact.append(pointer)
    return holder[0], inexact


def is_simple(value: Any) -> bool:
    """Return whether `value` is immutable and its own JSON.

    >>> is_simple(2**1000), is_simple(2**2000), is_simple(0.5)
    (True, False, False)
    """
    kind = type(value)
    return kind in SIMPLE and (kind is not int or value.bit_length() <= WIDEST_INTEGER)


def step_to(name: str) -> str:
    """Return the pointer from an object to its entry `name`."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def first_step(pointer: str) -> str:
    """Return the name of the entry that `pointer` leads to or into.

    >>> first_step("/model/0/layers")
    'model'
    """
    return pointer.split("/")[1].replace("~1", "/").replace("~0", "~")


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


def _restored(plain: Any, note: str) -> tuple[Any, bool]:
    name, _, more = note.partition(":")
    if name == "enum":
        kind = _class_of(more)
        return (kind[plain], True) if isinstance(kind, enum.EnumMeta) else (plain, False)
    if name in _DESCRIBED:
        read: tuple[Any, bool] = _DESCRIBED[name](plain, more)
        return read
    reader = _READERS.get(name)
    if reader is None:
        return plain, False
    value = reader(plain)
    return as_kind(value, more) if more else (value, True)


def _class_of(described: str) -> Any:
    module, _, name = described.partition(":")
    return resolve(module, name) or resolve("__main__", name)


def as_kind(value: Any, described: str) -> tuple[Any, bool]:
    """Return `value` as one of the class described as `module:Class`, as `made_again` does."""
    return made_again(value, _class_of(described))


def made_again(value: Any, kind: Any) -> tuple[Any, bool]:
    """Return `value` as one of a subclass of its class where it is known how that is made, and whether it is."""
    if kind in (Counter, OrderedDict) and isinstance(value, dict):
        return kind(value), True
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_make"):
        return kind._make(value), True
    return value, False


def _path(plain: str, name: str) -> tuple[PurePath, bool]:
    pure = {"PurePosixPath": PurePosixPath, "PureWindowsPath": PureWindowsPath}.get(name)
    return (Path(plain), not name) if pure is None else (pure(plain), True)


_DESCRIBED: dict[str, Callable[[Any, str], tuple[Any, bool]]] = {
    "datetime": times.datetime_from,
    "time": times.time_from,
    "Timestamp": times.timestamp_from,
    "datetime64": lambda plain, dtype: (times.datetime64_from(plain, dtype), True),
    "ndarray": lambda plain, described: (arrays.array_from(plain, described), True),
    "path": _path,
}
"""Readers of notes that say more than a class behind the name."""


_READERS: dict[str, Callable[[Any], Any]] = {
    "int": lambda plain: int(plain, 16),
    "like": lambda plain: plain,
    "float": arrays.float_from,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "bytes": base64.b64decode,
    "complex": lambda plain: complex(*plain),
    "date": datetime.date.fromisoformat,
    "timedelta": times.timedelta_from,
    "Decimal": decimal.Decimal,
    "Fraction": fractions.Fraction,
    "UUID": uuid.UUID,
}
