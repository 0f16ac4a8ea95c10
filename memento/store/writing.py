"""Writing to a store: outcomes, what they were, and what was declared; each in a transaction that is on the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from memento import layout
from memento.entry import Row
from memento.errors import MatrixError
from memento.files import private_folder, sync, sync_folder
from memento.heads import NO_BODIES, Frame, has_succeeded, identity_in, key_in, unpack_head
from memento.store import claims, runs
from memento.store.entries import BY_KEY, REPLACED, checksum, insert, is_intact, prefix_of
from memento.store.error_messages import explain
from memento.store.history import Historian
from memento.store.parts import files_of


class Writer(Historian):
    """What can be kept in the store whose ledger is `database` and whose files lie in `root`."""

    def save(self, frames: Sequence[Frame]) -> None:
        """Store outcomes in one transaction; afterwards they are on the disk. One stored before stays as it is."""
        with self._ledger.writing() as database:
            self._insert_new(database, frames)

    def save_and_release(
        self,
        run: runs.Run,
        frames: Sequence[Frame],
        keys: Sequence[bytes],
        *,
        again: bool = False,
        replaced: Mapping[bytes, int] = MappingProxyType({}),
    ) -> list[Row]:
        """Store outcomes that were never stored and give up the claims on `keys`, in one transaction.

        Args:
            run: the run that has claimed the keys.
            frames: the outcomes.
            keys: of what is final among them.
            again: whether some may be stored already; these stay as they are.
            replaced: successes that are stored, as numbers by keys; a new one among the outcomes replaces them.

        Returns:
            the outcomes as `find_rows` finds them from now on, in order.
        """
        left = run.claimed.minus(keys)
        self._make_files_last(frames)
        with self._ledger.writing() as database:
            newest = newest_in(database)
            if again:
                self._insert_new(database, frames)
                prefixes = {prefix_of(key_in(head)) for head, _ in frames}
                known = {head: (number, head) for number, *_, head in self._select(BY_KEY, list(prefixes))}
                entries = [known[head] for head, _ in frames]
            else:
                if replaced:
                    new = {key_in(head) for head, _ in frames if has_succeeded(head)}
                    mark_replaced(database, [(replaced[key], prefix_of(key)) for key in new & replaced.keys()])
                entries = insert(database, frames, newest + 1)
            claims.change_claims(database, run.id, run.written, left)
        run.claimed = run.written = left
        if run.seen == newest and not again:
            run.seen += len(entries)
        return entries

    def _make_files_last(self, frames: Sequence[Frame]) -> None:
        """Have the files that belong to `frames`, and their names, on the disk."""
        large = [unpack_head(*frame) for frame in frames if frame[1] is not NO_BODIES and None in frame[1]]
        try:
            for one in large:
                for path, _ in files_of(one, self.root):
                    with suppress(FileNotFoundError):  # who asks for it is told that it is damaged
                        sync(path)
            for folder in {layout.blob_folder(self.root, one.key) for one in large}:
                private_folder(folder)
                sync_folder(folder)
        except OSError as error:
            raise explain(self.database, error) from error

    def _insert_new(self, database: sqlite3.Connection, frames: Sequence[Frame]) -> int:
        """Insert those of `frames` that are not stored; return how many they are."""
        self._make_files_last(frames)
        rows = self._select(BY_KEY, list({prefix_of(key_in(head)) for head, _ in frames}))
        stored = {identity_in(head) for *_, head in rows if is_intact(head)}
        new: dict[bytes, Frame] = {}
        for frame in frames:
            new.setdefault(identity_in(frame[0]), frame)
        kept = [frame for identity, frame in new.items() if identity not in stored]
        successes = {key_in(head) for head, _ in kept if has_succeeded(head)}
        older = [(number, prefix) for number, prefix, mark, head in rows if not mark and _is_of(head, successes)]
        mark_replaced(database, older)
        insert(database, kept, newest_in(database) + 1)
        return len(kept)

    def introduce(self, experiment: str, name: str, value: bytes, shown: str) -> None:
        """Remember which value older results had of a parameter that was introduced later.

        Raises:
            MatrixError: another value was declared before; results would be taken for what they are not.
        """
        known, text = value, b""
        writable = self._ledger.writable  # else nothing can be computed for which it had to be remembered
        with self._ledger.writing() if writable else self._ledger.reading() as database:
            where = "WHERE experiment = ? AND name = ?"
            query = f"SELECT digest, readable, checksum FROM introduced {where}"
            row = database.execute(query, [experiment, name]).fetchone()
            if row is not None and checksum(experiment, name, *row[:2]) == row[2]:
                known, text = row[:2]
            elif writable:
                if row is not None:
                    self.damaged.append((b"", f"what was declared as introduced[{name!r}] did not match its checksum"))
                database.execute(
                    "INSERT OR REPLACE INTO introduced VALUES (?, ?, ?, ?, ?)",
                    [experiment, name, value, shown, checksum(experiment, name, value, shown)],
                )
        if known != value:
            declared = text.decode()
            raise MatrixError(
                f"introduced[{name!r}] is {shown}, but earlier runs of {experiment} declared {declared}: the same old "
                f"results cannot have had both; write {declared} again, or give the experiment another version",
                key=f"introduced[{name!r}]",
                value=shown,
            )

    def describe(self, run: runs.Run, sheet: bytes) -> None:
        """Keep the readable texts of what `run` may compute, by position (matrix/sheet.py)."""
        with self._ledger.writing(sync=False) as database:  # what is stored later syncs it too
            database.execute("INSERT OR REPLACE INTO sheets VALUES (?, ?, ?)", [run.id, sheet, checksum(run.id, sheet)])


def newest_in(database: sqlite3.Connection) -> int:
    """Return the number of the newest outcome, inside a transaction."""
    (newest,) = database.execute("SELECT max(id) FROM outcomes").fetchone()
    return newest or 0


def mark_replaced(database: sqlite3.Connection, older: Iterable[tuple[int, int]]) -> None:
    """Mark successes, given by their numbers and prefixes, of which newer ones are being stored, in a transaction.

    A reader who cannot see the newer one, because a bit in an index or in a page has flipped, then knows that there is
    one, rather than to take the older for it.
    """
    query = f"UPDATE outcomes SET damaged = {REPLACED} WHERE id = ? AND prefix = ?"
    database.executemany(query, older)


def _is_of(head: Any, keys: Container[bytes]) -> bool:
    """Whether `head` is a success of one of `keys`."""
    return is_intact(head) and has_succeeded(head) and key_in(head) in keys
