"""A worker's own file of outcomes: what is in it has survived the death of every process.

    worker ──append──▶ <worker>.spool ──read_frames──▶ orchestrator ──▶ store
                            └──────────── the next run, when this one died ──▶ store

A file is `FILE_MAGIC` and then frames. A frame is `FRAME` (magic, CRC-32 of the body, length of the body) and the body:
the outcome's head and the bodies of its parts, each after its length (`ABSENT` for a part kept in a blob file).

Guarantee: `append` hands a whole frame to the kernel in one `write`, so that after the call no kill of any process
loses it; a frame torn by a kill in the middle of that call is recognised and ignored. Power loss is the store's
business: what it has committed is synced, a spool is not.

The writer holds an exclusive lock on its file while it lives, and the kernel drops it when the process ends, however
it ends: who gets the lock knows that nobody will append any more.
"""

from __future__ import annotations

import fcntl
import os
import struct
import weakref
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from memento.files import write_all
from memento.heads import NO_BODIES, Frame, frame_of
from memento.task import PART_NAMES, Outcome

FILE_MAGIC = b"MSPOOL2\n"
FRAME = struct.Struct("<HII")
FRAME_MAGIC = 0x4D46
FRAME_START = FRAME_MAGIC.to_bytes(2, "little")
LENGTH = struct.Struct("<I")
FRAME_AND_LENGTH = struct.Struct("<HIII")  # a frame's beginning, and the length of the head behind it
ABSENT = 0xFFFFFFFF
PIECE = 1 << 20  # bytes that are read at once
PIECE_OF_FRAMES = 8 << 20
OBJECTS = 300  # bytes that Python needs for a frame beside what is in it
SMALLEST_BODY = (1 + len(PART_NAMES)) * LENGTH.size  # nothing and a checksum of zeros would match each other
_PACKED_NO_BODIES = bytes(len(PART_NAMES) * LENGTH.size)

_writers: weakref.WeakSet[SpoolWriter] = weakref.WeakSet()


def pack_frame(frame: Frame) -> bytes:
    """Return `frame` as it stands in a file."""
    head, bodies = frame
    body = LENGTH.pack(len(head)) + head
    if bodies is NO_BODIES:
        body += _PACKED_NO_BODIES
    else:
        pieces = [body]
        for data in bodies:
            pieces.append(LENGTH.pack(ABSENT if data is None else len(data)))
            pieces.append(data or b"")
        body = b"".join(pieces)
    return FRAME.pack(FRAME_MAGIC, zlib.crc32(body), len(body)) + body


def unpack_body(body: bytes) -> Frame:
    """Return the head and the parts' bodies that `pack_frame` packed."""
    length = int.from_bytes(body[: LENGTH.size], "little")
    position = LENGTH.size + length
    head = body[LENGTH.size : position]
    if len(body) == position + len(_PACKED_NO_BODIES) and body.endswith(_PACKED_NO_BODIES):
        return head, NO_BODIES
    parts: list[bytes | None] = []
    for _ in PART_NAMES:
        (length,) = LENGTH.unpack_from(body, position)
        position += LENGTH.size
        if length == ABSENT:
            parts.append(None)
        else:
            parts.append(body[position : position + length])
            position += length
    return head, tuple(parts)


class SpoolWriter:
    """The one appender to a spool file, which it makes and locks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._end = os.fstat(self._descriptor).st_size
        if not self._end:
            try:
                self._write(FILE_MAGIC)
            except BaseException:
                self.close()  # else whoever asks for the lock takes this for a writer that lives
                raise
        _writers.add(self)

    def append(self, outcome: Outcome) -> int:
        """Append `outcome` and return the offset behind it; no kill of any process loses it after that.

        Raises:
            OSError: the disk is full or failing; the file ends where it ended before.
        """
        return self._write(pack_frame(frame_of(outcome)))

    def _write(self, data: bytes) -> int:
        try:
            written = os.write(self._descriptor, data)
            if written != len(data):
                write_all(self._descriptor, (data[written:],))
        except BaseException:
            os.ftruncate(self._descriptor, self._end)  # a torn frame would hide every later one
            raise
        self._end += len(data)
        return self._end

    def close(self) -> None:
        """Give the lock up. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        _writers.discard(self)


def _drop_inherited_locks() -> None:
    # A process forked by an experiment would hold the lock beyond the worker's death.
    for writer in list(_writers):
        writer.close()


os.register_at_fork(after_in_child=_drop_inherited_locks)


def read_frames(path: Path, start: int = 0) -> tuple[list[Frame], int]:
    """Return the whole frames of the spool at `path` from offset `start` on, and the offset behind the last of them.

    Reading ends at the first frame that is torn or does not match its checksum.
    """
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read()
    if start == 0 and not data.startswith(FILE_MAGIC):
        return [], 0
    frames, end = _frames(data, len(FILE_MAGIC) if start == 0 else 0)
    return frames, start + end


def read_all_frames(path: Path, start: int = 0) -> Iterator[Frame]:
    """Yield every whole frame of the spool at `path` from offset `start` on, also those behind a damaged one.

    Nobody may write to it any more. A spool is as large as what a run computed: a piece of it is in memory at a time.
    """
    with open(path, "rb", buffering=PIECE) as file:
        position = start
        while position >= 0:
            for frame, end in _frames_in(file, position):
                yield frame
                position = end
            position = _next_start(file, position + 1)


def read_frames_in_pieces(path: Path, start: int = 0) -> Iterator[tuple[list[Frame], int]]:
    """Yield what `read_frames` returns a piece at a time, each with the offset behind it."""
    with open(path, "rb", buffering=PIECE) as file:
        if start == 0 and file.read(len(FILE_MAGIC)) != FILE_MAGIC:
            return
        end = start or len(FILE_MAGIC)
        for piece in in_pieces(frame for frame, _ in _frames_in(file, end)):
            end += sum(map(_size_of, piece))
            yield piece, end


def in_pieces(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Yield `frames` in lists that take some megabytes of memory at most, unless a single frame is larger."""
    piece: list[Frame] = []
    room = PIECE_OF_FRAMES
    for frame in frames:
        size = OBJECTS + _size_of(frame)
        if piece and size > room:
            yield piece
            piece, room = [], PIECE_OF_FRAMES
        piece.append(frame)
        room -= size
    if piece:
        yield piece


def _size_of(frame: Frame) -> int:
    """Return how many bytes `frame` takes in a file."""
    head, bodies = frame
    return FRAME.size + SMALLEST_BODY + len(head) + sum(len(body) for body in bodies if body)


def _frames_in(file: BinaryIO, position: int) -> Iterator[tuple[Frame, int]]:
    """Yield the frames from `position` on, up to the first that is not whole, each with the offset behind it."""
    size = os.fstat(file.fileno()).st_size
    while position + FRAME.size <= size:
        file.seek(position)
        magic, checksum, length = FRAME.unpack(file.read(FRAME.size))
        position += FRAME.size
        if magic != FRAME_MAGIC or not SMALLEST_BODY <= length <= size - position:
            return
        if length > PIECE and _checksum(file, length) != checksum:  # a damaged length can be that of half the file
            return
        file.seek(position)
        body = file.read(length)
        if zlib.crc32(body) != checksum:
            return
        position += length
        yield unpack_body(body), position


def _checksum(file: BinaryIO, length: int) -> int:
    checksum = 0
    while length > 0 and (piece := file.read(min(length, PIECE))):
        checksum = zlib.crc32(piece, checksum)
        length -= len(piece)
    return checksum


def _next_start(file: BinaryIO, position: int) -> int:
    """Return where, from `position` on, a frame may begin; -1 where none does."""
    overlap = len(FRAME_START) - 1
    while True:
        file.seek(position)
        piece = file.read(PIECE)
        found = piece.find(FRAME_START)
        if found >= 0:
            return position + found
        if len(piece) < PIECE:
            return -1
        position += PIECE - overlap


def _frames(data: bytes, position: int) -> tuple[list[Frame], int]:
    frames: list[Frame] = []
    unpack, crc32, begin = FRAME_AND_LENGTH.unpack_from, zlib.crc32, FRAME.size
    last = len(data) - FRAME_AND_LENGTH.size
    while position <= last:
        magic, checksum, length, head_length = unpack(data, position)
        end = position + begin + length
        body = data[position + begin : end]
        if magic != FRAME_MAGIC or len(body) != length or length < SMALLEST_BODY or crc32(body) != checksum:
            break
        # Of a plain result there is a head and nothing else; a hundred thousand of them need not be taken apart.
        plain = length == SMALLEST_BODY + head_length and body.endswith(_PACKED_NO_BODIES)
        frames.append((body[LENGTH.size : LENGTH.size + head_length], NO_BODIES) if plain else unpack_body(body))
        position = end
    return frames, position
