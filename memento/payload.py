"""How results and metrics become bytes, and bytes become results and metrics again.

A value is written in the cheapest form that gives it back exactly::

    number, string, None, truth value, flat dict of such   →  JSON, kept in the outcome's head: no part at all
    anything else                                          →  pickle (protocol 5)
    … with arrays                                          →  pickle, and the arrays' own memory after it

The last is laid out so that arrays can be used where they lie, in a mapped file::

    count u64 │ sizes u64 × count │ pickle │ padding │ buffer │ padding │ buffer …

`count` and `sizes` include the pickle (the first); each buffer begins at a multiple of 64 from the start.
All numbers are little-endian. The codecs' numbers and these layouts are the stored form: never change, only add.
"""

from __future__ import annotations

import json
import pickle
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import sha256
from io import BytesIO
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, NamedTuple

from memento.errors import UnpicklableResult, UnreadableResult

if TYPE_CHECKING:
    from typing_extensions import Buffer

NOTHING = 0
"""There is no such part."""
JSON = 1
"""The value is the head's summary."""
PICKLE = 2
"""A pickle, protocol 5."""
PICKLE_AND_BUFFERS = 3
"""A pickle whose arrays follow it, aligned."""
METRICS = 4
"""Columns of recorded metrics."""

ALIGNMENT = 64
SMALLEST_BUFFER = 1024  # smaller arrays stay inside the pickle: their padding would weigh more than the copy
LONGEST_STRING = 8192  # longer ones are pickled, so that reading a table stays cheap
LARGEST_SUMMARY = 65536
WIDEST_INTEGER = 1024  # bits; Python may refuse to print integers of more than 640 digits

Points = tuple["array[float]", "array[float]"]


class Encoded(NamedTuple):
    """A value as bytes: `chunks` are to be written one after another, `size` is their length, `digest` theirs.

    The chunks may be the value's own memory: write them before the value can change. `summary` is the JSON of the
    plain part of the value, empty when it has none.
    """

    codec: int
    chunks: list[Buffer]
    size: int
    digest: bytes
    summary: bytes


def encode(value: Any) -> Encoded:
    """Return `value` as bytes from which `decode` makes an equal value of the same type.

    Raises:
        UnpicklableResult: a part of it cannot be pickled; the message says which.

    Example:
        >>> encode({"accuracy": 0.9}).summary
        b'{"accuracy":0.9}'
    """
    text = _plain_dict(value) if type(value) is dict else _plain(value)
    if text is not None:
        return Encoded(JSON, [], 0, b"", text.encode())
    chunks, buffers = _pickled(value)
    codec = PICKLE
    if buffers:
        codec, chunks = PICKLE_AND_BUFFERS, _laid_out(chunks, buffers)
    return Encoded(codec, chunks, _size(chunks), digest_of(chunks), _summary(value))


def decode(codec: int, data: Buffer, summary: bytes) -> Any:
    """Return the value that `encode` was given.

    Arrays use the memory of `data` when it can be written to (a private mapping, a bytearray) and are copied otherwise.

    Raises:
        UnreadableResult: the value's own unpickling fails, for example because its module is gone.
    """
    if codec == NOTHING:
        return None
    if codec == JSON:
        return json.loads(summary)
    if codec == PICKLE:
        return _unpickled(memoryview(data), ())
    if codec == PICKLE_AND_BUFFERS:
        head, *buffers = _pieces(memoryview(data).cast("B"))
        return _unpickled(head, buffers)
    raise ValueError(f"unknown encoding {codec} of a stored value; a newer memento wrote it: update memento to read it")


def summary_of(summary: bytes) -> Any:
    """Return what tables show of a value: the value if it is plain, a dict's plain entries, or None."""
    return json.loads(summary) if summary else None


def digest_of(chunks: Iterable[Buffer]) -> bytes:
    """Return the first 16 bytes of the SHA-256 of `chunks` together; nothing for nothing."""
    digest, empty = sha256(), True
    for chunk in chunks:
        digest.update(chunk)
        empty = False
    return b"" if empty else digest.digest()[:16]


# ── plain values ────────────────────────────────────────────────────────────────────────────────────────────────────

_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


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
    """Return the JSON of `value` if JSON gives it back exactly."""
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


def _summary(value: Any) -> bytes:
    """Return the JSON of what is plain in a pickled value, so that tables need not unpickle it."""
    if not isinstance(value, dict):
        return (_plain(_like_plain(value)) or "").encode()
    plain = {str(key): _like_plain(entry) for key, entry in value.items() if isinstance(key, str)}
    kept = {key: entry for key, entry in plain.items() if _str_text(key) and _plain(entry)}
    return ((kept and _plain_dict(kept)) or "").encode()


_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
)


def _like_plain(value: Any) -> Any:
    """Return the Python number or string that `value` stands for, or else `value`."""
    try:
        if getattr(value, "shape", None) == () and hasattr(value, "item"):  # scalars of numpy, torch, jax
            return value.item()
        for base, plainly in _BASES:
            if isinstance(value, base) and not isinstance(value, bool):
                return plainly(value)
    except Exception:  # a stranger's class may raise anything here, and a table can do without it
        return value
    return value


# ── pickles ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Chunks(list[Any]):
    """A file for picklers that keeps large pieces as they are."""

    def write(self, data: Any) -> None:
        self.append(data)


def _pickled(value: Any) -> tuple[list[Buffer], list[memoryview]]:
    import cloudpickle

    if not cloudpickle.list_registry_pickle_by_value():
        try:
            chunks, buffers = _dumped(pickle.Pickler, value)
        except MemoryError:
            raise
        except Exception:  # lambdas and the like; if cloudpickle fails too, its error is the one to tell
            pass
        else:
            # A class of a script or notebook is found by name only in that very program, so it has to travel whole.
            if not any(b"__main__" in chunk for chunk in chunks):
                return chunks, buffers
    try:
        return _dumped(cloudpickle.Pickler, value)
    except MemoryError:
        raise
    except Exception as error:
        path, culprit = _culprit(value)
        raise UnpicklableResult(path=path, value_type=_type_name(culprit), reason=_told(error)) from error


def _dumped(pickler: Callable[..., Any], value: Any) -> tuple[list[Any], list[memoryview]]:
    chunks, buffers = _Chunks(), []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < SMALLEST_BUFFER:
            return True
        buffers.append(view)
        return False

    pickler(chunks, protocol=5, buffer_callback=keep_inside).dump(value)
    return list(chunks), buffers


def _laid_out(chunks: list[Buffer], buffers: list[memoryview]) -> list[Buffer]:
    sizes = [_size(chunks), *(buffer.nbytes for buffer in buffers)]
    head = struct.pack(f"<{len(sizes) + 1}Q", len(sizes), *sizes)
    laid: list[Buffer] = [head, *chunks]
    position = len(head) + sizes[0]
    for buffer in buffers:
        padding = -position % ALIGNMENT
        laid += [bytes(padding), buffer]
        position += padding + buffer.nbytes
    return laid


def _pieces(data: memoryview) -> list[memoryview]:
    (count,) = struct.unpack_from("<Q", data)
    sizes = struct.unpack_from(f"<{count}Q", data, 8)
    position = 8 * (count + 1)
    pieces = [data[position : position + sizes[0]]]
    position += sizes[0]
    for size in sizes[1:]:
        position += -position % ALIGNMENT
        pieces.append(data[position : position + size])
        position += size
    if position != len(data):
        raise ValueError(f"a stored value has {len(data)} bytes where {position} were written")
    return pieces


def _unpickled(data: memoryview, buffers: Iterable[memoryview]) -> Any:
    # Over read-only memory arrays would be read-only, which the value was not when the experiment returned it.
    usable = [bytearray(buffer) if buffer.readonly else buffer for buffer in buffers]
    try:
        return pickle.loads(data, buffers=usable)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableResult(value_type=_blamed(data, usable), reason=_told(error)) from error


def _size(chunks: Iterable[Buffer]) -> int:
    return sum(memoryview(chunk).nbytes for chunk in chunks)


# ── what went wrong ─────────────────────────────────────────────────────────────────────────────────────────────────

_DEEPEST, _WIDEST = 12, 1000
_HELPERS = ("cloudpickle", "copyreg", "builtins", "_codecs", "numpy")


def _culprit(value: Any) -> tuple[str, Any]:
    """Return the path to the innermost part of `value` that cannot be pickled, such as ``['model'].lock``."""
    path = ""
    for _ in range(_DEEPEST):
        for step, part in _parts(value):
            if not _picklable(part):
                path, value = path + step, part
                break
        else:
            break
    return path, value


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", part) for key, part in list(value.items())[:_WIDEST]]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", part) for index, part in enumerate(value[:_WIDEST])]
    if isinstance(value, type) or callable(value):
        return []
    return [(f".{name}", part) for name, part in list(getattr(value, "__dict__", {}).items())[:_WIDEST]]


def _picklable(value: Any) -> bool:
    import cloudpickle

    try:
        _dumped(cloudpickle.Pickler, value)
    except Exception:
        return False
    return True


class _Naming(pickle.Unpickler):
    """Unpickles and remembers the last type it was asked for, which is the one to blame when it fails."""

    last = "an object"

    def find_class(self, module: str, name: str) -> Any:
        if not module.startswith(_HELPERS):
            self.last = f"{module}.{name}"
        found = super().find_class(module, name)
        return partial(self._make_class, found) if name == "_make_skeleton_class" else found

    def _make_class(self, make: Callable[..., type], *args: Any) -> type:
        made = make(*args)
        self.last = made.__qualname__
        return made


def _blamed(data: memoryview, buffers: Iterable[Buffer]) -> str:
    """Return the name of the type on which unpickling fails, found by doing it once more."""
    naming = _Naming(BytesIO(data), buffers=buffers)
    with suppress(Exception):
        naming.load()
    return naming.last


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_COUNT = struct.Struct("<I")
_SERIES = struct.Struct("<IQ")  # length of the name, points


def pack_metrics(series: Mapping[str, Points]) -> list[Buffer]:
    """Return metrics as bytes: the names, then for each the column of x and the column of y; 16 bytes a point."""
    chunks: list[Buffer] = [_COUNT.pack(len(series))]
    for name, (xs, ys) in series.items():
        if len(xs) != len(ys):
            raise ValueError(f"metric {name!r} has {len(xs)} x and {len(ys)} y; they belong together")
        encoded = name.encode("utf-8", "surrogatepass")
        chunks.append(_SERIES.pack(len(encoded), len(xs)) + encoded)
    chunks.extend(_little_endian(column).tobytes() for points in series.values() for column in points)
    return chunks


def unpack_metrics(data: Buffer) -> dict[str, Points]:
    """Return the metrics packed in `data`; none for no bytes.

    Raises:
        ValueError: `data` was not made by `pack_metrics`.
    """
    view = memoryview(data).cast("B")
    if not view:
        return {}
    try:
        return _unpacked(view)
    except struct.error as error:
        raise ValueError(f"not packed metrics: {error}") from error


def _unpacked(view: memoryview) -> dict[str, Points]:
    (count,) = _COUNT.unpack_from(view)
    position = _COUNT.size
    named: list[tuple[str, int]] = []
    for _ in range(count):
        length, points = _SERIES.unpack_from(view, position)
        position += _SERIES.size
        named.append((str(view[position : position + length], "utf-8", "surrogatepass"), points))
        position += length
    expected = position + sum(16 * points for _, points in named)
    if expected != len(view):
        raise ValueError(f"not packed metrics: {len(view)} bytes where {expected} were written")
    series: dict[str, Points] = {}
    for name, points in named:
        middle, end = position + 8 * points, position + 16 * points
        series[name] = _column(view[position:middle]), _column(view[middle:end])
        position = end
    return series


def _column(data: memoryview) -> array[float]:
    column = array("d")
    column.frombytes(data)
    return _little_endian(column)


def _little_endian(column: array[float]) -> array[float]:
    if sys.byteorder == "big":
        column = array("d", column)
        column.byteswap()
    return column
