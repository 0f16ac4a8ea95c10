"""Settings: values that all configurations of a matrix share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from memento.hashing import readable
from memento.hashing.labels import labelled
from memento.names import unknown


class Settings(Mapping[str, Any]):
    """Values that are the same for every configuration, read by name: `settings["lr"]` or `settings.lr`.

    >>> Settings({"lr": 0.1}).lr
    0.1
    """

    __slots__ = ("_given", "_values")
    _values: dict[str, Any]
    _given: Mapping[str, Any]

    def __init__(self, values: Mapping[str, Any] | None = None, *, given: Mapping[str, Any] | None = None) -> None:
        object.__setattr__(self, "_values", dict(values or {}))
        object.__setattr__(self, "_given", self._values if given is None else given)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise unknown("setting", name, self._values) from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copy and pickle ask for on objects that are not made yet
            raise AttributeError(name)
        return self[name]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"settings cannot be changed: {name!r} is set in the matrix, under 'settings'")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"settings cannot be changed: {name!r} is set in the matrix, under 'settings'")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return shown(self.__memento_key__())

    def __reduce__(self) -> tuple[Any, ...]:
        return Settings, (self._values,)

    def __memento_key__(self) -> dict[str, Any]:
        return {name: labelled(value, self._given[name]) for name, value in self._values.items()}


def shown(values: Mapping[str, Any]) -> str:
    """Return values as the text of a dict, each as a reader would write it."""
    return "{" + ", ".join(f"{name!r}: {readable(value)}" for name, value in values.items()) + "}"
