"""Axis: the values one parameter takes, or several that move together, each digested and rendered once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from json.encoder import encode_basestring
from types import NoneType
from typing import Any

from memento.errors import UnkeyableValue
from memento.hashing import DIGEST_BYTES, digest, digest_each, readable
from memento.hashing.labels import bare
from memento.matrix.copying import atomic, copier_of

EAGER = 100_000
"""Axes with more values than this are digested when a digest is first needed, where all of them are plain."""

_PLAIN = frozenset((str, int, float, bool, NoneType, bytes, complex))
_NUMBERS = frozenset((int, float))
_SHORT = 10**15


class Axis:
    """The values of `names`; with more than one name, or `linked`, each value is a tuple with one for each name.

    Indices count from 0. Ranges stay ranges: one of a thousand million numbers costs nothing.
    """

    __slots__ = ("_copies", "_digests", "_joined", "_lookups", "_mutable", "linked", "names", "path", "values")

    def __init__(self, names: tuple[str, ...], values: Sequence[Any], *, linked: bool = False, path: str = "") -> None:
        self.names = names
        self.values = values
        self.linked = linked
        self.path = path or (f"parameters[{names!r}]" if linked else f"parameters[{names[0]!r}]")
        self._digests: list[tuple[bytes, ...]] | None = None
        # The digests as they came with a pickle, until one is asked for: an experiment hardly ever does.
        self._joined = b""
        self._forget()

    def _forget(self) -> None:
        self._lookups: dict[int | None, dict[Any, list[int]]] = {}
        self._mutable: list[frozenset[int]] | None = None
        self._copies: dict[tuple[int, int], Callable[[], Any]] = {}

    def __getstate__(self) -> tuple[Any, ...]:
        joined = b"".join(chain.from_iterable(self._digests)) if self._digests else self._joined
        return self.names, self.values, self.linked, self.path, joined

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.names, self.values, self.linked, self.path, joined = state
        self._digests, self._joined = None, joined
        self._forget()

    def __len__(self) -> int:
        return len(self.values)

    def value(self, index: int, column: int) -> Any:
        """Return the value of name number `column` at `index`."""
        value = self.values[index]
        return value[column] if self.linked else value

    def named(self, index: int) -> dict[str, Any]:
        """Return the values at `index` by name."""
        return {name: self.value(index, column) for column, name in enumerate(self.names)}

    def named_digests(self, index: int) -> dict[str, bytes]:
        """Return the digests at `index` by name."""
        return dict(zip(self.names, self.digests(index), strict=True))

    def digests(self, index: int) -> tuple[bytes, ...]:
        """Return the digests at `index`, one for each name.

        Raises:
            UnkeyableValue: a value has no stable digest.
        """
        if self._digests is None and not self._joined and len(self) > EAGER:
            return self._digest(index)
        return self.all_digests()[index]

    def all_digests(self) -> list[tuple[bytes, ...]]:
        """Return the digests at every index."""
        if self._digests is None:
            self._digests = self._all_digests()
            self._joined = b""
        return self._digests

    def _all_digests(self) -> list[tuple[bytes, ...]]:
        joined = self._joined
        if joined:
            flat = [joined[start : start + DIGEST_BYTES] for start in range(0, len(joined), DIGEST_BYTES)]
            return list(zip(*[iter(flat)] * len(self.names), strict=True))
        if not self.linked:
            # A hundred thousand paths would be written for errors that do not come.
            with contextlib.suppress(UnkeyableValue):
                return list(zip(digest_each(self.values), strict=True))
        return [self._digest(index) for index in range(len(self))]

    def _digest(self, index: int) -> tuple[bytes, ...]:
        if self.linked:
            value, path = self.values[index], f"{self.path}[{index}]"
            return tuple([digest(one, path=f"{path}[{name!r}]") for name, one in zip(self.names, value, strict=True)])
        return (digest(self.values[index], path=f"{self.path}[{index}]"),)

    def fragment(self, index: int) -> str:
        """Return `"name": "readable value"` at `index`, as it stands in a JSON object."""
        return ", ".join([fragment(name, self.value(index, column)) for column, name in enumerate(self.names)])

    def fragments(self) -> list[str]:
        """Return the fragment at every index."""
        if self.linked or isinstance(self.values, range):
            return list(map(self.fragment, range(len(self))))
        return fragments(self.names[0], self.values)

    def find(self, values: Mapping[str, Any], digests: Mapping[str, bytes]) -> int | None:
        """Return the first index with these values, given by name with their digests, by the equality of keys."""
        if isinstance(self.values, range):
            return _in_range(self.values, values[self.names[0]])
        if None not in self._lookups:
            self._lookups[None] = _inverted(self.all_digests())
        found = self._lookups[None].get(tuple([digests[name] for name in self.names]))
        return found[0] if found else None

    def matching(self, column: int, value: Any, path: str) -> list[int]:
        """Return the indices at which name number `column` has this value, by the equality of keys.

        Raises:
            UnkeyableValue: `value`, found at `path`, has no stable digest.
        """
        if isinstance(self.values, range):
            found = _in_range(self.values, value)
            return [] if found is None else [found]
        if column not in self._lookups:
            self._lookups[column] = _inverted(row[column] for row in self.all_digests())
        return self._lookups[column].get(digest(value, path=path), [])

    @property
    def mutable(self) -> list[frozenset[int]]:
        """For each name, the indices of values that an experiment could change."""
        if self._mutable is None:
            if isinstance(self.values, range):
                self._mutable = [frozenset()]
            else:
                columns = zip(*self.values, strict=True) if self.linked else [self.values]
                self._mutable = [
                    frozenset(index for index, value in enumerate(column) if not atomic(value)) for column in columns
                ]
        return self._mutable

    def copied(self, index: int, column: int) -> Any:
        """Return a copy of a value, bare of any `Named`; the value itself, where there is no way to copy it."""
        copier = self._copies.get((index, column))
        if copier is None:
            copier = self._copies[index, column] = copier_of(bare(self.value(index, column)))
        return copier()


def is_plain(kind: type) -> bool:
    """Whether values of this type that are equal as keys are also equal to Python, all but NaN."""
    numpy = sys.modules.get("numpy")
    return kind in _PLAIN or (numpy is not None and issubclass(kind, (numpy.number, numpy.bool_)))


def fragment(name: str, value: Any) -> str:
    """Return `"name": "readable value"`, as it stands in a JSON object."""
    (text,) = fragments(name, [value])
    return text


def fragments(name: str, values: Iterable[Any]) -> list[str]:
    """Return what `fragment` does for each of `values`."""
    begun = encode_basestring(name) + ": "
    return [
        # A number's text is its repr, and needs no escapes.
        f'{begun}"{value!r}"'
        if type(value) in _NUMBERS and -_SHORT < value < _SHORT
        else begun + encode_basestring(readable(value))
        for value in values
    ]


def _in_range(values: range, value: Any) -> int | None:
    # Only an int has the digest of an int: a truth value, a float or numpy's 3 is never a member.
    return values.index(value) if type(value) is int and value in values else None


def _inverted(rows: Iterable[Any]) -> dict[Any, list[int]]:
    places: dict[Any, list[int]] = {}
    for index, row in enumerate(rows):
        places.setdefault(row, []).append(index)
    return places
