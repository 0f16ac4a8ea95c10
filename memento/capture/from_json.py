"""JSON, and notes of what JSON cannot say → values, as `notation` lists them."""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import fractions
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from memento.capture import arrays, times
from memento.hashing.naming import resolve


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
