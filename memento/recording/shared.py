"""A keeper's data: a dict that tells of its changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class SharedData(dict[str, Any]):
    """A keeper's data: a dict that tells of its changes."""

    __slots__ = ("note",)
    note: Callable[[], None]


def _telling(name: str) -> Callable[..., Any]:
    change = getattr(dict, name)

    def method(self: SharedData, *args: Any, **named: Any) -> Any:
        result = change(self, *args, **named)
        self.note()
        return self if name == "__ior__" else result

    method.__name__ = name
    return method


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(SharedData, _name, _telling(_name))
