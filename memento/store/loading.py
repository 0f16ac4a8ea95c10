"""The parts of what was found in a store, verified when they are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, cast

from memento import layout
from memento.entry import Entry
from memento.errors import DamagedEntry, NotStored, StoreError
from memento.heads import identity_in
from memento.store.entries import DAMAGED, is_intact, prefix_of
from memento.store.error_messages import is_damage
from memento.store.parts import matches, read_file
from memento.store.reading import Reader
from memento.task import PART_NAMES, Part

LOADED_AT_ONCE = 500  # parts held in memory together: below 33 MB


class Loader(Reader):
    """A reader that can also be asked for the parts of outcomes."""

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

    def _give_up_unmarked(self, entry: Entry) -> None:
        """Add a marked row above one that could not be marked: its columns are mixed up, and to touch it is unsafe."""
        with suppress(StoreError), self._ledger.writing() as database:
            if not database.execute(
                f"SELECT 1 FROM outcomes WHERE id = ? AND damaged = {DAMAGED}", [entry.id]
            ).fetchone():
                row = prefix_of(entry.key), DAMAGED, entry.head
                database.execute("INSERT INTO outcomes (prefix, damaged, head) VALUES (?, ?, ?)", row)


def _same(head: Any, other: bytes) -> bool:
    """Whether two whole heads are of one outcome: the one of a forgotten call is written anew, without its value."""
    return identity_in(head) == identity_in(other)
