"""The canonical, typed form of values: how pieces are put together, and what plain values look like.

Every form is self-delimiting, so no two values share one::

    leaf     tag length ":" payload        str5:hello
    group    tag count  "(" parts          list2(int1:1str5:hello
    large    tag length or count "#" SHA-256 of the payload or of all parts, so that memory stays small

A tag is letters and hyphens. The form depends on type and content alone: never on addresses, on order in dicts and
sets, or on how an equal value came about. Changing any form changes keys: it needs a new `SCHEME` and a migration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

LARGE = 1 << 16


def leaf(tag: bytes, payload: bytes) -> bytes:
    """Return the form of one indivisible payload.

    >>> leaf(b"str", b"hello")
    b'str5:hello'
    """
    if len(payload) > LARGE:
        return b"%b%d#%b" % (tag, len(payload), hashlib.sha256(payload).digest())
    return b"%b%d:%b" % (tag, len(payload), payload)


def group(tag: bytes, parts: Iterable[bytes]) -> bytes:
    """Return the form of several parts in order, reading them one by one.

    >>> group(b"list", [leaf(b"int", b"1"), leaf(b"int", b"2")])
    b'list2(int1:1int1:2'
    """
    body, hasher, count = bytearray(), None, 0
    for part in parts:
        count += 1
        body += part
        if len(body) > LARGE:
            hasher = hasher or hashlib.sha256()
            hasher.update(body)
            body.clear()
    if hasher is None:
        return b"%b%d(%b" % (tag, count, bytes(body))
    hasher.update(body)
    return b"%b%d#%b" % (tag, count, hasher.digest())


def encode_float(value: float) -> bytes:
    """Return the form of a float: exact, with one NaN and two zeros."""
    return leaf(b"float", b"nan" if value != value else value.hex().encode())


def encode_int(value: int) -> bytes:
    """Return the form of an int of any size: hexadecimal, because Python limits the length of decimal texts."""
    digits = b"%x" % value
    return b"int%d:%b" % (len(digits), digits) if len(digits) <= LARGE else leaf(b"int", digits)


def encode_text(value: str) -> bytes:
    """Return the form of a str, lone surrogates included."""
    return leaf(b"str", value.encode("utf-8", "surrogatepass"))


PLAIN: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"none0:",
    bool: lambda value: b"bool1:1" if value else b"bool1:0",
    int: encode_int,
    float: encode_float,
    str: encode_text,
    bytes: lambda value: leaf(b"bytes", value),
}
"""Types with nothing inside; their subclasses are not among them."""


def short_hash(form: bytes) -> str:
    """Return eight hexadecimal digits that tell forms apart for a reader."""
    return hashlib.sha256(form).hexdigest()[:8]
