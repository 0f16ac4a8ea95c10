"""The ledger: outcomes, configurations, runs and claims in one SQLite file, large parts in files beside it.

Guarantees: what `save` returned from is synced to the disk; every head carries a checksum and every part a digest,
verified before anything in them is used; the last outcome of a configuration and the end of its claim are one transaction.
Assumptions: the file system keeps its promises about fsync, rename and flock.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import mmap
import os
import platform
import socket
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from memento import layout
from memento.errors import DamagedEntry, MatrixError
from memento.spool import Frame
from memento.store import runs
from memento.store.schema import connect, damaged
from memento.task import KEY_IN_HEAD, PART_NAMES, STATUS_CODES, STATUS_FROM_CODE, STATUS_IN_HEAD, Outcome, Status

CHECKSUM_BYTES = 8
AT_ONCE = 10_000  # below SQLite's limit on variables in one statement
SUCCEEDED = STATUS_CODES[Status.SUCCEEDED]


class Entry(NamedTuple):
    """One outcome as the ledger knows it; its head was verified, and is unpacked when it is read."""

    id: int
    key: bytes
    run: bytes
    attempt: int
    status: Status
    head: bytes

    @property
    def outcome(self) -> Outcome:
        """The outcome, without the bytes of its parts."""
        return Outcome.unpack_head(self.head)


class SqliteStore:
    """The store whose ledger is `database` and whose files lie in `root`; made by `open_store`."""

    def __init__(self, root: Path, database: Path) -> None:
        self.root = root
        self.database = database
        self.damaged: list[tuple[bytes, str]] = []
        self._lock = threading.RLock()
        self._owner = os.getpid()
        self._connection: sqlite3.Connection | None = connect(database)

    # Reading

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Return, for each of `keys` that has any intact outcome, the newest success, else the newest of all."""
        found: dict[bytes, Entry] = {}
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            marks = ",".join("?" * len(some))
            for entry in self._entries(f"key IN ({marks}) ORDER BY id", some):
                known = found.get(entry.key)
                if known is None or entry.status is Status.SUCCEEDED or known.status is not Status.SUCCEEDED:
                    found[entry.key] = entry
        return found

    def history(self, key: bytes) -> list[Entry]:
        """Return every intact outcome of `key`, of all runs and attempts, oldest first."""
        return list(self._entries("key = ? ORDER BY id", [key]))

    def _entries(self, where: str, values: Sequence[Any]) -> Iterator[Entry]:
        sha256 = hashlib.sha256
        with self._reading() as database:
            rows = database.execute(
                f"SELECT id, key, run, attempt, status, head, checksum, damaged FROM outcomes WHERE {where}", values
            ).fetchall()
        for number, key, run, attempt, status, head, checksum, bad in rows:
            if bad:
                continue
            if (
                sha256(head).digest()[:CHECKSUM_BYTES] != checksum
                or head[KEY_IN_HEAD] != key
                or head[STATUS_IN_HEAD] != status
            ):
                self._note_damage(number, key, f"the entry of {key.hex()} does not match its checksum")
                continue
            yield Entry(number, key, run, attempt, STATUS_FROM_CODE[status], head)

    def load(self, entry: Entry, part: str) -> bytes | memoryview:
        """Return the bytes of a part of `entry`, "value", "metrics" or "log", verified.

        Raises:
            DamagedEntry: they do not match their digest; from now on the entry counts as not stored.
        """
        outcome = entry.outcome
        wanted = outcome.parts[PART_NAMES.index(part)]
        data: bytes | memoryview = b""
        if wanted.size and wanted.data is None:
            path = layout.blob_path(self.root, entry.key, entry.run, entry.attempt, part)
            data = _mapped(path)
        elif wanted.size:
            with self._reading() as database:
                row = database.execute(f"SELECT {part} FROM outcomes WHERE id = ?", [entry.id]).fetchone()
            data = row[0] if row and row[0] is not None else b""
        if len(data) != wanted.size or (wanted.size and hashlib.sha256(data).digest()[:16] != wanted.digest):
            message = f"the {part} of {entry.key.hex()} does not match its digest"
            self._note_damage(entry.id, entry.key, message)
            raise DamagedEntry(
                f"{message}; the entry is set aside, and running the matrix again computes it anew",
                path=str(self.database),
            )
        return data

    def _note_damage(self, number: int, key: bytes, message: str) -> None:
        self.damaged.append((key, message))
        with suppress(sqlite3.Error), self._writing() as database:
            database.execute("UPDATE outcomes SET damaged = 1 WHERE id = ?", [number])

    def code_of(self, which: Iterable[bytes]) -> dict[bytes, dict[str, str]]:
        """Return the code fingerprint that was recorded with each of the runs `which`."""
        ids = list(which)
        with self._reading() as database:
            marks = ",".join("?" * len(ids))
            rows = database.execute(f"SELECT id, code FROM runs WHERE id IN ({marks})", ids).fetchall()
        return {run: json.loads(code) for run, code in rows}

    # Writing

    def save(self, frames: Sequence[Frame]) -> None:
        """Store outcomes in one transaction; when this returns they are on the disk. One stored before is left as it is."""
        with self._writing() as database:
            _insert(database, frames)

    def save_and_release(self, run: runs.Run, frames: Sequence[Frame], keys: Sequence[bytes]) -> None:
        """Store outcomes and give up the claims on `keys`, in one transaction."""
        with self._writing() as database:
            _insert(database, frames)
            database.executemany("DELETE FROM claims WHERE key = ? AND run = ?", [(key, run.id) for key in keys])

    def describe(self, experiment: str, rows: Iterable[tuple[bytes, str]]) -> None:
        """Keep a readable description of configurations beside their keys."""
        with self._writing() as database:
            database.executemany(
                "INSERT OR IGNORE INTO configs (key, experiment, description) VALUES (?, ?, ?)",
                [(key, experiment, description) for key, description in rows],
            )

    def introduce(self, experiment: str, name: str, value: bytes, shown: str) -> None:
        """Remember which value older results had of a parameter that was introduced later.

        Raises:
            MatrixError: another value was declared before; results would be taken for what they are not.
        """
        with self._writing() as database:
            database.execute("INSERT OR IGNORE INTO introduced VALUES (?, ?, ?, ?)", [experiment, name, value, shown])
            known, text = database.execute(
                "SELECT digest, readable FROM introduced WHERE experiment = ? AND name = ?", [experiment, name]
            ).fetchone()
        if known != value:
            raise MatrixError(
                f"introduced[{name!r}] is {shown}, but earlier runs of {experiment} declared {text}: the same old results "
                f"cannot have had both; write {text} again, or give the experiment another version",
                key=f"introduced[{name!r}]",
                value=shown,
            )

    # Runs and claims

    def begin_run(self, *, experiment: str, code: Mapping[str, str], about: Mapping[str, Any]) -> runs.Run:
        """Register a run, which lives until `end_run` or the end of this process."""
        from importlib.metadata import PackageNotFoundError, version

        run = runs.Run(self.root / "spool")
        facts = {"host": socket.gethostname(), "pid": os.getpid(), "python": platform.python_version(), **about}
        with suppress(PackageNotFoundError):
            facts["memento"] = version("memento")
        with suppress(KeyError, OSError):
            facts["user"] = getpass.getuser()
        with self._writing() as database:
            database.execute(
                "INSERT INTO runs (id, experiment, started, code, about) VALUES (?, ?, ?, ?, ?)",
                [run.id, experiment, time.time(), json.dumps(dict(code)), json.dumps(facts, default=str)],
            )
        return run

    def claim(self, run: runs.Run, keys: Sequence[bytes], *, force: bool = False) -> list[bytes]:
        """Return those of `keys` that are now this run's alone to compute.

        Left out is what another run has claimed, and, without `force`, what has been stored successfully meanwhile.
        """
        granted = []
        with self._writing(sync=False) as database:
            for key in keys:
                if (
                    not force
                    and database.execute(
                        "SELECT 1 FROM outcomes WHERE key = ? AND status = ? AND damaged = 0", [key, SUCCEEDED]
                    ).fetchone()
                ):
                    continue
                if database.execute("INSERT OR IGNORE INTO claims (key, run) VALUES (?, ?)", [key, run.id]).rowcount:
                    granted.append(key)
        return granted

    def release(self, run: runs.Run, keys: Sequence[bytes]) -> None:
        """Give up the claims on `keys`."""
        with self._writing(sync=False) as database:
            database.executemany("DELETE FROM claims WHERE key = ? AND run = ?", [(key, run.id) for key in keys])

    def claimed_by_others(self, run: runs.Run, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of `keys` that another run has claimed."""
        claimed: set[bytes] = set()
        with self._reading() as database:
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT key FROM claims WHERE key IN ({marks}) AND run != ?"
                claimed.update(key for (key,) in database.execute(query, [*some, run.id]))
        return claimed

    def end_run(self, run: runs.Run) -> None:
        """Take in what is left in the run's spools, give up its claims and remove its folder."""
        self._take_in(run.id, run.spool)
        run.unlock()
        runs.remove(run.spool)

    def take_over(self) -> int:
        """Take in what dead runs left in their spools and free their claims; return how many outcomes came in."""
        taken = 0
        spools = self.root / "spool"
        if not spools.is_dir():
            return 0
        for folder in sorted(spools.iterdir()):
            with suppress(ValueError):
                run = bytes.fromhex(folder.name)
                with runs.dead(folder) as gone:
                    if gone:
                        taken += self._take_in(run, folder)
                        runs.remove(folder)
        return taken

    def _take_in(self, run: bytes, folder: Path) -> int:
        frames = runs.spooled(folder)
        with self._writing() as database:
            new = _insert(database, frames)
            database.execute("DELETE FROM claims WHERE run = ?", [run])
            database.execute("UPDATE runs SET ended = ? WHERE id = ? AND ended IS NULL", [time.time(), run])
        return new

    # Where files are

    def checkpoint_path(self, key: bytes) -> Path:
        """Return where the checkpoint of `key` lies."""
        return layout.checkpoint_path(self.root, key)

    def artifact_path(self, key: bytes, run: bytes, attempt: int) -> Path:
        """Return the folder that one attempt was given, which need not exist."""
        return layout.artifact_path(self.root, key, run, attempt)

    # The connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._open()
            except sqlite3.DatabaseError as error:
                raise damaged(self.database, error) from error

    @contextmanager
    def _writing(self, *, sync: bool = True) -> Iterator[sqlite3.Connection]:
        """Enter a transaction; without `sync` a power cut may undo it, which claims can afford: all runs are dead then."""
        with self._lock:
            try:
                database = self._open()
                if not sync:
                    database.execute("PRAGMA synchronous = NORMAL")
                try:
                    database.execute("BEGIN IMMEDIATE")
                    try:
                        yield database
                    except BaseException:
                        database.execute("ROLLBACK")
                        raise
                    database.execute("COMMIT")
                finally:
                    if not sync:
                        database.execute("PRAGMA synchronous = FULL")
            except sqlite3.DatabaseError as error:
                if self._connection is not None and self._connection.in_transaction:
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise damaged(self.database, error) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None or self._owner != os.getpid():
            # After a fork the parent's connection is the parent's alone.
            self._owner = os.getpid()
            self._connection = connect(self.database)
        return self._connection

    def close(self) -> None:
        """Close the ledger; it is opened again when something is asked. Idempotent."""
        with self._lock:
            if self._connection is not None and self._owner == os.getpid():
                self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return SqliteStore, (self.root, self.database)


def _insert(database: sqlite3.Connection, frames: Sequence[Frame]) -> int:
    sha256 = hashlib.sha256
    rows = []
    for head, (value, metrics, log) in frames:
        outcome = head[KEY_IN_HEAD], head[17:25], int.from_bytes(head[25:27], "little"), head[STATUS_IN_HEAD]
        rows.append(
            (*outcome, sha256(head).digest()[:CHECKSUM_BYTES], head, value or None, metrics or None, log or None)
        )
    before = database.total_changes
    database.executemany(
        "INSERT OR IGNORE INTO outcomes (key, run, attempt, status, checksum, head, value, metrics, log) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    return database.total_changes - before


def _mapped(path: Path) -> memoryview | bytes:
    """Return the file at `path` without reading it: its pages come when they are used, changes stay private."""
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    except (FileNotFoundError, ValueError):  # gone, or empty
        return b""
