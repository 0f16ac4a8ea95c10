"""Objects that hold settings → the plain values that they and the objects in them hold, attribute by attribute."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import types
from collections.abc import Collection, Iterator
from typing import Any

from memento.hashing.inside import LARGEST_PLAIN, is_plain
from memento.hashing.project import is_project

_DEEPEST = 4
_NAMESPACES = (argparse.Namespace, types.SimpleNamespace)


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of a namespace, or of an object of a class of the project; empty for any other.

    Example:
        >>> attributes_of(argparse.Namespace(lr=0.1)), attributes_of([0.1])
        ({'lr': 0.1}, {})
    """
    kind = type(value)
    if not isinstance(value, _NAMESPACES) and not is_project(sys.modules.get(kind.__module__)):
        return {}
    if isinstance(value, type | types.FunctionType | types.ModuleType):
        return {}
    names: list[str] = []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else [*slots]
    found = {}
    for name in names:
        try:
            found[name] = object.__getattribute__(value, name)
        except AttributeError:  # not set
            continue
    with contextlib.suppress(AttributeError):
        found.update(object.__getattribute__(value, "__dict__"))
    return {
        name: one
        for name, one in found.items()
        if isinstance(name, str)
        and not name.startswith("__")
        and not any(isinstance(vars(base).get(name), functools.cached_property) for base in kind.__mro__)
    }


def is_settled(value: Any) -> bool:
    """Return whether `value` is plain, or a named tuple of plain values, which counts as one."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return is_plain(tuple(value))
    return is_plain(value)


def held_in(value: Any, *, without: Collection[str], unlike: Collection[type]) -> Iterator[tuple[str, Any]]:
    """Yield dotted path and value of each plain value that the attributes of `value` hold, a few hundred at most.

    Args:
        value: an object that holds settings.
        without: names of attributes that do not count.
        unlike: classes whose objects do not count.
    """
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    left = LARGEST_PLAIN
    while waiting and left:
        around, item, depth = waiting.pop(0)
        if type(item) in unlike:
            continue
        for name, one in sorted(attributes_of(item).items()):
            if name in without or not left:
                continue
            left -= 1
            if is_settled(one):
                yield f"{around}{name}", one
            elif depth < _DEEPEST:
                waiting.append((f"{around}{name}.", one, depth + 1))
