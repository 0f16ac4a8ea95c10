"""From what SQLite or the disk says to what the user reads."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memento.errors import StoreError
from memento.files import DISK_ERRORS

BUSY_TIMEOUT_MS = 60_000

_DAMAGED = (
    "its file is damaged; nothing was deleted: move it aside or put a backup in its place, and run again "
    "(what is still readable of it stays in the file)"
)
_FULL = "the disk is full; what was stored stays: make room, and run again"
_FAILS = "the disk fails; what was stored stays: see that it is not full, and that it is whole"
_WHY = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_BUSY: f"another process has locked it for {BUSY_TIMEOUT_MS // 1000} s; run again when that is done",
    sqlite3.SQLITE_LOCKED: "another connection has it locked; run again when that one is done",
    sqlite3.SQLITE_READONLY: "it is read-only here; give another cache_path, or make it writable",
    sqlite3.SQLITE_CANTOPEN: "a file cannot be opened; nothing was deleted: see that the folder is there and writable",
    sqlite3.SQLITE_IOERR: _FAILS,
}  # fmt: skip

_OF_ERRNO = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EIO: _FAILS}


@contextmanager
def disk_errors_explained(database: Path) -> Iterator[None]:
    """Raise StoreError for what a full or failing disk says to anything done inside to the files of a store."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        raise explain(database, error) from error


def is_damage(error: BaseException | None) -> bool:
    """Return whether SQLite says that the file itself is broken."""
    return isinstance(error, sqlite3.Error) and _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def explain(database: Path, error: Exception) -> StoreError:
    """Return what to tell the user when `error` ended what was being done with the ledger at `database`."""
    why = "nothing was deleted"
    if isinstance(error, sqlite3.Error):
        full = _code(error) == sqlite3.SQLITE_IOERR and _is_full(database.parent)
        why = _FULL if full else _WHY.get(_code(error), why)
    elif isinstance(error, UnicodeDecodeError):  # SQLite quotes a statement in which a bit has flipped
        why = _DAMAGED
    elif isinstance(error, OSError):
        why = _OF_ERRNO.get(error.errno or 0, "see that the folder is there and writable")
    return StoreError(f"the store {database} cannot be used ({error}): {why}", path=str(database))


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF  # above these bits are details


def _is_full(folder: Path) -> bool:
    try:
        state = os.statvfs(folder)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < 1 << 16
