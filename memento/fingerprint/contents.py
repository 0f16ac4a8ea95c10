"""What is inside a value: the functions and classes that it is made of, or nothing but plain values."""

from __future__ import annotations

import argparse
import functools
import math
import types
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import PurePath
from typing import Any

from memento.hashing.forms import PLAIN
from memento.hashing.naming import module_of, resolve

LARGEST_PLAIN = 500
# By name, so that nobody has to load them: what is of one of these has nothing inside that could change.
_LEAVES = frozenset(
    ["complex", "range", "Decimal", "Fraction", "UUID", "date", "datetime", "time", "timedelta", "timezone"]
)
_LEAF_MODULES = frozenset({"builtins", "decimal", "fractions", "uuid", "datetime"})
_DEEPEST_VALUE = 6
_CARRIED = (types.FunctionType, type, types.MappingProxyType, functools.partial)
_WITHOUT_CODE = frozenset({"numpy", "pandas", "scipy", "torch", "datetime", "decimal", "pathlib"})


def is_plain(value: Any) -> bool:
    """Return whether `value` is a number, a text, a path, a date or the like, or a few hundred of such.

    They may be in lists, dicts or namespaces, or in an array.

    Example:
        >>> is_plain({"lr": 0.1, "layers": [8, 8]}), is_plain(object())
        (True, False)
    """
    waiting, left = [value], LARGEST_PLAIN
    while waiting and left:
        item = waiting.pop()
        left -= 1
        if isinstance(item, argparse.Namespace):
            item = vars(item)
        if type(item) is dict:
            waiting += [*item, *item.values()]
        elif type(item) in (list, tuple, set, frozenset):
            waiting += item
        elif type(item) not in PLAIN and not _is_leaf(item) and not _is_small_of_numpy(item):
            return False
    return not waiting


def _is_leaf(value: Any) -> bool:
    kind = type(value)  # not by isinstance: what stands for another object says that it is one
    return issubclass(kind, PurePath | Enum) or (kind.__name__ in _LEAVES and module_of(kind) in _LEAF_MODULES)


def _is_small_of_numpy(value: Any) -> bool:
    """Return whether `value` is a number, a type, or an array of a few hundred numbers, of numpy."""
    if module_of(type(value)).partition(".")[0] != "numpy":
        return False
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", value)
    return not getattr(dtype, "hasobject", True) and isinstance(shape, tuple) and math.prod(shape) <= LARGEST_PLAIN


def code_in(value: Any) -> Iterator[types.FunctionType | type]:
    """Yield the functions and classes that `value` is made of: itself or its class, and those inside it.

    Example:
        >>> import json
        >>> [thing.__name__ for thing in code_in([json.dumps, {"how": json.JSONDecoder}])]
        ['dumps', 'JSONDecoder']
    """
    waiting: deque[tuple[Any, int]] = deque([(value, 0)])
    seen: set[int] = set()
    while waiting:
        item, depth = waiting.popleft()
        kind = type(item)
        if kind in PLAIN or id(item) in seen:
            continue
        if module_of(kind).partition(".")[0] in _WITHOUT_CODE:
            waiting.extend((part, depth + 1) for part in _in_numpy(item))
            continue
        seen.add(id(item))
        if isinstance(item, types.FunctionType | type):
            yield item
        elif kind.__module__ not in ("builtins", "functools"):
            yield kind
        if depth < _DEEPEST_VALUE:
            waiting.extend((part, depth + 1) for part in _parts(item))


def _parts(item: Any) -> Iterable[Any]:
    if isinstance(item, list | tuple | set | frozenset):
        return item
    if isinstance(item, dict | types.MappingProxyType):  # the latter holds what functools.singledispatch chooses from
        return [*item, *item.values()]
    if isinstance(item, functools.partial):
        return [item.func, *item.args, *item.keywords.values()]
    if isinstance(item, types.MethodType):
        return [item.__func__, item.__self__]
    if isinstance(item, property):
        return [item.fget, item.fset, item.fdel]
    if isinstance(item, types.ModuleType | type):
        return []
    if isinstance(item, types.FunctionType):
        owner = resolve(home_of(item), item.__qualname__.rpartition(".")[0])
        # What it wraps, and what it chooses from or calls; a cache that it fills is none of its code.
        kept = [value for value in vars(item).values() if isinstance(value, _CARRIED)]
        return [part for part in (vars(item).get("__wrapped__"), owner, *kept) if part is not None]
    if isinstance(item, classmethod | staticmethod):
        return [item.__func__]
    return _attributes(item)


def _in_numpy(item: Any) -> Iterable[Any]:
    """Return the function that numpy calls for each element, and what an array of objects holds."""
    if type(item).__qualname__ == "vectorize":
        return [item.pyfunc]
    if getattr(getattr(item, "dtype", None), "hasobject", False) and type(item).__qualname__ == "ndarray":
        return list(item.ravel()[:LARGEST_PLAIN])
    return []


def _attributes(item: Any) -> Iterable[Any]:
    """Return the values of an object's attributes; nobody's `__getattr__` is asked, which may answer anything."""
    try:
        known = object.__getattribute__(item, "__dict__")
    except AttributeError:
        return []
    return list(known.values()) if isinstance(known, dict) else []


def home_of(thing: types.FunctionType | type) -> str:
    """Return the name of the module that `thing` was written in; a wrapper claims another."""
    return str(thing.__globals__.get("__name__") if isinstance(thing, types.FunctionType) else thing.__module__)
