"""Objects that hold settings → the plain values that they and the objects in them hold, attribute by attribute."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from memento.fingerprint.contents import LARGEST_PLAIN, is_plain
from memento.fingerprint.project import is_project
from memento.hashing.naming import module_of

_DEEPEST = 4
_NAMESPACES = (argparse.Namespace, types.SimpleNamespace)


def attributes_of(value: Any) -> dict[str, Any]:
    """Return the attributes of a namespace, or of an object of a class of the project; empty for any other.

    Example:
        >>> attributes_of(argparse.Namespace(lr=0.1)), attributes_of([0.1])
        ({'lr': 0.1}, {})
    """
    kind = type(value)  # not by isinstance, here and below: what stands for another object says that it is one
    if not issubclass(kind, _NAMESPACES) and not is_project(sys.modules.get(module_of(kind))):
        return {}
    if issubclass(kind, type | types.FunctionType | types.ModuleType):
        return {}
    found = {}
    for base in kind.__mro__:
        for name, slot in vars(base).items():
            if type(slot) is types.MemberDescriptorType:
                with contextlib.suppress(AttributeError):  # not set
                    found[name] = slot.__get__(value)
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
    if issubclass(type(value), tuple) and hasattr(type(value), "_fields"):
        return is_plain(tuple(value))
    return is_plain(value)


def held_in(value: Any, counts: Callable[[Any, str], bool]) -> Iterator[tuple[str, Any]]:
    """Yield dotted path and value of each plain value that the attributes of `value` hold, a few hundred at most.

    Args:
        value: an object that holds settings.
        counts: whether an attribute of an object does; an object of which none does is not looked into.
    """
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    left = LARGEST_PLAIN
    while waiting and left:
        around, item, depth = waiting.pop(0)
        for name, one in sorted(attributes_of(item).items()):
            if not left or not counts(item, name):
                continue
            left -= 1
            if is_settled(one):
                yield f"{around}{name}", one
            elif depth < _DEEPEST:
                waiting.append((f"{around}{name}.", one, depth + 1))
