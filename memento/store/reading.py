"""Reading a store: what is found is verified first, and what is not as it was written is set aside."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from memento import layout
from memento.errors import DamagedEntry, NotStored, StoreError
from memento.store.connection import Ledger
from memento.store.entries import COLUMNS, Entry, agrees, checksum, is_intact
from memento.store.parts import matches, read_file
from memento.store.trouble import is_damage
from memento.task import PART_NAMES, STATUS_CODES, Part, Status

LOADED_AT_ONCE = 500  # parts held in memory together: below 33 MB
SCANNED_PER_KEY = 4  # up to how many rows for each key the whole table is read
AT_ONCE = 10_000  # how many keys one statement asks for, where SQLite allows as many
SUCCEEDED = STATUS_CODES[Status.SUCCEEDED]


class Reader:
    """What can be asked of the store whose ledger is `database` and whose files lie in `root`.

    `damaged` tells what was met that was not as it was written: the key (or the run's id), and a message.
    """

    def __init__(self, root: Path, database: Path) -> None:
        self.root = root
        self.database = database
        self.damaged: list[tuple[bytes, str]] = []
        self._set_aside: set[int] = set()
        self._ledger = Ledger(database)

    @property
    def writable(self) -> bool:
        """Whether anything can be kept in it; a read-only one can be read all the same."""
        return self._ledger.writable

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Return, for each of `keys` that has any intact outcome, the newest success, else the newest of all.

        Where a damaged outcome is newer than that, the configuration counts as not stored: what was computed anew is
        not replaced by what it was to replace.
        """
        found: dict[bytes, Entry] = {}
        lost: dict[bytes, int] = {}
        for row in self._rows(keys):
            number, key, _, _, code, *_, set_aside = row
            if set_aside or number in self._set_aside or not self._check(row):
                lost[key] = max(number, lost.get(key, 0))
                continue
            known = found.get(key)
            if known is None or (code == SUCCEEDED, number) > (known.code == SUCCEEDED, known.id):
                found[key] = Entry._make(row[:6])
        for key, number in lost.items():
            if key in found and found[key].id < number:
                del found[key]
        return found

    def history(self, key: bytes) -> list[Entry]:
        """Return every intact outcome of `key`, of all runs and attempts, oldest first."""
        rows = sorted(row for row in self._rows([key]) if not row[-1] and row[0] not in self._set_aside)
        return [Entry._make(row[:6]) for row in rows if self._check(row)]

    def _rows(self, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
        try:
            return self._rows_of(keys)
        except StoreError as error:
            if not is_damage(error.__cause__) or not self.writable:
                raise
        self._mend_indexes()  # they can be made again from the tables, if those are whole
        return self._rows_of(keys)

    def _rows_of(self, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
        with self._ledger.reading() as database:
            newest = database.execute("SELECT max(id) FROM outcomes").fetchone()[0] or 0
            if newest > SCANNED_PER_KEY * len(keys):
                return self._select(f"SELECT {COLUMNS} FROM outcomes WHERE key IN", keys)
            # One pass over the table is several times faster than its index, and needs no index to be whole.
            wanted = set(keys)
            rows = database.execute(f"SELECT {COLUMNS} FROM outcomes NOT INDEXED").fetchall()
        if len(rows) != newest:  # rows are never deleted
            self.damaged.append((b"", f"{newest - len(rows)} entries of the ledger cannot be found any more"))
        found = [row for row in rows if row[1] in wanted]
        strays = [row for row in rows if row[1] not in wanted and not agrees(row)]
        return found + [row for row in self._named(strays) if row[1] in wanted] if strays else found

    def _named(self, strays: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Return damaged rows under the keys that the index knows them by, and `claim` with it.

        Left out, each would give way to an older outcome of its configuration, without a word.
        """
        with self._ledger.reading() as database:
            keys = dict(database.execute("SELECT id, key FROM outcomes INDEXED BY outcomes_by_key"))
        return [(row[0], keys.get(row[0], row[1]), *row[2:]) for row in strays]

    def _select(self, query: str, values: Sequence[bytes | int]) -> list[tuple[Any, ...]]:
        """Return the rows of `query` for any number of `values`."""
        rows: list[tuple[Any, ...]] = []
        with self._ledger.reading() as database:
            step = min(AT_ONCE, database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER))
            for start in range(0, len(values), step):
                some = values[start : start + step]
                rows += database.execute(f"{query} ({','.join('?' * len(some))})", some)
        return rows

    def _check(self, row: tuple[Any, ...]) -> bool:
        if is_intact(row):
            return True
        number, key = row[:2]
        with self._ledger.reading() as database:
            query = f"SELECT {COLUMNS} FROM outcomes NOT INDEXED WHERE id = ?"
            itself = database.execute(query, [number]).fetchone()
        if itself is not None and is_intact(itself):  # the index led to another's row, which is not to suffer for it
            self.damaged.append((key, "an index of the ledger was damaged; it was made anew"))
            self._mend_indexes()
        else:
            self._note_damage(number, key, f"the entry of {_shown(key)} does not match its checksum")
        return False

    def load(self, entry: Entry, part: str) -> bytes | memoryview:
        """Return the bytes of a part of `entry`, "value", "metrics" or "log", verified.

        Raises:
            DamagedEntry: they do not match their digest; from now on the entry counts as not stored.
            NotStored: they were evicted to make room; the record of the entry is all that is left.
        """
        (data,) = self.load_many([entry], part)
        return data

    def load_many(self, entries: Iterable[Entry], part: str) -> Iterator[bytes | memoryview]:
        """Yield what `load` returns for each of `entries`, many with one question to the ledger."""
        if part not in PART_NAMES:
            raise ValueError(f"there is no part {part!r}; there are: {', '.join(PART_NAMES)}")
        entries = list(entries)
        for start in range(0, len(entries), LOADED_AT_ONCE):
            some = [(entry, getattr(entry.outcome, part)) for entry in entries[start : start + LOADED_AT_ONCE]]
            ids = [entry.id for entry, wanted in some if wanted.size and wanted.data is not None]
            inline: dict[int, Any] = dict(self._select(f"SELECT id, {part} FROM outcomes WHERE id IN", ids))
            for entry, wanted in some:
                yield self._verified(entry, part, wanted, inline.get(entry.id)) if wanted.size else b""

    def _verified(self, entry: Entry, name: str, part: Part, inline: Any) -> bytes | memoryview:
        if part.data is not None:
            if matches(part, inline):
                return cast("bytes", inline)
        else:
            path = layout.blob_path(self.root, entry.key, entry.run, entry.attempt, name)
            try:
                mapped = read_file(path, part)
            except OSError as error:
                raise StoreError(
                    f"{path} cannot be read ({error.strerror}); see that it is this user's to read", path=str(path)
                ) from error
            if mapped is not None:
                return mapped
        with self._ledger.reading() as database:
            if database.execute("SELECT 1 FROM outcomes WHERE id = ? AND evicted", [entry.id]).fetchone():
                raise NotStored(
                    f"the {name} of {entry.key.hex()} was evicted from the store to make room; its record is kept"
                )
        message = f"the {name} of {entry.key.hex()} does not match its digest"
        self._note_damage(entry.id, entry.key, message)
        raise DamagedEntry(
            f"{message}; the entry is set aside, and running the matrix again computes it anew", path=str(self.database)
        )

    def _note_damage(self, number: int, key: bytes, message: str) -> None:
        self.damaged.append((key, message))
        self._set_aside.add(number)
        with suppress(StoreError), self._ledger.writing() as database:
            database.execute("UPDATE outcomes SET damaged = 1 WHERE id = ?", [number])

    def _mend_indexes(self) -> None:
        with suppress(StoreError), self._ledger.writing() as database:
            database.execute("REINDEX")

    def code_of(self, which: Iterable[bytes]) -> dict[bytes, dict[str, str]]:
        """Return the code fingerprint that was recorded with each of the runs `which`.

        It is empty, which no code matches, for a run whose record is damaged or gone.
        """
        codes: dict[bytes, dict[str, str]] = {run: {} for run in which}
        query = "SELECT id, experiment, started, code, about, checksum FROM runs WHERE id IN"
        for run, experiment, started, code, about, stored in self._select(query, list(codes)):
            if run_checksum(run, experiment, started, code, about) == stored:
                codes[run] = json.loads(code)
            else:
                self.damaged.append((run, f"the record of run {_shown(run)} does not match its checksum"))
        return codes

    def descriptions(self, keys: Sequence[bytes]) -> dict[bytes, tuple[str, str]]:
        """Return the experiment and the description of each of `keys` that has one; damaged ones are left out."""
        described: dict[bytes, tuple[str, str]] = {}
        query = "SELECT key, experiment, description, checksum FROM configs WHERE key IN"
        for key, experiment, description, stored in self._select(query, keys):
            if checksum(key, experiment, description) == stored:
                described[key] = experiment.decode(), description.decode()
            else:
                self.damaged.append((key, f"the description of {_shown(key)} does not match its checksum"))
        return described

    def outcomes_of(self, run: bytes, *, after: int = 0, most: int = LOADED_AT_ONCE) -> list[Entry]:
        """Return the first `most` intact outcomes of `run`, of all attempts, with ids above `after`."""
        with self._ledger.reading() as database:
            query = f"SELECT {COLUMNS} FROM outcomes WHERE id > ? AND run = ? ORDER BY id LIMIT ?"
            rows = database.execute(query, [after, run, most]).fetchall()
        return [Entry._make(row[:6]) for row in rows if not row[-1] and self._check(row)]

    def is_over(self, run: bytes) -> bool:
        """Return whether nothing more of `run` will be stored."""
        with self._ledger.reading() as database:
            return database.execute("SELECT 1 FROM runs WHERE id = ? AND ended IS NULL", [run]).fetchone() is None

    def claimed_by(self, run: bytes, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of `keys` that `run` has claimed, and so is not done with."""
        return {key for key, by in self._select("SELECT key, run FROM claims WHERE key IN", keys) if by == run}

    def artifact_path(self, key: bytes, run: bytes, attempt: int) -> Path:
        """Return the folder that one attempt was given, which need not exist."""
        return layout.artifact_path(self.root, key, run, attempt)


def run_checksum(run: bytes, experiment: bytes | str, started: float, code: bytes | str, about: bytes | str) -> bytes:
    """Return what stands beside the record of a run."""
    return checksum(run, experiment, repr(started), code, about)


def _shown(key: object) -> str:
    return key.hex() if isinstance(key, bytes) else repr(key)  # a flipped bit can make a number of it
