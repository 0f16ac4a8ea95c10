"""Values → digests, and digests → keys: the same in every process, on every run, on every Python, for ever.

What is hashed is a canonical, typed form: `encoding` walks a value, by the rules in `kinds`, `callables`, `arrays` and
`reducing`, and `forms` puts the pieces together. Two values share a digest when they are of the same type and content:
`1`, `1.0` and `True` differ, a list and a tuple differ, dicts and sets in any order are equal, NaN equals NaN, `-0.0`
differs from `0.0`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from operator import itemgetter

from memento.hashing.encoding import Named, encode, register_key
from memento.hashing.forms import PLAIN, encode_text, group, leaf
from memento.hashing.text import readable

__all__ = [
    "DIGEST_BYTES",
    "SCHEME",
    "KeyMaker",
    "Named",
    "config_key",
    "digest",
    "digest_each",
    "readable",
    "register_key",
]

SCHEME = "m1"
"""The name of the rules, part of everything that is hashed. Other rules are another scheme, with a migration."""
DIGEST_BYTES = 16

_VALUE = f"{SCHEME} value ".encode()
_CONFIGURATION = f"{SCHEME} configuration ".encode()


def digest(value: object, *, path: str = "value") -> bytes:
    """Return the 16-byte digest of `value`: equal for equal values of the same type, and for no others.

    Args:
        value: Anything whose content is stable: plain values, containers, arrays, dataclasses, functions, objects.
        path: What an error calls the value, such as `parameters['model']`.

    Raises:
        UnkeyableValue: a part of it has no stable form; the error says which, and what to do.

    Example:
        >>> digest({"lr": 0.1, "layers": [8, 8]}).hex()
        'b54ec40fc412b026e69835b9e4c8bac3'
    """
    plain = PLAIN.get(type(value))
    form = encode(value, path) if plain is None else plain(value)
    return sha256(_VALUE + form).digest()[:DIGEST_BYTES]


def digest_each(values: Iterable[object]) -> list[bytes]:
    """Return the digest of each of `values`, in less time than one after another.

    Raises:
        UnkeyableValue: one has no stable form; the error does not say which.
    """
    plain_form = PLAIN.get
    return [
        sha256(
            _VALUE + (encode(value, "value") if (plain := plain_form(type(value))) is None else plain(value))
        ).digest()[:DIGEST_BYTES]
        for value in values
    ]


class KeyMaker:
    """Makes the keys of configurations that share their experiment, parameter names and settings.

    All that they share is hashed once, so a key costs one hash of the parameters' digests.

    Args:
        experiment: The experiment's identity.
        names: The parameters' names, in the order in which `key` gets their digests. The key does not depend on it.
        settings: The digest of each setting.

    Example:
        >>> maker = KeyMaker("train:fit", ("lr", "depth"), {})
        >>> other = KeyMaker("train:fit", ("depth", "lr"), {})
        >>> maker.key([digest(0.1), digest(2)]) == other.key([digest(2), digest(0.1)])
        True
    """

    __slots__ = ("_prefix", "_sorted")

    def __init__(self, experiment: str, names: Sequence[str], settings: Mapping[str, bytes]) -> None:
        ordered = sorted(names)
        shared = [
            encode_text(experiment),
            group(b"settings", (encode_text(name) + leaf(b"digest", settings[name]) for name in sorted(settings))),
            group(b"names", map(encode_text, ordered)),
        ]
        self._prefix = sha256(_CONFIGURATION + b"".join(shared)).digest()
        places = [list(names).index(name) for name in ordered]
        self._sorted: Callable[[Sequence[bytes]], Sequence[bytes]] | None = None
        if places != sorted(places):
            self._sorted = itemgetter(*places)

    def key(self, digests: Sequence[bytes]) -> bytes:
        """Return the key, 16 bytes, of the configuration whose values have these digests."""
        (key,) = self.keys([digests])
        return key

    def keys(self, rows: Iterable[Sequence[bytes]]) -> Iterator[bytes]:
        """Yield the key of each of many configurations, whose values have these digests."""
        prefix, join = self._prefix, b"".join
        if self._sorted is not None:
            rows = map(self._sorted, rows)
        for digests in rows:
            yield sha256(prefix + join(digests)).digest()[:DIGEST_BYTES]


def config_key(
    experiment: str, parameters: Iterable[tuple[str, bytes]], settings: Iterable[tuple[str, bytes]]
) -> bytes:
    """Return the key of one configuration; for many that share names and settings, a `KeyMaker` costs less.

    Args:
        experiment: The experiment's identity.
        parameters: Each parameter's name and the digest of its value, in any order.
        settings: The same of each setting.

    Example:
        >>> config_key("train:fit", [("lr", digest(0.1))], []) == KeyMaker("train:fit", ("lr",), {}).key([digest(0.1)])
        True
    """
    named = dict(parameters)
    return KeyMaker(experiment, tuple(named), dict(settings)).key(tuple(named.values()))
