"""How records stand in a file: frames under a checksum, each complete or ignored.

::

    file    MAGIC, then frames
    frame   FRAME_START, CRC-32 of the body, length of the body; then the body:
    body    length of the header u32, header (JSON), and the bytes of the columns in the order of the header
    header  {"at":      seconds since the epoch,
             "keepers": [[number, number of the parent or -1, {name: value}], ...],
             "chunks":  [[keeper's number, rows, [[name, kind, bytes of its mask, bytes of its values], ...]], ...]}

What a later frame says of a keeper replaces what an earlier one said. A value of a keeper's data that JSON has no form
for is ``{"pickled": base64}``. Everything is little-endian. This is the stored form: never change it, only add.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from memento.recording.columns import Column, pack_mask, pickle_of, unpack_mask, unpickled

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from memento.recording.chunks import Chunk, Level

MAGIC = b"MRECORD1"
FRAME_START = b"\xf5MR1"
_FRAME = struct.Struct("<4sIQ")
_HEADER = struct.Struct("<I")
_PLAIN = frozenset({type(None), bool, int, float, str})


@dataclass(slots=True)
class Segment:
    """What a file or a packed piece of bytes holds.

    `levels` are the keepers by number; `at` is when its last frame was written, `damaged` how many bytes in its midst
    match no checksum, and `torn` how many at its end.
    """

    levels: dict[int, Any] = field(default_factory=dict)
    chunks: list[Chunk] = field(default_factory=list)
    at: float = 0.0
    frames: int = 0
    damaged: int = 0
    torn: int = 0


def pack_frame(
    at: float, levels: Iterable[tuple[int, int, Mapping[str, Any]]], chunks: Iterable[tuple[int, Chunk]]
) -> bytes:
    """Return one frame: `levels` are number, parent's number (-1: none), data; `chunks` have their keeper's number."""
    described, pieces = [], list[Any]()
    for number, chunk in chunks:
        columns = []
        for name, column in chunk.columns.items():
            mask = pack_mask(column.mask)
            pieces += (mask, column.data)
            columns.append((name, column.kind, len(mask), len(column.data)))
        described.append((number, chunk.length, columns))
    keepers = [(number, parent, _plain(data)) for number, parent, data in levels]
    header = json.dumps({"at": at, "keepers": keepers, "chunks": described}, separators=(",", ":")).encode()
    body = b"".join((_HEADER.pack(len(header)), header, *pieces))
    return _FRAME.pack(FRAME_START, zlib.crc32(body), len(body)) + body


def unpack(data: Buffer, known: Mapping[int, Level] | None = None) -> Segment:
    """Return what the frames in `data` hold, which begins with `MAGIC`.

    A keeper whose number is in `known` is that one; the others are made as the frames say. A frame that does not match
    its checksum is left out, and the reading goes on behind it.
    """
    segment = Segment()
    view = memoryview(data)
    position = len(MAGIC)
    while position < len(view):
        end = _frame_end(view, position)
        if end is None:
            following = bytes(view).find(FRAME_START, position + 1)
            if following < 0:
                segment.torn += len(view) - position
                break
            segment.damaged += following - position
            position = following
        else:
            _take_in(segment, view[position + _FRAME.size : end], known or {})
            position = end
    if segment.damaged:
        segment.damaged, segment.torn = segment.damaged + segment.torn, 0
    return segment


def _frame_end(view: memoryview, position: int) -> int | None:
    if position + _FRAME.size > len(view):
        return None
    start, checksum, length = _FRAME.unpack_from(view, position)
    end = position + _FRAME.size + length
    if start != FRAME_START or end > len(view) or zlib.crc32(view[position + _FRAME.size : end]) != checksum:
        return None
    return int(end)


def _take_in(segment: Segment, body: memoryview, known: Mapping[int, Level]) -> None:
    from memento.recording.chunks import Chunk, StoredLevel

    (length,) = _HEADER.unpack_from(body)
    position = _HEADER.size + length
    header = json.loads(bytes(body[_HEADER.size : position]))
    levels = segment.levels
    for number, _, _ in header["keepers"]:
        levels.setdefault(number, known.get(number) or StoredLevel())
    for number, parent, data in header["keepers"]:
        if number not in known:
            levels[number].parent = levels.get(parent)
            levels[number].data = {name: _read(value) for name, value in data.items()}
    for number, rows, described in header["chunks"]:
        columns = {}
        for name, kind, mask_bytes, data_bytes in described:
            middle = position + mask_bytes
            end = middle + data_bytes
            columns[name] = Column(kind, rows, unpack_mask(body[position:middle]), body[middle:end])
            position = end
        segment.chunks.append(Chunk(levels[number], rows, columns))
    segment.at = header["at"]
    segment.frames += 1


def _plain(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value if _is_plain(value) else {"pickled": base64.b64encode(pickle_of(value)).decode()}
        for name, value in data.items()
    }


def _is_plain(value: Any) -> bool:
    # Of integers those of 64 bits, as in columns: Python may refuse to write out the widest.
    return type(value) in _PLAIN and (type(value) is not int or -(1 << 63) <= value < 1 << 63)


def _read(value: Any) -> Any:
    return unpickled(base64.b64decode(value["pickled"])) if isinstance(value, dict) else value
