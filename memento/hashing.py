"""Values → digests, and digests → keys: the same in every process, on every run, with every Python, for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from operator import itemgetter

from memento.encoding import Named, encode, framed, function_name, register_key
from memento.readable import readable

__all__ = ["SCHEME", "KeyMaker", "Named", "config_key", "digest", "function_name", "readable", "register_key"]

SCHEME = "m1"
DIGEST_BYTES = 16


def digest(value: object, *, path: str = "value") -> bytes:
    """Return the 16-byte digest of `value`: equal for equal values, whatever process, version or order made them.

    Args:
        value: anything with a stable form; 1, 1.0 and True differ, dicts and sets in any order are equal.
        path: where it was found, for the error.

    Raises:
        UnkeyableValue: it has none; the message says what to write.

    Example:
        >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(encode(value, path)).digest()[:DIGEST_BYTES]


class KeyMaker:
    """Makes the keys of configurations that share an experiment, the names of their parameters, and settings.

    What they share is hashed once; a key then costs one hash over the digests of the values.

    Example:
        >>> maker = KeyMaker("train:experiment", ("lr", "model"), {})
        >>> swapped = KeyMaker("train:experiment", ("model", "lr"), {})
        >>> maker.key([digest(0.1), digest("svm")]) == swapped.key([digest("svm"), digest(0.1)])
        True
    """

    def __init__(self, experiment: str, names: Sequence[str], settings: Mapping[str, bytes]) -> None:
        order = sorted(range(len(names)), key=lambda place: names[place])
        texts = [name.encode() for name in (SCHEME, experiment)]
        parameters = [names[place].encode() for place in order]
        shared = [piece for name in sorted(settings) for piece in (name.encode(), settings[name])]
        self._prefix = hashlib.sha256(
            framed(b"config", *texts, framed(b"names", *parameters), framed(b"settings", *shared))
        ).digest()
        self._pick = itemgetter(*order) if len(names) > 1 and order != sorted(order) else None

    def key(self, digests: Sequence[bytes]) -> bytes:
        """Return the key of the configuration whose values have these digests, in the order of the names."""
        values = digests if self._pick is None else self._pick(digests)
        return hashlib.sha256(self._prefix + b"".join(values)).digest()[:DIGEST_BYTES]


def config_key(experiment: str, parameters: Mapping[str, bytes], settings: Mapping[str, bytes]) -> bytes:
    """Return the key of one configuration from the digests of its parameters and settings."""
    return KeyMaker(experiment, tuple(parameters), settings).key(tuple(parameters.values()))
