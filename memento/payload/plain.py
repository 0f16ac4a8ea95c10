"""What is plain in a value, as JSON: numbers, strings, None, truth values, and by name those of dicts and their like.

A value that is nothing else is stored so; of any other this is what tables show without unpickling it. Dicts,
dataclasses and named tuples have their entries by name, those of one inside another with dots: `test.accuracy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from memento.hashing.text import WIDEST_INTEGER
from memento.scalars import plain_of

LONGEST_STRING = 8192  # longer ones are pickled, so that reading a table stays cheap
LARGEST_SUMMARY = 65536
MOST_INSIDE = 100
"""An entry with more entries inside than this is data, not a summary: a table with a column for each is no help."""

_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def exact_text(value: Any) -> str | None:
    """Return the JSON of `value` if JSON gives it back exactly."""
    return _plain_dict(value) if type(value) is dict else _plain(value)


def plain_part(value: Any) -> str:
    """Return the JSON of what is plain in a value that JSON does not give back; empty when nothing is."""
    if (own := entries_of(value)) is None:
        return _plain(_like_plain(value)) or ""
    plain = {name: entry for name, entry in own.items() if _is_plain(name, entry)}
    whole: dict[str, Any] = {}
    for name, entry in own.items():
        whole.update({name: entry} if name in plain else _inside(name, entry))
    texts = (_plain_dict(entries) for entries in (whole | plain, plain) if entries)
    return next(filter(None, texts), "")


def entries_of(value: Any) -> dict[str, Any] | None:
    """Return what a dict, a dataclass or a named tuple has under names, as plain as it can be; None of others."""
    try:
        return {name: _like_plain(entry) for name, entry in _named(value).items() if isinstance(name, str)}
    except Exception:  # a stranger's class may raise anything here, and a table can do without it
        return None


def _named(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, dict):
        return {str(name) if isinstance(name, str) else name: entry for name, entry in value.items()}
    if hasattr(type(value), "__dataclass_fields__"):
        from dataclasses import fields  # whoever has one has loaded this; a worker has no other use for it

        return {field.name: getattr(value, field.name) for field in fields(value) if hasattr(value, field.name)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    raise TypeError("it has no entries by name")


def _inside(name: str, value: Any) -> dict[str, Any]:
    """Return the plain entries of an entry that has entries, by their dotted names; none of one that has too many."""
    found: dict[str, Any] = {}
    for count, (path, entry) in enumerate(_walk(name, value, ())):
        if count == MOST_INSIDE:
            return {}
        if _is_plain(path, entry):
            found[path] = entry
    return found


def _walk(path: str, value: Any, around: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Yield whatever is inside `value`; what is `around` it is not entered again."""
    entries = None if id(value) in around else entries_of(value)
    for name, entry in (entries or {}).items():
        yield f"{path}.{name}", entry
        yield from _walk(f"{path}.{name}", entry, (*around, id(value)))


def _is_plain(name: str, entry: Any) -> bool:
    return bool(_str_text(name) and _plain(entry))


# ── texts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _float_text(value: float) -> str:
    text = float.__repr__(value)
    return _NOT_FINITE.get(text, text)


def _int_text(value: int) -> str | None:
    return int.__repr__(value) if value.bit_length() <= WIDEST_INTEGER else None


def _str_text(value: str) -> str | None:
    if len(value) > LONGEST_STRING:
        return None
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # lone surrogates: JSON would join two of them into one character
            return None
    return encode_basestring(value)


_name_text = lru_cache(256)(_str_text)  # the same few names come with every result

_TEXT: dict[type, Callable[[Any], str | None]] = {
    float: _float_text,
    int: _int_text,
    str: _str_text,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
}


def _plain(value: Any) -> str | None:
    write = _TEXT.get(type(value))
    return write(value) if write else None


def _plain_dict(value: dict[Any, Any]) -> str | None:
    items = []
    for key, entry in value.items():
        write = _TEXT.get(type(entry))
        if write is None or type(key) is not str:
            return None
        name, text = _name_text(key), write(entry)
        if name is None or text is None:
            return None
        items.append(f"{name}:{text}")
    text = f"{{{','.join(items)}}}"
    return text if len(text) <= LARGEST_SUMMARY else None


_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
)


def _like_plain(value: Any) -> Any:
    """Return the Python number or string that `value` stands for, or else `value`."""
    try:
        value = plain_of(value)
        for base, plainly in _BASES:
            if isinstance(value, base) and not isinstance(value, bool):
                return plainly(value)
    except Exception:  # a stranger's class may raise anything here, and a table can do without it
        return value
    return value
