"""One outcome as it stands in the ledger, and whether it is as it was written."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Sequence
from itertools import count
from operator import itemgetter
from typing import Any

from memento.entry import Row
from memento.heads import KEY_IN_HEAD, NO_BODIES, Frame, is_whole
from memento.task import PART_NAMES

CHECKSUM_BYTES = 8
COLUMNS = "id, prefix, damaged, head"
# What the column `damaged` can say of a row, besides 0.
DAMAGED = 1
REPLACED = 2  # by a newer success of its key: it never counts again, also where damage hides the newer one
_INSERT = f"INSERT INTO outcomes (id, prefix, head, {', '.join(PART_NAMES)}) VALUES (?, ?, ?, ?, ?, ?)"
# Columns that are left out are NULL, and take a third of the time of columns that are told so.
_INSERT_PLAIN = "INSERT INTO outcomes (id, prefix, head) VALUES (?, ?, ?)"
BY_KEY = f"SELECT {COLUMNS} FROM outcomes WHERE prefix IN"

PREFIX = struct.Struct("<q")
"""The first eight bytes of a key as a number: what the ledger's index holds, half as large as one of whole keys."""
_PREFIX_IN_HEAD = KEY_IN_HEAD.start


def checksum(*parts: bytes | str) -> bytes:
    """Return the checksum of `parts` as it is stored beside them."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()[:CHECKSUM_BYTES]


def prefix_of(key: bytes) -> int:
    """Return the number by which the ledger's index knows `key`."""
    (prefix,) = PREFIX.unpack_from(key)
    return int(prefix)


def is_intact(head: Any) -> bool:
    """Return whether `head` is as it was written; a flipped bit can make a number, or nothing, of it."""
    return type(head) is bytes and is_whole(head)


def insert(database: sqlite3.Connection, frames: Sequence[Frame], first: int) -> list[Row]:
    """Insert `frames`, numbered from `first` on, inside a transaction; return them as `find_rows` finds them."""
    prefix = PREFIX.unpack_from
    plain = [
        (number, *prefix(head, _PREFIX_IN_HEAD), head)
        for number, (head, bodies) in enumerate(frames, first)
        if bodies is NO_BODIES
    ]
    database.executemany(_INSERT_PLAIN, plain)
    if len(plain) < len(frames):
        others = [
            (number, *prefix(head, _PREFIX_IN_HEAD), head, *_stored(bodies))
            for number, (head, bodies) in enumerate(frames, first)
            if bodies is not NO_BODIES
        ]
        database.executemany(_INSERT, others)
    return list(zip(count(first), map(itemgetter(0), frames), strict=False))


def _stored(bodies: Sequence[bytes | None]) -> tuple[bytes | None, ...]:
    return tuple([data or None for data in bodies])
