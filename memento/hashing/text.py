"""Values as people read them: `sklearn.svm.SVC` rather than `<class 'sklearn.svm._classes.SVC'>`."""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Iterable
from pathlib import PurePath, PureWindowsPath
from typing import Any

from memento.errors import UnkeyableValue
from memento.hashing.encoding import encode
from memento.hashing.forms import short_hash
from memento.hashing.naming import public_name

LONGEST = 120
_DEEPEST = 6
WIDEST_INTEGER = 1024
"""Bits of an integer that every Python writes and reads in decimal: it may refuse more than 640 digits."""
_LARGEST_INT_BITS = 400
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")


def readable(value: Any) -> str:
    """Return a short text for `value`: its repr where that is plain, a dotted name for classes and functions.

    Two texts may be alike for different values, a digest may not; no text has an address in memory in it.

    Example:
        >>> import collections
        >>> readable(collections.OrderedDict), readable("mnist"), readable([1, 2])
        ('collections.OrderedDict', "'mnist'", '[1, 2]')
    """
    return _capped(_text(value, 0))


def _capped(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _text(value: Any, depth: int) -> str:
    kind = type(value)
    if kind is int and value.bit_length() > _LARGEST_INT_BITS:  # Python refuses to write out the largest
        return f"int of {value.bit_length()} bits {_mark(value)}"
    if kind in (str, bytes):
        return repr(value[:LONGEST])
    if value is None or kind in (bool, int, float, complex):
        return repr(value)
    if depth > _DEEPEST:
        return "…"
    if kind in (list, tuple, set, frozenset):
        return _collection(value, depth)
    if kind is dict:
        pairs = (f"{_text(key, depth + 1)}: {_text(item, depth + 1)}" for key, item in value.items())
        return f"{{{_joined(pairs)}}}"
    return _named(value) or _composed(value, depth) or _own(value)


def _named(value: Any) -> str | None:
    """Return the text of what is known by its name."""
    if isinstance(value, types.MethodType) and not isinstance(value.__self__, type):
        return f"{_own(value.__self__)}.{value.__name__}"
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.MethodType):
        return public_name(value)
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, enum.Enum):
        return str(value) if value.name is None else f"{type(value).__qualname__}.{value.name}"
    if callable(value) and isinstance(getattr(value, "__qualname__", None), str):  # compiled, or wrapped
        return public_name(value)
    return None


def _composed(value: Any, depth: int) -> str | None:
    """Return the text of what consists of other values."""
    kind = type(value)
    if isinstance(value, PurePath):
        name = "PureWindowsPath" if isinstance(value, PureWindowsPath) else "Path"
        return f"{name}({value.as_posix()!r})"
    if (kind.__module__, kind.__qualname__) == ("functools", "partial"):
        keywords = (f"{name}={_text(item, depth + 1)}" for name, item in value.keywords.items())
        args = (_text(item, depth + 1) for item in value.args)
        return f"{_text(value.func, depth + 1)}({_joined([*args, *keywords])})"
    if "__dataclass_fields__" in kind.__dict__ and kind.__dict__.get("__repr__") is not None:
        shown = [field.name for field in value.__dataclass_fields__.values() if field.repr]
        fields = (f"{name}={_text(getattr(value, name, None), depth + 1)}" for name in shown)
        return f"{kind.__qualname__}({_joined(fields)})"
    if hasattr(value, "shape") and isinstance(value.shape, tuple) and value.shape:
        dtype = f" {value.dtype}" if hasattr(value, "dtype") else ""
        return f"{kind.__name__}({', '.join(map(str, value.shape))}){dtype} {_mark(value)}"
    return None


def _collection(value: Any, depth: int) -> str:
    if not value:
        return repr(value)
    if isinstance(value, set | frozenset):
        text = "{" + ", ".join(sorted(_text(item, depth + 1) for item in value)) + "}"
        return text if isinstance(value, set) else f"frozenset({text})"
    text = _joined(_text(item, depth + 1) for item in value)
    if isinstance(value, tuple):
        return f"({text},)" if len(value) == 1 else f"({text})"
    return f"[{text}]"


def _joined(texts: Iterable[str]) -> str:
    """Return texts with commas between them, reading no more of them than will be shown."""
    found, length = [], 0
    for text in texts:
        found.append(text)
        length += len(text) + 2
        if length > LONGEST:
            break
    return ", ".join(found)


def _own(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:  # somebody's repr, which is not what is asked about here
        text = "<"
    if text.startswith("<") or _ADDRESS.search(text):  # an address says nothing, and another one each time
        return f"{type(value).__qualname__} {_mark(value)}"
    return text


def _mark(value: Any) -> str:
    """Return a few digits that tell values apart, `#?` for one without a digest."""
    try:
        return f"#{short_hash(encode(value))}"
    except UnkeyableValue:
        return "#?"
