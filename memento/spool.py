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
from pathlib import Path

from memento.files import write_all
from memento.task import PART_NAMES, STATUS_CODES, STATUS_IN_HEAD, Outcome, Status

Frame = tuple[bytes, tuple[bytes | None, ...]]
"""The packed head of an outcome and the bodies of its parts (None: in a blob file)."""

FILE_MAGIC = b"MSPOOL2\n"
FRAME = struct.Struct("<HII")
FRAME_MAGIC = 0x4D46
FRAME_START = FRAME_MAGIC.to_bytes(2, "little")
LENGTH = struct.Struct("<I")
ABSENT = 0xFFFFFFFF
SMALLEST_BODY = (1 + len(PART_NAMES)) * LENGTH.size  # nothing and a checksum of zeros would match each other
_NO_BODIES = (b"",) * len(PART_NAMES)
_PACKED_NO_BODIES = bytes(len(PART_NAMES) * LENGTH.size)

_writers: weakref.WeakSet[SpoolWriter] = weakref.WeakSet()


def frame_of(outcome: Outcome) -> Frame:
    """Return `outcome` as a frame."""
    bodies = tuple([part.data for part in outcome.parts])
    return outcome.pack_head(), _NO_BODIES if bodies == _NO_BODIES else bodies


REQUEUED = "requeued"
"""The cause of an attempt that ended with its batch job and goes on in the next: kept, not final."""
_SUCCEEDED = STATUS_CODES[Status.SUCCEEDED]


def has_succeeded(head: bytes) -> bool:
    """Return whether the outcome packed as `head` is a success."""
    return head[STATUS_IN_HEAD] == _SUCCEEDED


def is_final(head: bytes) -> bool:
    """Return whether nothing more comes, by itself, after the outcome packed as `head`."""
    if has_succeeded(head):
        return True
    failure = Outcome.unpack_head(head).failure
    return failure is None or failure.cause != REQUEUED


def pack_frame(frame: Frame) -> bytes:
    """Return `frame` as it stands in a file."""
    head, bodies = frame
    body = LENGTH.pack(len(head)) + head
    if bodies is _NO_BODIES:
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
    (length,) = LENGTH.unpack_from(body)
    position = LENGTH.size + length
    head = body[LENGTH.size : position]
    if len(body) == position + len(_PACKED_NO_BODIES) and body.endswith(_PACKED_NO_BODIES):
        return head, _NO_BODIES
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
            self._write(FILE_MAGIC)
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


def read_all_frames(path: Path, start: int = 0) -> list[Frame]:
    """Return every whole frame of the spool at `path` from offset `start` on, also those behind a damaged one.

    Nobody may write to it any more.
    """
    with open(path, "rb") as file:
        file.seek(start)
        data = file.read()
    found: list[Frame] = []
    position = 0
    while position >= 0:
        frames, end = _frames(data, position)
        found += frames
        position = data.find(FRAME_START, end if frames else position + 1)
    return found


def _frames(data: bytes, position: int) -> tuple[list[Frame], int]:
    frames: list[Frame] = []
    while position + FRAME.size <= len(data):
        magic, checksum, length = FRAME.unpack_from(data, position)
        body = data[position + FRAME.size : position + FRAME.size + length]
        if magic != FRAME_MAGIC or len(body) != length or length < SMALLEST_BODY or zlib.crc32(body) != checksum:
            break
        frames.append(unpack_body(body))
        position += FRAME.size + length
    return frames, position
