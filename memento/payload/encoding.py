"""How results become bytes, and bytes become results again.

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
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from memento.errors import UnpicklableResult, UnreadableResult
from memento.payload.home import pickler
from memento.payload.plain import exact_text, plain_part
from memento.payload.unpicklable import blamed, culprit
from memento.task import type_name

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

_raw_decode = json.JSONDecoder().raw_decode

ALIGNMENT = 64
SMALLEST_BUFFER = 1024  # smaller arrays stay inside the pickle: their padding would weigh more than the copy


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
    if (text := exact_text(value)) is not None:
        return Encoded(JSON, [], 0, b"", text.encode())
    chunks, buffers = _pickled(value)
    codec = PICKLE
    if buffers:
        codec, chunks = PICKLE_AND_BUFFERS, _laid_out(chunks, buffers)
    return Encoded(codec, chunks, _size(chunks), digest_of(chunks), plain_part(value).encode())


def decode(codec: int, data: Buffer, summary: bytes) -> Any:
    """Return the value that `encode` was given.

    Arrays use the memory of `data` when it can be written to (a private mapping, a bytearray) and are copied otherwise.

    Raises:
        UnreadableResult: the value's own unpickling fails, for example because its module is gone.
    """
    if codec == NOTHING:
        return None
    if codec == JSON:
        return decode_plain(summary)
    if codec == PICKLE:
        return _unpickled(memoryview(data), ())
    if codec == PICKLE_AND_BUFFERS:
        head, *buffers = _pieces(memoryview(data).cast("B"))
        return _unpickled(head, buffers)
    raise ValueError(f"unknown encoding {codec} of a stored value; a newer memento wrote it: update memento to read it")


def decode_plain(summary: bytes) -> Any:
    """Return the plain value whose whole JSON is `summary`."""
    # Without the search for white space at both ends, which costs more than the rest.
    return int(summary) if summary.isdigit() else _raw_decode(summary.decode())[0]


def summary_of(summary: bytes) -> Any:
    """Return what tables show of a value: the value if it is plain, the plain entries of one that has some, or None."""
    return json.loads(summary) if summary else None


def digest_of(chunks: Iterable[Buffer]) -> bytes:
    """Return the first 16 bytes of the SHA-256 of `chunks` together; nothing for nothing."""
    digest, empty = sha256(), True
    for chunk in chunks:
        digest.update(chunk)
        empty = False
    return b"" if empty else digest.digest()[:16]


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
        return _dumped(pickler(), value)
    except MemoryError:
        raise
    except Exception as error:
        path, part = culprit(value)
        raise UnpicklableResult(path=path, value_type=type_name(type(part)), reason=_told(error)) from error


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
        raise UnreadableResult(value_type=blamed(data, usable), reason=_told(error)) from error


def _size(chunks: Iterable[Buffer]) -> int:
    return sum(memoryview(chunk).nbytes for chunk in chunks)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
