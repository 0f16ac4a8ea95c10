"""A keeper's data: a dict that tells of its changes. And what the names in it, and in records, have to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memento.errors import OptionError


class SharedData(dict[str, Any]):
    """A keeper's data: a dict that tells of its changes. And what the names in it, and in records, have to be."""

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


def check_name(name: Any) -> None:
    """Raise OptionError unless `name` can be that of a value."""
    if type(name) is not str or not name:
        raise OptionError(
            f"the names in a record and in a keeper's data are texts of at least one character, not {name!r}; "
            "write add_record({'loss': 0.1}), or push(loss=0.1)",
            option="record",
            value=name,
        )
