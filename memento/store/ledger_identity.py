"""Whether the ledger at a path is still the one that was opened there: rows' numbers mean nothing in another one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from memento.errors import StoreError


def file_at(database: str | Path) -> tuple[int, int] | None:
    """Return what tells the file at `database` from any other that is there at the same time; None where none is."""
    try:
        state = os.stat(database)
    except OSError:
        return None
    return state.st_dev, state.st_ino


def first_run(connection: sqlite3.Connection) -> bytes:
    """Return the id of the first run of a ledger, which no other ledger has but a copy; empty where none is seen."""
    with suppress(sqlite3.Error, UnicodeDecodeError):
        row = connection.execute("SELECT id FROM runs ORDER BY rowid LIMIT 1").fetchone()
        if row is not None and isinstance(row[0], bytes):
            return row[0]
    return b""


def has_begun_with(connection: sqlite3.Connection, run: bytes) -> bool:
    """Return whether `run` may be the first run of a ledger: also where a bit of its id has flipped, or a page is lost.

    A system may give a new file the number of one that was removed, so that the number alone does not tell.
    """
    if first_run(connection) == run:
        return True
    try:
        # The index has the id a second time.
        return connection.execute("SELECT 1 FROM runs WHERE id = ?", [run]).fetchone() is not None
    except (sqlite3.Error, UnicodeDecodeError):
        return True


def replaced(database: Path) -> StoreError:
    """Return what to tell the user where the ledger at `database` is not the one that was opened there."""
    return StoreError(
        f"the store {database} was removed or replaced after it had been opened here: what was read from it is not "
        "stored there any more, and what is there now was left as it is; run again to work with that",
        path=str(database),
    )
