"""The ledger's tables, their version, and the way from older versions to this one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from memento.errors import StoreError
from memento.files import sync_folder
from memento.filesystem import is_network
from memento.store.error_messages import BUSY_TIMEOUT_MS, explain
from memento.store.ledger_header import APPLICATION_ID, MADE, check_header, lock_path, open_as_it_is, version_of
from memento.store.migrations import MIGRATIONS

FORMAT = 2
TABLES_FORMAT = 2  # of TABLES below; migrations lead on from there

TABLES = """
CREATE TABLE outcomes (
    id INTEGER PRIMARY KEY,
    prefix INTEGER NOT NULL,
    damaged INTEGER NOT NULL DEFAULT 0,
    evicted INTEGER NOT NULL DEFAULT 0,
    head BLOB NOT NULL,
    value BLOB,
    metrics BLOB,
    log BLOB
);
CREATE INDEX outcomes_by_prefix ON outcomes (prefix);
CREATE TABLE runs (
    id BLOB PRIMARY KEY,
    experiment TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    code TEXT NOT NULL,
    about TEXT NOT NULL,
    checksum BLOB NOT NULL
);
CREATE TABLE sheets (run BLOB PRIMARY KEY, sheet BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE claims (run BLOB PRIMARY KEY, keys BLOB NOT NULL);
CREATE TABLE introduced (
    experiment TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    readable TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (experiment, name)
) WITHOUT ROWID;
"""


def connect(database: Path, *, target: int | None = None, read_only: bool = False) -> sqlite3.Connection:
    """Return a connection to the ledger at `database`, which is made or migrated where need be.

    With `read_only` neither is done, and it can write nothing. Text comes as bytes: a bit that has flipped in it must
    not keep the rows around it from being read.

    Raises:
        StoreForeign: the file is something else; it is left as it was.
        StoreTooNew: a newer memento wrote it; it is left as it was.
        StoreError: it cannot be read or written.
    """
    target = FORMAT if target is None else target
    try:
        check_header(database, target)
        if read_only or not is_writable(database):
            return _open_to_read(database, target)
        if not database.exists():
            os.close(os.open(database, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        elif not database.stat().st_size:
            with contextlib.suppress(PermissionError):  # another user's
                database.chmod(0o600)  # what will be in it is private, as what will lie beside it
        connection = open_as_it_is(database, "mode=rw")
        try:
            if version_of(connection, database, target) != target or _journal(connection) != _wanted_journal(database):
                with _alone(database):
                    _settle(connection, database, target)
            connection.execute("PRAGMA synchronous = EXTRA")  # FULL, and the folder after a journal's end
        except BaseException:
            connection.close()
            raise
        return connection
    except (sqlite3.DatabaseError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, StoreError):
            raise
        raise explain(database, error) from error


def refuse(database: Path) -> None:
    """Raise what `connect` would if a foreign, newer or damaged file is at `database`; nothing is touched or made."""
    try:
        check_header(database, FORMAT)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise explain(database, error) from error


def is_writable(database: Path) -> bool:
    """Return whether this process may write the ledger at `database` and files beside it, or make them."""
    if database.exists() and not os.access(database, os.W_OK):
        return False
    return os.access(next(folder for folder in database.parents if folder.exists()), os.W_OK)


def _open_to_read(database: Path, target: int) -> sqlite3.Connection:
    if is_writable(database):
        # As one who could write: others may, what a kill has left is undone or finished, and no file is left over.
        mode = "mode=rw"
    else:
        # Without a log beside it nobody writes; then SQLite need not make the shared memory, which it could not here.
        log = Path(f"{database}-wal")
        mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    connection = open_as_it_is(database, mode)
    try:
        connection.execute("PRAGMA query_only = ON")
        version = version_of(connection, database, target)
        if version != target:
            raise StoreError(
                f"the store {database} has format {version} and is read-only here, so that it cannot be brought to "
                f"format {target}; open it once where it is writable, or copy it",
                path=str(database),
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _journal(connection: sqlite3.Connection) -> str:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return bytes(mode).decode()


def _wanted_journal(database: Path) -> str:
    return "delete" if is_network(database.parent) else "wal"


@contextlib.contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Let one process at a time make or migrate the ledger, and remember that it was made."""
    descriptor = os.open(lock_path(database), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.pwrite(descriptor, MADE, 0)
        sync_folder(database.parent)
    finally:
        os.close(descriptor)


def _settle(connection: sqlite3.Connection, database: Path, target: int) -> None:
    version = version_of(connection, database, target)
    if version and version != target:
        _back_up(connection, database, version)
    if version != target:
        _bring_up(connection, database, target)
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {_wanted_journal(database)}")
            return
        except sqlite3.OperationalError as error:
            # This change asks for the file alone and does not wait for it as transactions do.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _back_up(connection: sqlite3.Connection, database: Path, version: int) -> None:
    backup = database.with_name(f"{database.name}.format-{version}.backup")
    aside = backup.with_name(f"{backup.name}.tmp")
    aside.unlink(missing_ok=True)
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(aside)) as copy:
        connection.backup(copy)
    os.replace(aside, backup)
    sync_folder(backup.parent)


def _bring_up(connection: sqlite3.Connection, database: Path, target: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection, database, target)
        if version == 0:
            for statement in TABLES.split(";"):
                connection.execute(statement)
            version = TABLES_FORMAT
        while version < target:
            MIGRATIONS[version](connection)
            version += 1
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {target}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
