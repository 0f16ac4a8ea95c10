"""What a store knows beyond the newest outcome of each key: older ones, and what was recorded of their runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from memento import layout
from memento.entry import Entry
from memento.heads import key_in, run_in
from memento.matrix.sheet import Sheet
from memento.store import claims
from memento.store.entries import COLUMNS, DAMAGED, REPLACED, checksum, is_intact, prefix_of
from memento.store.loading import LOADED_AT_ONCE, Loader
from memento.store.reading import agrees


class Historian(Loader):
    """A reader that can also be asked for what was replaced, and for runs."""

    def history(self, key: bytes) -> list[Entry]:
        """Return every intact outcome of `key`, of all runs and attempts, oldest first."""
        rows = sorted((number, head) for number, _, mark, head in self._rows([key]) if mark in (0, REPLACED))
        return [Entry(number, head) for number, head in rows if is_intact(head) and key_in(head) == key]

    def newest_that(self, keys: Sequence[bytes], counts: Callable[[Entry], bool]) -> dict[bytes, Entry]:
        """Return, for each of `keys` that has any, the newest success that `counts`, for whoever wants no newer one.

        Where damage may hide a newer one that would count, or its value was evicted, there is none.
        """
        rows = self._rows(keys)
        found = self._newest_of(rows, set(keys), counts)
        newest = self.newest()
        if found and len(rows) < newest:
            # A bit that has flipped in the index could hide the newest of them. Marks of what was replaced tell when
            # a key's very newest success is hidden; of these here, all were replaced.
            rows, seen = self._rows_by_themselves(found)
            found = self._newest_of(rows, set(found), counts) if seen == newest else {}
        evicted = self._select("SELECT id FROM outcomes WHERE evicted AND id IN", [one.id for one in found.values()])
        return {key: entry for key, entry in found.items() if (entry.id,) not in evicted}

    def _newest_of(
        self, rows: Iterable[tuple[Any, ...]], keys: set[bytes], counts: Callable[[Entry], bool]
    ) -> dict[bytes, Entry]:
        found: dict[bytes, Entry] = {}
        lost: dict[int, Any] = {}
        for number, prefix, mark, head in rows:
            if mark == DAMAGED or number in self._set_aside or not is_intact(head):
                lost[number] = prefix if agrees(head, prefix) else None
                continue
            entry = Entry(number, head)
            known = found.get(entry.key)
            if entry.key in keys and entry.ok and (known is None or known.id < number) and counts(entry):
                found[entry.key] = entry
        return self._without_older(found, lost) if lost else found

    def _rows_by_themselves(self, keys: Iterable[bytes]) -> tuple[list[tuple[Any, ...]], int]:
        """Return the rows in which outcomes of `keys` may be, found without the index, and how many were looked at."""
        prefixes = {prefix_of(key) for key in keys}
        seen, kept = 0, []
        with self._ledger.reading() as database:
            for row in database.execute(f"SELECT {COLUMNS} FROM outcomes NOT INDEXED"):
                seen += 1
                if row[1] in prefixes or not agrees(row[3], row[1]):
                    kept.append(row)
        return kept, seen

    def code_of(self, which: Iterable[bytes]) -> dict[bytes, dict[str, str]]:
        """Return the code fingerprint that was recorded with each of the runs `which`.

        It is empty, which no code matches, for a run whose record is damaged or gone.
        """
        codes: dict[bytes, dict[str, str]] = {run: {} for run in which}
        codes.update((run, json.loads(code)) for run, code, _ in self._records_of(list(codes)))
        return codes

    def about_of(self, which: Iterable[bytes]) -> dict[bytes, dict[str, Any]]:
        """Return the further facts that were recorded with each of the runs `which`; none where that is damaged."""
        facts: dict[bytes, dict[str, Any]] = {run: {} for run in which}
        facts.update((run, json.loads(about)) for run, _, about in self._records_of(list(facts)))
        return facts

    def _records_of(self, which: Sequence[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Yield those of the runs `which` whose records are whole, with their code and what else is known, as JSON."""
        query = "SELECT id, experiment, started, code, about, checksum FROM runs WHERE id IN"
        for run, experiment, started, code, about, stored in self._select(query, which):
            if run_checksum(run, experiment, started, code, about) == stored:
                yield run, code, about
            else:
                damage = run, f"the record of run {_shown(run)} does not match its checksum"
                if damage not in self.damaged:
                    self.damaged.append(damage)

    def descriptions(self, keys: Sequence[bytes]) -> dict[bytes, tuple[str, str]]:
        """Return the experiment and the description of each of `keys` that is stored; damaged ones are left out."""
        positions = {key: (entry.run, entry.outcome.position) for key, entry in self.find(keys).items()}
        which = list({run for run, _ in positions.values()})
        sheets = self.sheets(which)
        names = dict(self._select("SELECT id, experiment FROM runs WHERE id IN", which))
        described = {
            key: (names[run].decode(), sheets[run].describe(position))
            for key, (run, position) in positions.items()
            if run in sheets and run in names
        }
        return {key: (name, text) for key, (name, text) in described.items() if text is not None}

    def sheets(self, which: Sequence[bytes]) -> dict[bytes, Sheet]:
        """Return what tells the configurations of each of the runs `which`; damaged ones are left out."""
        sheets: dict[bytes, Sheet] = {}
        for run, sheet, stored in self._select("SELECT run, sheet, checksum FROM sheets WHERE run IN", which):
            if checksum(run, sheet) == stored:
                sheets[run] = Sheet(sheet)
            else:
                self.damaged.append((run, f"the descriptions of run {_shown(run)} do not match their checksum"))
        return sheets

    def outcomes_of(self, run: bytes, *, after: int = 0, most: int = LOADED_AT_ONCE) -> list[Entry]:
        """Return the first `most` intact outcomes of `run`, of all attempts, with ids above `after`."""
        with self._ledger.reading() as database:
            rows = database.execute(
                f"SELECT id, head FROM outcomes WHERE id > ? AND damaged != {DAMAGED} ORDER BY id", [after]
            )
            own = (Entry(*row) for row in rows if is_intact(row[1]) and run_in(row[1]) == run)
            return list(islice(own, most))

    def is_over(self, run: bytes) -> bool:
        """Return whether nothing more of `run` will be stored."""
        with self._ledger.reading() as database:
            return database.execute("SELECT 1 FROM runs WHERE id = ? AND ended IS NULL", [run]).fetchone() is None

    def claims_of(self, run: bytes) -> set[bytes]:
        """Return the keys that `run` has claimed, and so is not done with."""
        with self._ledger.reading() as database:
            return set(claims.claimed_by(database, run))

    def artifact_path(self, key: bytes, run: bytes, attempt: int) -> Path:
        """Return the folder that one attempt was given, which need not exist."""
        return layout.artifact_path(self.root, key, run, attempt)


def run_checksum(run: bytes, experiment: bytes | str, started: float, code: bytes | str, about: bytes | str) -> bytes:
    """Return what stands beside the record of a run."""
    return checksum(run, experiment, repr(started), code, about)


def _shown(key: object) -> str:
    return key.hex() if isinstance(key, bytes) else repr(key)  # a flipped bit can make a number of it
