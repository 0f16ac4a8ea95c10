"""Columns of recorded values: from a list to typed bytes and back.

A column is the values of one name in some rows. It is kept as a *mask* (left out where every row has a value; else a
byte for each row: absent, present, or None) and the *dense* values of the rows that are present, of one kind:

    d           float64                 b h i q     integers of 1, 2, 4, 8 bytes, the narrowest that holds all
    ?           booleans, a byte each   s           text: codes into a list of the distinct texts
    p           anything else, or a mixture: a pickled list

All little-endian. The kinds are the stored form: never change one, only add.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import struct
import sys
import zlib
from array import array
from collections.abc import Sequence
from typing import Any

from memento.payload.home import MAIN, dumps_to_keep
from memento.scalars import plain_of

ABSENT_ROW, PRESENT_ROW, NONE_ROW = 0, 1, 2
PICKLED = "p"
_TEXTS = struct.Struct("<I")  # length of the list of texts; the codes follow it, each of the size below
_INTEGERS = (("b", 7), ("h", 15), ("i", 31), ("q", 63))


class _Absent:
    """What stands in a row that has no value of a name; there is one of it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


class Column:
    """The values of one name in `length` rows; its bytes are decoded when the values are first asked for."""

    __slots__ = ("_dense", "_rows", "data", "kind", "length", "mask")

    def __init__(self, kind: str, length: int, mask: bytes, data: Any, dense: Any = None) -> None:
        self.kind = kind
        self.length = length
        self.mask = mask
        self.data = data
        self._dense = dense
        self._rows: Sequence[Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Column, (self.kind, self.length, self.mask, bytes(self.data))

    @property
    def dense(self) -> Sequence[Any]:
        """The values that are there, without those that are absent or None."""
        if self._dense is None:
            dense = _DECODERS[self.kind](memoryview(self.data))
            if isinstance(dense, str):  # why they cannot be unpickled: what else is in the records can be read
                dense = [dense] * (self.mask.count(PRESENT_ROW) if self.mask else self.length)
            self._dense = dense
        return self._dense  # type: ignore[no-any-return]

    @property
    def rows(self) -> Sequence[Any]:
        """A value for each row; `ABSENT` where there is none."""
        if not self.mask:
            return self.dense
        if self._rows is None:
            fill = (ABSENT, None, None)
            values = iter(self.dense)
            self._rows = [next(values) if code == PRESENT_ROW else fill[code] for code in self.mask]
        return self._rows

    @property
    def is_complete(self) -> bool:
        """Whether every row has a value of its own, be it None."""
        return ABSENT_ROW not in self.mask


def column_of(values: list[Any]) -> Column | None:
    """Return `values` as a column, or None if all of them are absent."""
    kinds = set(map(type, values))
    if len(kinds) > 1 or not kinds.isdisjoint((_Absent, type(None))):
        mask = _mask(values, kinds)
        if not any(mask):
            return None
        if any(code != PRESENT_ROW for code in mask):
            present = [value for value, code in zip(values, mask, strict=True) if code == PRESENT_ROW]
            kind, data, dense = _encoded(present, set(map(type, present)))
            return Column(kind, len(values), mask, data, dense)
    kind, data, dense = _encoded(values, kinds)
    return Column(kind, len(values), b"", data, dense)


def _mask(values: list[Any], kinds: set[type]) -> bytes:
    if _Absent not in kinds and type(None) not in kinds:
        return b"\x01" * len(values)
    return bytes(ABSENT_ROW if value is ABSENT else NONE_ROW if value is None else PRESENT_ROW for value in values)


def pack_mask(mask: bytes) -> bytes:
    """Return `mask` as it is stored."""
    return zlib.compress(mask, 1) if mask else b""


def unpack_mask(data: Any) -> bytes:
    """Return the mask that `pack_mask` packed."""
    return zlib.decompress(data) if len(data) else b""


def _encoded(values: list[Any], kinds: set[type]) -> tuple[str, Any, Any]:
    """Return the kind, the stored bytes and, where it is at hand, the decoded form of values all of which are there."""
    if len(kinds) == 1:
        (kind,) = kinds
        if kind is float:
            floats = array("d", values)
            return "d", _stored(floats), floats
        if kind is int:
            return _integers(values)
        if kind is bool:
            return "?", bytes(values), values
        if kind is str:
            return _texts(values)
    plain = list(map(plain_of, values))
    plain_kinds = set(map(type, plain))
    if plain_kinds != kinds:
        return _encoded(plain, plain_kinds)
    return PICKLED, *_pickled(plain)


def _integers(values: list[int]) -> tuple[str, Any, Any]:
    low, high = min(values), max(values)
    for kind, bits in _INTEGERS:
        if -(1 << bits) <= low and high < (1 << bits):
            numbers = array(kind, values)
            return kind, _stored(numbers), numbers
    return PICKLED, *_pickled(values)


def _texts(values: list[str]) -> tuple[str, Any, Any]:
    codes = {text: code for code, text in enumerate(dict.fromkeys(values))}
    listed = json.dumps(list(codes)).encode()
    numbers = array(_code_type(len(codes)), map(codes.__getitem__, values))
    return "s", b"".join((_TEXTS.pack(len(listed)), listed, _stored(numbers))), values


def _code_type(count: int) -> str:
    return "B" if count <= 1 << 8 else "H" if count <= 1 << 16 else "I"


def _pickled(values: list[Any]) -> tuple[bytes, Any]:
    # Decoded again when it is read: what the caller may still change is not what was recorded.
    by_name = None
    with contextlib.suppress(Exception):
        by_name = pickle.dumps(values, 5)
        if MAIN.encode() not in by_name:
            return by_name, None
    # What is of a script is found by name in that script only. Together its definition is stored once.
    with contextlib.suppress(Exception):
        return dumps_to_keep(values), None
    return by_name or pickle.dumps([_ByValue(pickle_of(value)) for value in values], 5), None


def pickle_of(value: Any) -> bytes:
    """Return `value` pickled, or where that fails its `repr`."""
    try:
        return dumps_to_keep(value)
    except Exception:
        return pickle.dumps(_text_of(value), 5)


def _text_of(value: Any) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"(a {type(value).__name__}, whose repr raises {type(error).__name__})"


def unpickled(data: Any) -> Any:
    """Return what was pickled as `data`; where that fails now, a text that says so."""
    try:
        return pickle.loads(data)
    except Exception as error:
        return f"(cannot be unpickled: {type(error).__name__}: {error})"


class _ByValue:
    """Something that only cloudpickle can pickle; it is itself again when it is unpickled."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickled, (self.data,)


def _stored(numbers: array[Any]) -> Any:
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return memoryview(numbers).cast("B")


def _array(kind: str, data: memoryview) -> array[Any]:
    numbers = array(kind)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _decoded_texts(data: memoryview) -> list[str]:
    (length,) = _TEXTS.unpack_from(data)
    start = _TEXTS.size + length
    texts = json.loads(bytes(data[_TEXTS.size : start]))
    return list(map(texts.__getitem__, _array(_code_type(len(texts)), data[start:])))


_DECODERS: dict[str, Any] = {
    "d": lambda data: _array("d", data),
    "b": lambda data: _array("b", data),
    "h": lambda data: _array("h", data),
    "i": lambda data: _array("i", data),
    "q": lambda data: _array("q", data),
    "?": lambda data: list(map(bool, bytes(data))),
    "s": _decoded_texts,
    PICKLED: unpickled,
}
