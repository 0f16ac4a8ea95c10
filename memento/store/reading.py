"""Reading a store: what is found is verified first, and what is not as it was written is set aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar, cast
from zlib import crc32

from memento import layout
from memento.entry import Entry, Row
from memento.errors import DamagedEntry, NotStored, StoreError
from memento.heads import KEY_IN_HEAD, WHOLE, all_succeeded, has_succeeded, identity_in, key_in
from memento.store.connection import Ledger
from memento.store.entries import BY_KEY, COLUMNS, DAMAGED, REPLACED, is_intact, prefix_of
from memento.store.parts import matches, read_file
from memento.store.trouble import is_damage
from memento.task import PART_NAMES, Part

LOADED_AT_ONCE = 500  # parts held in memory together: below 33 MB
SCANNED_PER_KEY = 4  # up to how many rows for each key the whole table is read
AT_ONCE = 10_000  # how many keys one statement asks for, where SQLite allows as many
# Every row, without the head where it is marked.
UNMARKED = "SELECT id, CASE damaged WHEN 0 THEN head END FROM outcomes NOT INDEXED"
Found = TypeVar("Found", bound=Row)
_head_of = itemgetter(1)


class Reader:
    """What can be asked of the store whose ledger is `database` and whose files lie in `root`.

    `damaged` tells what was met that was not as it was written: the key (or the run's id), and a message. With
    `read_only` nothing is changed, not even to mark what is damaged.
    """

    def __init__(self, root: Path, database: Path, *, read_only: bool = False) -> None:
        self.root = root
        self.database = database
        self.damaged: list[tuple[bytes, str]] = []
        self._set_aside: set[int] = set()
        self._ledger = Ledger(database, read_only=read_only)

    @property
    def writable(self) -> bool:
        """Whether anything can be kept in it; a read-only one can be read all the same."""
        return self._ledger.writable

    def newest(self) -> int:
        """Return the number of the newest outcome, 0 where there is none; numbers only grow."""
        with self._ledger.reading() as database:
            return database.execute("SELECT max(id) FROM outcomes").fetchone()[0] or 0

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Return what `find_rows` does, as entries."""
        return {key: Entry(*row) for key, row in self.find_rows(keys).items()}

    def find_rows(self, keys: Sequence[bytes]) -> dict[bytes, Row]:
        """Return, for each of `keys` that has any intact outcome, the newest success, else the newest of all.

        Where a damaged outcome is newer than that, or a newer success was stored and cannot be seen, the configuration
        counts as not stored: what was computed anew is not replaced by what it was to replace.
        """
        wanted = set(keys)
        found = self._found_quickly(keys)
        if found is None:
            return self._found_closely(keys, wanted)
        others = found.keys() - wanted
        return {key: row for key, row in found.items() if key not in others} if others else found

    def _found_quickly(self, keys: Sequence[bytes]) -> dict[bytes, Row] | None:
        """Return what is found, perhaps with more, where all that may matter is intact and unmarked, else None."""
        if self._set_aside or (newest := self.newest()) > SCANNED_PER_KEY * len(keys):
            return None
        try:
            with self._ledger.reading() as database:
                rows = database.execute(UNMARKED).fetchall()
        except StoreError as error:
            if is_damage(error.__cause__):
                return None
            raise
        return None if len(rows) < newest else _newest_in(rows)

    def _found_closely(self, keys: Sequence[bytes], wanted: set[bytes]) -> dict[bytes, Row]:
        rows = self._rows(keys)
        found: dict[bytes, Row] = {}
        lost: dict[int, Any] = {}
        known_damaged = self._set_aside
        for number, prefix, mark, head in rows:
            # As `is_intact` says; but this is done for every row of the ledger whenever anything is run.
            if mark or type(head) is not bytes or crc32(head) != WHOLE or number in known_damaged:
                if mark == REPLACED:
                    continue
                if not mark and number not in known_damaged:
                    self._set_apart(number, head, b"", f"entry {number} of the ledger does not match its checksum")
                lost[number] = prefix if agrees(head, prefix) else None
                continue
            key = key_in(head)
            if key not in found:
                if key in wanted:
                    found[key] = number, head
                continue
            known, its_head = found[key]
            if (has_succeeded(head), number) > (has_succeeded(its_head), known):
                found[key] = number, head
        return self._without_older(found, lost) if lost else found

    def _without_older(self, found: dict[bytes, Found], lost: dict[int, Any]) -> dict[bytes, Found]:
        """Leave out of `found` what is older than a damaged row of the same key.

        `lost` gives the prefixes of damaged rows by their numbers; where a row does not agree with itself (None), the
        index knows whose it is.
        """
        if None in lost.values():
            with self._ledger.reading() as database:
                known = dict(database.execute("SELECT id, prefix FROM outcomes INDEXED BY outcomes_by_prefix"))
            lost = {number: known.get(number) if prefix is None else prefix for number, prefix in lost.items()}
        newest: dict[Any, int] = {}
        for number, prefix in lost.items():
            newest[prefix] = max(number, newest.get(prefix, 0))
        return {key: row for key, row in found.items() if row[0] > newest.get(prefix_of(key), 0)}

    def _rows(self, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
        """Return the rows in which outcomes of `keys` may be, each once, perhaps with others."""
        try:
            return self._rows_of(keys)
        except StoreError as error:
            if not is_damage(error.__cause__) or not self.writable:
                raise
        self._mend_indexes()  # they can be made again from the tables, if those are whole
        return self._rows_of(keys)

    def _rows_of(self, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
        newest = self.newest()
        if newest > SCANNED_PER_KEY * len(keys):
            return self._rows_by_index(keys)
        # One pass over the table is several times faster than its index, and needs no index to be whole.
        with self._ledger.reading() as database:
            rows = database.execute(f"SELECT {COLUMNS} FROM outcomes NOT INDEXED").fetchall()
        if len(rows) < newest:  # rows are never deleted
            self.damaged.append((b"", f"{newest - len(rows)} entries of the ledger cannot be found any more"))
        return rows

    def _rows_by_index(self, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
        prefixes = {prefix_of(key) for key in keys}
        rows = self._select(BY_KEY, list(prefixes))
        wrong = [row for row in rows if is_intact(row[-1]) and not agrees(row[-1], row[1])]
        if not wrong and not _lacks_newer(rows):
            return rows
        self.damaged.append((b"", "an index of the ledger was damaged; it was made anew"))
        with suppress(StoreError), self._ledger.writing() as database:
            right = [(prefix_of(key_in(head)), number) for number, _, _, head in wrong]
            database.executemany("UPDATE outcomes SET prefix = ? WHERE id = ?", right)
        self._mend_indexes()
        return self._select(BY_KEY, list(prefixes))

    def _select(self, query: str, values: Sequence[bytes | int]) -> list[tuple[Any, ...]]:
        """Return the rows of `query` for any number of `values`."""
        rows: list[tuple[Any, ...]] = []
        with self._ledger.reading() as database:
            step = min(AT_ONCE, database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER))
            for start in range(0, len(values), step):
                some = values[start : start + step]
                rows += database.execute(f"{query} ({','.join('?' * len(some))})", some)
        return rows

    def load(self, entry: Entry, part: str) -> bytes | memoryview:
        """Return the bytes of a part of `entry`, "value", "metrics" or "log", verified.

        Raises:
            DamagedEntry: they do not match their digest; from now on the entry counts as not stored.
            NotStored: they were evicted to make room, and the record of the entry is all that is left; or the store
                that `entry` was read from has given way to another, which stays as it is.
            StoreError: the ledger cannot be read, or was removed or replaced.
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
            inline = self._inline(part, ids)
            for entry, wanted in some:
                yield self._verified(entry, part, wanted, inline.get(entry.id)) if wanted.size else b""

    def _inline(self, part: str, ids: Sequence[int]) -> dict[int, Any]:
        """Return the bytes of `part` by the outcomes' ids; one whose row SQLite cannot take apart is left out."""
        try:
            return dict(self._select(f"SELECT id, {part} FROM outcomes WHERE id IN", ids))
        except StoreError as error:
            if not is_damage(error.__cause__):
                raise
        if len(ids) == 1:
            return {}
        return {number: data for one in ids for number, data in self._inline(part, [one]).items()}

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
        self._refuse_gone(entry, name)
        message = f"the {name} of {entry.key.hex()} does not match its digest"
        self._set_apart(entry.id, entry.head, entry.key, message)
        self._give_up_unmarked(entry)
        raise DamagedEntry(
            f"{message}; the entry is set aside, and running the matrix again computes it anew", path=str(self.database)
        )

    def _refuse_gone(self, entry: Entry, name: str) -> None:
        """Raise what tells that the part `name` of `entry` is not damaged but gone, if it is."""
        self._ledger.check_file()
        try:
            with self._ledger.reading() as database:
                row = database.execute("SELECT head, evicted FROM outcomes WHERE id = ?", [entry.id]).fetchone()
        except StoreError as error:
            if not is_damage(error.__cause__):
                raise
            row = None
        head, evicted = row or (None, None)
        if is_intact(head) and head != entry.head and not (evicted and _same(head, entry.head)):
            raise NotStored(
                f"the {name} of {entry.key.hex()} is not stored any more: {self.database} is another store than the "
                "one it was read from, and was left as it is; running the matrix again finds or computes it"
            )
        if evicted:
            raise NotStored(
                f"the {name} of {entry.key.hex()} was evicted from the store to make room; its record is kept"
            )

    def _set_apart(self, number: int, head: Any, key: bytes, message: str) -> None:
        """Have the row that was read with this `head` count as damaged from now on."""
        self.damaged.append((key, message))
        self._set_aside.add(number)
        with suppress(StoreError), self._ledger.writing() as database:
            # A flipped bit can make a text of it, which comes as bytes.
            where = "id = ? AND CAST(head AS BLOB) IS CAST(? AS BLOB)"
            database.execute(f"UPDATE outcomes SET damaged = ? WHERE {where}", [DAMAGED, number, head])

    def _give_up_unmarked(self, entry: Entry) -> None:
        """Add a marked row above one that could not be marked: its columns are mixed up, and to touch it is unsafe."""
        with suppress(StoreError), self._ledger.writing() as database:
            if not database.execute(
                f"SELECT 1 FROM outcomes WHERE id = ? AND damaged = {DAMAGED}", [entry.id]
            ).fetchone():
                row = prefix_of(entry.key), DAMAGED, entry.head
                database.execute("INSERT INTO outcomes (prefix, damaged, head) VALUES (?, ?, ?)", row)

    def _mend_indexes(self) -> None:
        with suppress(StoreError), self._ledger.writing() as database:
            database.execute("REINDEX")


def _newest_in(rows: Sequence[tuple[int, Any]]) -> dict[bytes, Row] | None:
    """Return the newest success, else the newest outcome, of each key in `rows`, ordered by their numbers.

    None where one has no intact head, which has to be looked at more closely. Every step is one C function over all
    rows: this is done for each row of the ledger whenever anything is run.
    """
    heads = list(map(_head_of, rows))
    if set(map(type, heads)) - {bytes} or set(map(crc32, heads)) - {WHOLE}:
        return None
    newest = dict(zip(map(key_in, heads), rows, strict=True))
    if not all_succeeded(heads):
        newest |= {key_in(head): (number, head) for number, head in rows if has_succeeded(head)}
    return newest


def _lacks_newer(rows: Sequence[tuple[Any, ...]]) -> bool:
    """Whether one of `rows` was replaced by a newer one that is not among them."""
    if not any(row[2] == REPLACED for row in rows):
        return False
    newest: dict[Any, tuple[int, Any]] = {}
    for number, prefix, mark, _ in rows:
        newest[prefix] = max((number, mark), newest.get(prefix, (0, 0)))
    return any(mark == REPLACED for _, mark in newest.values())


def _same(head: Any, other: bytes) -> bool:
    """Whether two whole heads are of one outcome: the one of a forgotten call is written anew, without its value."""
    return identity_in(head) == identity_in(other)


def agrees(head: Any, prefix: Any) -> bool:
    """Return whether a row's head and its column say the same of whose it is."""
    return isinstance(head, bytes) and len(head) > KEY_IN_HEAD.stop and prefix_of(key_in(head)) == prefix
