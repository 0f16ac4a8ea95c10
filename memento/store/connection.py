"""The one connection of a process to a ledger: transactions, what goes wrong in them, threads and forks."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from memento.errors import StoreError, StoreTooNew
from memento.store import schema
from memento.store.error_messages import BUSY_TIMEOUT_MS, explain
from memento.store.ledger_identity import file_at, first_run, has_begun_with, replaced

SETTLING_MS = 1000

_registry = threading.Lock()
_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


class Ledger:
    """The ledger at `database`, open from now on; any thread may ask, one at a time is served.

    With `read_only` nothing is written to it, whatever happens. One that was removed or replaced since is refused when
    it is opened again or written to: what its numbers stand for there would be something else.
    """

    def __init__(self, database: Path, *, read_only: bool = False) -> None:
        self.database = database
        self.writable = not read_only and schema.is_writable(database)
        self._read_only = read_only
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = schema.connect(database, read_only=read_only)
        self._path = str(database)  # asked about so often that to make a text of it takes too long
        self._file = file_at(self._path)
        self._first = b""
        with _registry:
            _ledgers.add(self)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Enter with the connection.

        Raises:
            StoreError: SQLite gave up, or it was removed or replaced.
        """
        with self._lock:
            try:
                yield self._open()
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise explain(self.database, error) from error

    @contextmanager
    def writing(self, *, sync: bool = True) -> Iterator[sqlite3.Connection]:
        """Enter a transaction, which is on the disk when it is left, or undone when it is left by an error.

        Without `sync` a power cut may undo it, which claims can afford: all runs are dead then.

        Raises:
            StoreError: SQLite gave up, the store is read-only, or it was removed or replaced.
        """
        with self._lock:
            self.require_writable()
            try:
                database = self._open()
                if database.in_transaction:  # what is done inside of one becomes part of it
                    yield database
                else:
                    with self._transaction(database, sync=sync):
                        yield database
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise explain(self.database, error) from error

    @contextmanager
    def _transaction(self, database: sqlite3.Connection, *, sync: bool) -> Iterator[None]:
        if not sync:
            database.execute("PRAGMA synchronous = NORMAL")
        try:
            database.execute("BEGIN IMMEDIATE")
            self._check_format(database)
            self.check_file()
            yield
            database.execute("COMMIT")
        finally:
            # Where the disk is full, SQLite may have undone it already.
            if database.in_transaction:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
            if not sync:
                database.execute("PRAGMA synchronous = EXTRA")

    def settle(self) -> None:
        """Bring what is in the write-ahead log into the database itself, unless others keep reading meanwhile.

        SQLite takes a log that a kill has left up to the first bit that has flipped in it, and what came behind is gone
        without a word. So whoever is about to remove the last other copy of something has it settled first.
        """
        with self._lock, suppress(sqlite3.Error):
            database = self._open()
            database.execute(f"PRAGMA busy_timeout = {SETTLING_MS}")
            try:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                database.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")

    def require_writable(self) -> None:
        """Raise StoreError if nothing can be kept in it."""
        if not self.writable:
            raise StoreError(
                f"the store {self.database} is read-only here: nothing can be run or kept; "
                "give another cache_path, or make it writable",
                path=str(self.database),
            )

    def _check_format(self, database: sqlite3.Connection) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != schema.FORMAT:
            raise StoreTooNew(
                f"{self.database} was brought to format {version} by a newer memento while this process had it open; "
                "nothing more is written to it: upgrade memento and run again",
                path=str(self.database),
            )

    def check_file(self) -> None:
        """Raise StoreError if it was removed or replaced since it was opened."""
        if file_at(self._path) != self._file:
            raise replaced(self.database)

    def is_gone(self) -> bool:
        """Return whether it was removed or replaced since it was opened, or cannot be opened again."""
        if self._connection is None:
            try:
                with self.reading():
                    pass
            except StoreError:
                return True
        return file_at(self._path) != self._file

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.check_file()  # first: where there is none, one would be made
            connection = schema.connect(self.database, read_only=self._read_only)
            if self._first and not has_begun_with(connection, self._first):
                connection.close()
                raise replaced(self.database)
            self._connection = connection
        return self._connection

    @property
    def first(self) -> bytes:
        """The id of the first run in it; empty while there is none."""
        with self._lock:
            if not self._first and self._connection is not None:
                self._first = first_run(self._connection)
            return self._first

    def expect(self, first: bytes) -> None:
        """Refuse it from now on, whenever something is asked, unless its first run is `first`."""
        with self._lock:
            self.close()
            self._first = first

    def close(self) -> None:
        """Close it; it is opened again when something is asked. Idempotent."""
        with self._lock:
            if self._connection is not None:
                _ = self.first  # while it is not open, another may take its place
                self._connection.close()
                self._connection = None

    def __del__(self) -> None:
        # Results read from a store for as long as they live, and nobody closes results.
        connection: sqlite3.Connection | None = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()


_held: list[Ledger] = []


def _close_before_fork() -> None:
    # SQLite's locks belong to a process, and what it remembers of them would be wrong in the child: the two could
    # write at once. So no connection is open while a process forks.
    _registry.acquire()
    for ledger in list(_ledgers):
        ledger._lock.acquire()
        _held.append(ledger)
        with suppress(sqlite3.Error):
            ledger.close()


def _go_on_after_fork() -> None:
    while _held:
        _held.pop()._lock.release()
    _registry.release()


os.register_at_fork(before=_close_before_fork, after_in_parent=_go_on_after_fork, after_in_child=_go_on_after_fork)
