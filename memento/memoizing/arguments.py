"""The arguments of a call → its key and its text, the same however the arguments are passed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from memento.errors import OptionError, UnkeyableValue
from memento.hashing import KeyMaker, digest, readable
from memento.signatures import VARIADIC, signature_of

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
OPTIONS = ("force_run", "force_cache")
"""What a remembering function takes besides the arguments of its own."""


class Arguments:
    """How calls of `func` are told apart; the arguments named by `ignore` do not count.

    Raises:
        OptionError: `func` has a parameter of the name of one of `OPTIONS`, or none of a name in `ignore`.
    """

    def __init__(self, func: Callable[..., Any], ignore: Iterable[str] = ()) -> None:
        self.name = str(getattr(func, "__qualname__", None) or type(func).__qualname__)
        self._signature = signature_of(func)
        parameters = self._signature.parameters.values()
        self._extras = next((each.name for each in parameters if each.kind is VARIADIC[1]), "")
        self._plain = not any(each.kind in VARIADIC for each in parameters)
        self._by_position = tuple(each.name for each in parameters if each.kind in _BY_POSITION)
        self._by_name = frozenset(each.name for each in parameters if each.kind in _BY_NAME)
        self._defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
        self._count = len(parameters)
        self._ignored = self._checked(ignore)
        self._names = tuple(name for name in self._signature.parameters if name not in self._ignored)

    def _checked(self, ignore: Iterable[str]) -> frozenset[str]:
        ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
        known = self._signature.parameters
        for name in OPTIONS:
            if name in known:
                raise OptionError(
                    f"{self.name} has a parameter {name!r}, which memoize takes for itself; rename it",
                    option=name,
                )
        for name in ignored:
            if name not in known and not self._extras:
                raise OptionError(
                    f"ignore names {name!r}, which is no parameter of {self.name}; it has: {', '.join(known)}",
                    option="ignore",
                    value=ignore,
                )
        return frozenset(ignored)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that count, by name, defaults among them.

        Raises:
            TypeError: the function cannot be called so.
        """
        if self._plain and len(args) <= len(self._by_position) and kwargs.keys() <= self._by_name:
            # `Signature.bind` would take longer than all the rest of a call that is remembered.
            given = dict(zip(self._by_position, args, strict=False))
            values = {**self._defaults, **given, **kwargs}
            if len(values) == self._count and given.keys().isdisjoint(kwargs):
                return values
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}() {error}") from None
        bound.apply_defaults()
        values = bound.arguments
        if self._extras and self._ignored:
            extras = values[self._extras]
            values[self._extras] = {name: value for name, value in extras.items() if name not in self._ignored}
        return values

    def key_maker(self, identity: str) -> KeyMaker:
        """Return what makes the keys of calls of the function that is known as `identity`."""
        return KeyMaker(identity, self._names, {})

    def digests(self, values: Mapping[str, Any]) -> list[bytes]:
        """Return the digest of each argument that counts, for a `key_maker`.

        Raises:
            UnkeyableValue: one of them has no stable form; the error names it.
        """
        name = ""
        try:
            return [digest(values[name], path=name) for name in self._names]
        except UnkeyableValue as error:
            culprit = error.path.partition(".")[0].partition("[")[0] or name
            error.add_note(f"It is an argument of {self.name}; what does not count is left out: ignore=({culprit!r},)")
            raise

    def counting(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the values of the arguments that count."""
        return [values[name] for name in self._names]

    def text(self, values: Mapping[str, Any]) -> str:
        """Return the call as a reader would write it."""
        return f"{self.name}({', '.join(f'{name}={readable(values[name])}' for name in self._names)})"
