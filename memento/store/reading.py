"""What is found in a store: the newest outcome of each key, verified; what is not as it was written is set aside."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

from memento.entry import Entry, Row
from memento.errors import StoreError
from memento.heads import KEY_IN_HEAD, WHOLE, all_succeeded, has_succeeded, key_in
from memento.store.connection import Ledger
from memento.store.entries import BY_KEY, COLUMNS, DAMAGED, REPLACED, is_intact, prefix_of
from memento.store.error_messages import is_damage

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

    def _set_apart(self, number: int, head: Any, key: bytes, message: str) -> None:
        """Have the row that was read with this `head` count as damaged from now on."""
        self.damaged.append((key, message))
        self._set_aside.add(number)
        with suppress(StoreError), self._ledger.writing() as database:
            # A flipped bit can make a text of it, which comes as bytes.
            where = "id = ? AND CAST(head AS BLOB) IS CAST(? AS BLOB)"
            database.execute(f"UPDATE outcomes SET damaged = ? WHERE {where}", [DAMAGED, number, head])

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


def agrees(head: Any, prefix: Any) -> bool:
    """Return whether a row's head and its column say the same of whose it is."""
    return isinstance(head, bytes) and len(head) > KEY_IN_HEAD.stop and prefix_of(key_in(head)) == prefix
