"""Values → their form, whose hash is the digest: the walk through a value, which knows where in it it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from memento.errors import UnkeyableValue
from memento.hashing.forms import PLAIN, group, leaf
from memento.hashing.kinds import encode_kind

DEEPEST = 100
_LONGEST_STEP = 40

Step = str | int | tuple[Any]
"""One step into a value: `.name` of an attribute, a position, or a 1-tuple of a key."""


class Named:
    """A value that is known by its label alone: `value` is not looked at, so it may be anything.

    Experiments and functions that remember are given the bare value, also where it lies in lists, tuples and dicts;
    in any other object it stays a `Named`. Tables show the label. What an experiment hands on alone it hands on bare:
    wrap it again for a function that remembers; its whole `config` or `settings` is known by the labels.

    Use another label for another value: two with one label share their results.

    Example:
        >>> from memento.hashing.keys import digest
        >>> digest(Named("corpus-v2", object())) == digest(Named("corpus-v2", None))
        True
    """

    __slots__ = ("label", "value")

    def __init__(self, label: str, value: Any) -> None:
        self.label = label
        self.value = value

    def __repr__(self) -> str:
        return f"Named({self.label!r})"


_registered: dict[type, Callable[[Any], Any]] = {}


def register_key(kind: type, function: Callable[[Any], Any]) -> None:
    """From now on values of type `kind`, and of its subclasses, are known by what `function` returns for them.

    Args:
        kind: A class of one's own or of a library.
        function: Takes a value and returns one that can be keyed: a number, a text, a tuple, a dict.

    Raises:
        TypeError: `kind` is no class, or one whose key cannot be chosen (`int`, `str`, ..., `object`).

    Example:
        >>> from memento.hashing.keys import digest
        >>> class Corpus:
        ...     def __init__(self, name):
        ...         self.name, self.opened = name, object()
        >>> register_key(Corpus, lambda corpus: corpus.name)
        >>> digest(Corpus("news")) == digest(Corpus("news"))
        True
    """
    if not isinstance(kind, type):
        raise TypeError(f"register_key: {kind!r} is not a class; pass a class, then the function that gives its key")
    if _is_fixed(kind):
        raise TypeError(f"register_key: the key of {kind.__name__} cannot be chosen; register a class of your own")
    _registered[kind] = function


def _is_fixed(kind: type) -> bool:
    return kind in PLAIN or kind is object


class Encoder:
    """Encodes one value, and knows on the way where in it it is."""

    def __init__(self, path: str = "value") -> None:
        self._root = path
        self._steps: list[Step] = []
        self._active: dict[int, int] = {}
        self.reduced: list[tuple[tuple[Step, ...], type, bytes]] = []
        """The objects that were encoded by what they say of themselves: where, of which type, as what."""

    def encode(self, value: Any, step: Step = "") -> bytes:
        """Return the form of `value`, which is found by `step` from the value around it.

        Raises:
            UnkeyableValue: it has no stable form.
        """
        plain = PLAIN.get(type(value))
        if plain is not None:
            return plain(value)
        identity = id(value)
        if identity in self._active:
            return self._encode_again(value, step)
        if len(self._steps) > DEEPEST:
            self.refuse(value, f"lies more than {DEEPEST} levels deep", step)
        self._active[identity] = len(self._steps)
        self._steps.append(step)
        try:
            return self._custom(value) or encode_kind(self, value)
        finally:
            self._steps.pop()
            del self._active[identity]

    def sequence(self, tag: bytes, values: Iterable[Any]) -> bytes:
        """Return the form of values whose order counts."""
        return group(tag, (self.encode(value, index) for index, value in enumerate(values)))

    def unordered(self, tag: bytes, values: Iterable[Any]) -> bytes:
        """Return the form of values whose order does not count."""
        return group(tag, sorted(self.encode(value, (value,)) for value in values))

    def pairs(self, pairs: Iterable[tuple[Any, Any]], *, attributes: bool = False) -> Iterator[bytes]:
        """Yield the form of each key followed by that of its value, in the given order."""
        for key, value in pairs:
            step: Step = f".{key}" if attributes else (key,)
            yield self.encode(key, step) + self.encode(value, step)

    def mapping(self, tag: bytes, pairs: Iterable[tuple[Any, Any]], *, attributes: bool = False) -> bytes:
        """Return the form of pairs whose order does not count."""
        return group(tag, sorted(self.pairs(pairs, attributes=attributes)))

    def form_apart(self, value: Any) -> bytes | None:
        """Return the form of a value as it is here, to compare with, without a trace of it; None if it has none."""
        other = Encoder(self._root)
        other._steps, other._active = [*self._steps], {**self._active}
        try:
            return other.encode(value)
        except UnkeyableValue:
            return None

    def is_active(self, identity: int) -> bool:
        """Return whether `identity` is the id of a value that is being encoded."""
        return identity in self._active

    def again(self, value: Any) -> bytes:
        """Return the form of a value that is being encoded, where it is met within itself."""
        return leaf(b"again", b"%d" % (len(self._steps) - self._active[id(value)]))

    def note_reduced(self, kind: type, form: bytes) -> None:
        """Remember the form of the value that is being encoded, to be compared with a second one."""
        self.reduced.append((tuple(self._steps), kind, form))

    def refuse(self, value: Any, reason: str, step: Step = "") -> NoReturn:
        """Raise the error for a value that has no stable form.

        Raises:
            UnkeyableValue: always.
        """
        raise self.refusal(type(value), reason, (*self._steps, step), value=value)

    def refusal(self, kind: type, reason: str, steps: tuple[Step, ...], value: Any = None) -> UnkeyableValue:
        """Return the error for what lies at `steps`."""
        path = self._root + "".join(_step_text(step) for step in steps)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        ways = [
            f"memento.register_key({kind.__qualname__}, lambda value: ...)  # return what identifies it",
            "def __memento_key__(self): ...  # the same, as a method of the class",
            "memento.Named('label', value)  # be known by the label alone",
        ]
        lead = "Do one of these:"
        if _is_fixed(kind):
            lead, ways = "Do this:", ways[-1:]
        text = "\n  ".join([f"{path} has no stable key: it is of type {name} and {reason}. {lead}", *ways])
        return UnkeyableValue(text, path=path, value=value)

    def _custom(self, value: Any) -> bytes | None:
        kind = type(value)
        if kind is Named:
            return group(b"named", [self.encode(value.label)])
        for base in kind.__mro__ if _registered else ():
            if base in _registered:
                return group(b"key", [self.encode(kind), self.encode(_registered[base](value))])
        method = getattr(kind, "__memento_key__", None)
        return None if method is None else group(b"key", [self.encode(kind), self.encode(method(value))])

    def _encode_again(self, value: Any, step: Step) -> bytes:
        # A function that calls itself holds itself; data that contain themselves are a mistake, or endless.
        if callable(value) and hasattr(value, "__qualname__"):
            return self.again(value)
        self.refuse(value, "contains itself", step)


def encode(value: Any, path: str = "value") -> bytes:
    """Return the form of `value`; an object that describes itself differently from one time to the next has none.

    Raises:
        UnkeyableValue: it has no stable form; the error says where in it, and what to do.
    """
    plain = PLAIN.get(type(value))
    if plain is not None:
        return plain(value)
    encoder = Encoder(path)
    try:
        form = encoder.encode(value)
        if encoder.reduced:
            _check_stable(value, encoder, path)
    except RecursionError:
        raise encoder.refusal(type(value), "is nested too deeply to be walked", ()) from None
    return form


def _check_stable(value: Any, first: Encoder, path: str) -> None:
    second = Encoder(path)
    second.encode(value)
    for before, after in zip(first.reduced, second.reduced, strict=False):
        if before != after:
            steps, kind, _ = before
            raise first.refusal(kind, "describes itself differently each time (an address, a counter, a time)", steps)


def _step_text(step: Step) -> str:
    if isinstance(step, str):
        return step
    text = repr(step[0] if isinstance(step, tuple) else step)
    return f"[{text if len(text) <= _LONGEST_STEP else text[:_LONGEST_STEP] + '…'}]"
