"""One outcome as it stands in the ledger, and whether it is as it was written."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from memento.spool import Frame
from memento.task import KEY_BYTES, RUN_BYTES, STATUS_FROM_CODE, Outcome, Status

CHECKSUM_BYTES = 8
COLUMNS = "id, key, run, attempt, status, head, checksum, damaged"
INSERT = (
    "INSERT OR IGNORE INTO outcomes (key, run, attempt, status, checksum, head, value, metrics, log) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

# The columns that are in the head too, as they stand there.
IDENTITY = struct.Struct(f"<{KEY_BYTES}s{RUN_BYTES}sHB")
IDENTITY_IN_HEAD = 1


class Entry(NamedTuple):
    """One outcome as the ledger knows it; its head was verified, and is unpacked when it is read."""

    id: int
    key: bytes
    run: bytes
    attempt: int
    code: int
    head: bytes

    @property
    def status(self) -> Status:
        """How it ended."""
        return STATUS_FROM_CODE[self.code]

    @property
    def outcome(self) -> Outcome:
        """The outcome, without the bytes of its parts."""
        return Outcome.unpack_head(self.head)


def checksum(*parts: bytes | str) -> bytes:
    """Return the checksum of `parts` as it is stored beside them."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()[:CHECKSUM_BYTES]


def is_intact(row: tuple[Any, ...]) -> bool:
    """Return whether a row of `COLUMNS` matches its checksum, and its columns its head."""
    return agrees(row) and row[4] in STATUS_FROM_CODE and hashlib.sha256(row[5]).digest()[:CHECKSUM_BYTES] == row[6]


def agrees(row: tuple[Any, ...]) -> bool:
    """Return whether the columns of a row of `COLUMNS` are those that its head names; says nothing of the rest."""
    try:
        return IDENTITY.unpack_from(row[5], IDENTITY_IN_HEAD) == row[1:5]
    except (TypeError, struct.error):  # a flipped bit can make a number, or nothing, of a head
        return False


def rows_of(frames: Iterable[Frame]) -> list[tuple[Any, ...]]:
    """Return `frames` as the values of `INSERT`."""
    sha256, identity = hashlib.sha256, IDENTITY.unpack_from
    return [
        (
            *identity(head, IDENTITY_IN_HEAD),
            sha256(head).digest()[:CHECKSUM_BYTES],
            head,
            value or None,
            metrics or None,
            log or None,
        )
        for head, (value, metrics, log) in frames
    ]
