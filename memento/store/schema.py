"""The ledger's tables, their version, and the way from older versions to this one."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from memento.errors import StoreError, StoreForeign, StoreTooNew

APPLICATION_ID = 0x4D454D4F  # "MEMO"
FORMAT = 1
BUSY_TIMEOUT_MS = 60_000
MAGIC = b"SQLite format 3\0"
# Shared memory, which the write-ahead log needs, does not work between the hosts of these.
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "fuse", "9p", "afs", "glusterfs")

TABLES = """
CREATE TABLE outcomes (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    run BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    status INTEGER NOT NULL,
    damaged INTEGER NOT NULL DEFAULT 0,
    checksum BLOB NOT NULL,
    head BLOB NOT NULL,
    value BLOB,
    metrics BLOB,
    log BLOB
);
CREATE UNIQUE INDEX outcomes_by_key ON outcomes (key, run, attempt);
CREATE TABLE configs (
    key BLOB PRIMARY KEY,
    experiment TEXT NOT NULL,
    description TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE runs (
    id BLOB PRIMARY KEY,
    experiment TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    code TEXT NOT NULL,
    about TEXT NOT NULL
);
CREATE TABLE claims (key BLOB PRIMARY KEY, run BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX claims_by_run ON claims (run);
CREATE TABLE introduced (
    experiment TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    readable TEXT NOT NULL,
    PRIMARY KEY (experiment, name)
) WITHOUT ROWID;
"""

# From which format → what to do to reach the next one.
MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {}


def connect(database: Path, *, target: int = FORMAT) -> sqlite3.Connection:
    """Return a connection to the ledger at `database`, which is made or migrated where need be.

    Raises:
        StoreForeign: the file is something else; it is left as it was.
        StoreTooNew: a newer memento wrote it; it is left as it was.
        StoreError: it cannot be read or written.
    """
    fresh = not database.exists() or database.stat().st_size == 0
    if not fresh:
        _check_magic(database)
    writable = fresh or os.access(database, os.W_OK)
    try:
        if fresh:
            os.close(os.open(database, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        mode = "rwc" if writable else "ro"
        connection = sqlite3.connect(
            f"{database.as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1000,
        )  # fmt: skip
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"the store {database} cannot be opened: {error}", path=str(database)) from error
    try:
        _check_version(connection, database, target)
        if writable:
            network = is_network(database.parent)
            connection.execute(f"PRAGMA journal_mode = {'DELETE' if network else 'WAL'}")
            connection.execute("PRAGMA synchronous = FULL")
            _bring_up(connection, database, target)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise damaged(database, error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def damaged(database: Path, error: Exception) -> StoreError:
    """Return what to say when SQLite gives up on the file."""
    return StoreError(
        f"the store {database} cannot be used ({error}); nothing was deleted. If the disk is not full, the file is "
        "damaged: move it aside, or put a backup in its place, and run again",
        path=str(database),
    )


def _check_magic(database: Path) -> None:
    with open(database, "rb") as file:
        start = file.read(len(MAGIC))
    if start != MAGIC:
        raise StoreForeign(
            f"{database} is not a store: it does not begin as one; it was left untouched, give another cache_path",
            path=str(database),
        )


def _check_version(connection: sqlite3.Connection, database: Path, target: int) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and tables:
        raise StoreForeign(
            f"{database} is another program's database; it was left untouched, give another cache_path",
            path=str(database),
        )
    if version > target:
        raise StoreTooNew(
            f"{database} has format {version}, this memento knows formats up to {target}; it was left untouched, "
            "upgrade memento or give another cache_path",
            path=str(database),
        )


def _bring_up(connection: sqlite3.Connection, database: Path, target: int) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == target:
        return
    if version:
        backup = database.with_name(f"{database.name}.format-{version}.backup")
        with contextlib.closing(sqlite3.connect(backup)) as copy:
            connection.backup(copy)
        shutil.copymode(database, backup)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been first.
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            for statement in TABLES.split(";"):
                connection.execute(statement)
            version = FORMAT
        while version < target:
            MIGRATIONS[version](connection)
            version += 1
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {target}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def is_network(folder: Path) -> bool:
    """Return whether `folder` lies on a file system that several hosts share, as far as Linux tells."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    best, kind = "", ""
    path = str(folder.resolve())
    for line in mounts:
        fields = line.split(" ")
        point = fields[4].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, fields[fields.index("-") + 1]
    return kind.startswith(NETWORK_FILE_SYSTEMS)
