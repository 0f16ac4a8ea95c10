"""Finds out, where a value is stored, whether it can be read again: later nobody could say where it came from."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from typing import Any

from memento.errors import UnpicklableResult
from memento.payload.encoding import PICKLE, PICKLE_AND_BUFFERS, Encoded, encode
from memento.payload.unpicklable import culprit
from memento.task import type_name

# Without this instruction a pickle names nothing that could fail, and numbers, texts and lists of them need no check.
NAMES_SOMETHING = pickle.STACK_GLOBAL


def encode_readable(value: Any) -> Encoded:
    """Return `value` as `encode` does, once it has been made again from that.

    Raises:
        UnpicklableResult: a part of it cannot be pickled, or not be made again; the message says which.
    """
    encoded = encode(value)
    failed = _unreadable(encoded)
    if failed is not None:
        path, part = culprit(value, lambda part: _unreadable(encode(part)) is None)
        reason = f"to load it again raises {type(failed).__name__}: {failed}"
        raise UnpicklableResult(path=path, value_type=type_name(type(part)), reason=reason) from failed
    return encoded


def _unreadable(encoded: Encoded) -> Exception | None:
    """Return what is raised when `encoded` is read, if that fails; arrays are not copied for it."""
    if encoded.codec not in (PICKLE, PICKLE_AND_BUFFERS):
        return None
    chunks: Sequence[Any] = encoded.chunks
    buffers: Sequence[Any] = ()
    if encoded.codec == PICKLE_AND_BUFFERS:  # sizes, pickle, and then in turn a padding and a buffer
        padded = 2 * (struct.unpack_from("<Q", chunks[0])[0] - 1)
        chunks, buffers = chunks[1:-padded], chunks[len(chunks) - padded + 1 :: 2]
    pickled = b"".join(chunks)
    if NAMES_SOMETHING not in pickled:
        return None
    try:
        pickle.loads(pickled, buffers=buffers)
    except Exception as error:
        # There was not room for two of it, which says nothing against one.
        return None if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ else error
    return None
