"""Whether a file is a ledger, of a format that is known, and whole: told before anything about it is changed."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from memento.errors import StoreError, StoreForeign, StoreTooNew
from memento.store.error_messages import BUSY_TIMEOUT_MS

APPLICATION_ID = 0x4D454D4F  # "MEMO"
MAGIC = b"SQLite format 3\0"
SMALLEST = 512  # bytes of a page: no database is shorter, unless it is empty
LOCK_SUFFIX = ".lock"
MADE = b"made\n"
# What stands beside a ledger whose last change was cut off, and what such a file begins with.
UNFINISHED = {
    "-journal": (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",),
    "-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"),
}


def open_as_it_is(database: Path, options: str) -> sqlite3.Connection:
    """Return a connection to what is at `database`, which is neither made nor changed; text comes as bytes."""
    connection = sqlite3.connect(
        f"{database.as_uri()}?{options}", uri=True, isolation_level=None, check_same_thread=False,
        timeout=BUSY_TIMEOUT_MS / 1000,
    )  # fmt: skip
    connection.text_factory = bytes
    return connection


def check_header(database: Path, target: int) -> None:
    """Refuse what is not ours, by reading it without a lock: to open it otherwise might already change files beside it.

    By SQLite and not by `open`: closing a file drops every POSIX lock that this process has on it, those of another
    connection too. Then another process takes itself for the last one and removes the log that is being written to.
    """
    lock = lock_path(database)
    made = lock.exists() and lock.read_bytes() == MADE  # asked first: another process may just be making it
    try:
        size = database.stat().st_size
    except FileNotFoundError:
        return
    if not size:
        if made:
            raise StoreError(
                f"the store {database} is empty, though it was not: the file is damaged. Put a backup in its place, or "
                "remove it to begin anew",
                path=str(database),
            )
        return
    if size < SMALLEST:  # SQLite would take some of these for an empty database
        if _is_unfinished(database):
            return
        if _begins_as_one(database):
            raise _damaged("it is cut off")
        raise _foreign(database)
    try:
        with contextlib.closing(open_as_it_is(database, "mode=ro&immutable=1")) as connection:
            version_of(connection, database, target)
            (page,) = connection.execute("PRAGMA page_size").fetchone()
    except sqlite3.DatabaseError as error:
        code = error.sqlite_errorcode & 0xFF
        if code == sqlite3.SQLITE_NOTADB and _is_unfinished(database):
            return
        if code == sqlite3.SQLITE_NOTADB and not _begins_as_one(database):
            raise _foreign(database) from error
        # What is missing may be in the log, which is not looked at here: opening it with locks will tell.
        if code != sqlite3.SQLITE_CORRUPT:
            raise
        return
    # SQLite notices missing pages, but reads the missing part of a page as zeros: rows would be gone without a word.
    if size % page and not _is_unfinished(database) and database.stat().st_size == size:
        raise _damaged("it is cut off")


def _damaged(what: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _is_unfinished(database: Path) -> bool:
    """Return whether SQLite will undo or finish a change when it opens `database` with locks.

    When the power was cut in the middle of it, even the file's beginning may be torn until then.
    """
    for suffix, beginnings in UNFINISHED.items():
        with contextlib.suppress(OSError), open(f"{database}{suffix}", "rb") as file:
            if file.read(len(beginnings[0])) in beginnings:
                return True
    return False


def _foreign(database: Path) -> StoreForeign:
    return StoreForeign(
        f"{database} is not a store: it does not begin as one; it was left untouched, give another cache_path",
        path=str(database),
    )


def _begins_as_one(database: Path) -> bool:
    with open(database, "rb") as file:  # it is no database, so that no connection of ours has it open
        return file.read(len(MAGIC)) == MAGIC


def version_of(connection: sqlite3.Connection, database: Path, target: int) -> int:
    """Return the number of the ledger's format, 0 for one that has no tables yet.

    Raises:
        StoreForeign: it is another program's database.
        StoreTooNew: its format is newer than `target`.
    """
    _refuse_foreign(connection, database)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    _refuse_newer(database, version, target)
    if version < 0:
        raise _damaged("its format has no such number")
    return int(version)


def _refuse_foreign(connection: sqlite3.Connection, database: Path) -> None:
    # In this order: another process may make the tables, and with them the number, between the two questions.
    tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and application != APPLICATION_ID:
        raise StoreForeign(
            f"{database} is another program's database; it was left untouched, give another cache_path",
            path=str(database),
        )


def _refuse_newer(database: Path, version: int, target: int) -> None:
    if version > target:
        raise StoreTooNew(
            f"{database} has format {version}, this memento knows formats up to {target}; it was left untouched, "
            "upgrade memento or give another cache_path",
            path=str(database),
        )


def lock_path(database: Path) -> Path:
    """Return the file that is locked while the ledger is made or migrated, and that remembers that it was made."""
    return database.with_name(database.name + LOCK_SUFFIX)
