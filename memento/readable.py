"""Values as people read them: `sklearn.svm.SVC` rather than `<class 'sklearn.svm._classes.SVC'>`."""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
import types
from typing import Any

from memento.encoding import Named, encode
from memento.errors import UnkeyableValue

LONGEST = 120
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")


def readable(value: Any) -> str:
    """Return a short text for `value`: its repr where that is plain, a dotted name for classes and functions.

    Example:
        >>> import collections
        >>> readable(collections.OrderedDict), readable("mnist"), readable([1, 2])
        ('collections.OrderedDict', "'mnist'", '[1, 2]')
    """
    text = _text(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _text(value: Any) -> str:
    kind = type(value)
    if kind is int and value.bit_length() > 400:
        return f"int of {value.bit_length()} bits #{_short(value)}"  # Python refuses to write out the largest
    if value is None or kind in (bool, int, float, str, bytes, complex):
        return repr(value)
    if kind in (list, tuple, set, frozenset):
        return _collection(value)
    if kind is dict:
        return "{" + ", ".join(f"{_text(key)}: {_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.MethodType):
        return public_name(value)
    if isinstance(value, functools.partial):
        parts = [*map(_text, value.args), *(f"{name}={_text(item)}" for name, item in value.keywords.items())]
        return f"{_text(value.func)}({', '.join(parts)})"
    if isinstance(value, Named):
        return repr(value)
    if dataclasses.is_dataclass(value):
        parts = [f"{field.name}={_text(getattr(value, field.name))}" for field in dataclasses.fields(value)]
        return f"{kind.__qualname__}({', '.join(parts)})"
    if hasattr(value, "dtype") and hasattr(value, "shape") and value.shape:
        return f"{kind.__name__}{tuple(value.shape)} {value.dtype} #{_short(value)}"
    return _own(value)


def _collection(value: Any) -> str:
    items = [_text(item) for item in value]
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(sorted(items)) + "}" if items else f"{type(value).__name__}()"
    if isinstance(value, tuple):
        return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
    return f"[{', '.join(items)}]"


def _own(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:
        text = "<"
    # An address says nothing, and another one each time.
    return f"{type(value).__qualname__} #{_short(value)}" if text.startswith("<") or _ADDRESS.search(text) else text


def _short(value: Any) -> str:
    import hashlib

    try:
        return hashlib.sha256(encode(value, "value")).hexdigest()[:8]
    except UnkeyableValue:
        return "?"


def public_name(value: Any) -> str:
    """Return the dotted name under which users import `value`: private modules in between are left out."""
    name = getattr(value, "__qualname__", "")
    module = getattr(value, "__module__", None) or ""
    if module in ("builtins", ""):
        return name
    if module == "__main__" or "<" in name:
        return name.replace("<locals>.", "") if module == "__main__" else f"{module}.{name}"
    parts = module.split(".")
    for length in range(1, len(parts)):
        shorter = ".".join(parts[:length])
        if all(part.startswith("_") is False for part in parts[:length]) and any(
            part.startswith("_") for part in parts[length:]
        ):
            public = sys.modules.get(shorter)
            if public is not None and getattr(public, name, None) is value:
                return f"{shorter}.{name}"
    return f"{module}.{name}"
