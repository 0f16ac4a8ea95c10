"""Runs that share a store: which of them computes what, and what those that died leave to the others."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from memento.entry import Entry
from memento.heads import Frame, has_succeeded, is_final, key_in, unpack_head
from memento.spool import in_pieces, read_frames_in_pieces
from memento.store import claims, runs
from memento.store.entries import is_intact
from memento.store.error_messages import explain
from memento.store.history import run_checksum
from memento.store.parts import files_of, read_file
from memento.store.writing import Writer, newest_in


class Sharer(Writer):
    """What runs do with the store whose ledger is `database` and whose files lie in `root`."""

    def __init__(self, root: Path, database: Path) -> None:
        super().__init__(root, database)
        self._taken_in: dict[Path, int] = {}  # how far the spools of remote runs were read

    @property
    def _spools(self) -> Path:
        return self.root / "spool"

    def begin_run(
        self, *, experiment: str, code: Mapping[str, str], about: Mapping[str, Any], since: int = 0
    ) -> runs.Run:
        """Register a run, which lives until `end_run` or the end of this process.

        Args:
            experiment: the name of what is run.
            code: the fingerprint of its code.
            about: further facts, as JSON has them.
            since: what `newest` returned before the run looked for what is stored; `claim` sees what came later.

        Raises:
            StoreError: the store cannot be written.
        """
        self._ledger.require_writable()
        facts = experiment, time.time(), json.dumps(dict(code)), json.dumps(runs.facts(about), default=str)
        try:
            run = runs.Run(self._spools, since=since)
        except OSError as error:
            raise explain(self.database, error) from error
        try:
            with self._ledger.writing() as database:
                database.execute(
                    "INSERT INTO runs (id, experiment, started, code, about, checksum) VALUES (?, ?, ?, ?, ?, ?)",
                    [run.id, *facts, run_checksum(run.id, *facts)],
                )
        except BaseException:
            run.unlock()
            runs.remove(run.spool)
            raise
        return run

    def claim(
        self,
        run: runs.Run,
        keys: Sequence[bytes],
        *,
        most: int | None = None,
        counts: Callable[[Entry], bool] = lambda entry: True,
    ) -> list[bytes]:
        """Return the first `most` of `keys` that are free, which are now this run's alone to compute.

        Left out is what another run has claimed, and what has been stored successfully since the run looked, where that
        success `counts`.
        """
        with self._ledger.writing(sync=False) as database:
            taken = claims.claimed_by_others(database, run.id)
            newest = self._see_what_others_stored(database, run)
            found = self.find([key for key in keys if key in run.stored_by_others]) if run.stored_by_others else {}
            stored = {key: entry for key, entry in found.items() if entry.ok}
            uncounted = [key for key, entry in stored.items() if not counts(entry)]
            taken.update(stored.keys() - uncounted, self.newest_that(uncounted, counts) if uncounted else ())
            free = run.claimed.without(keys)
            granted = [key for key in free if key not in taken][:most] if taken else free[:most]
            claimed = run.claimed.plus(granted)
            claims.change_claims(database, run.id, run.written, claimed)
        run.claimed = run.written = claimed
        run.seen = newest
        return granted

    def _see_what_others_stored(self, database: sqlite3.Connection, run: runs.Run) -> int:
        """Note the keys of what was stored since this was asked last; return how far that is."""
        newest = newest_in(database)
        if newest > run.seen:
            heads = database.execute("SELECT head FROM outcomes WHERE id > ?", [run.seen])
            whole = (head for (head,) in heads if is_intact(head))
            run.stored_by_others.update(key_in(head) for head in whole if has_succeeded(head))
        return newest

    def release(self, run: runs.Run, keys: Sequence[bytes]) -> None:
        """Give up the claims on `keys`."""
        left = run.claimed.minus(keys)
        with self._ledger.writing(sync=False) as database:
            claims.change_claims(database, run.id, run.written, left)
        run.claimed = run.written = left

    def claimed_by_others(self, run: runs.Run, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of `keys` that another run has claimed."""
        with self._ledger.reading() as database:
            return claims.claimed_by_others(database, run.id).intersection(keys)

    def end_run(self, run: runs.Run, taken: Mapping[str, int] | None = None) -> None:
        """Take in what is left in the run's spools, give up its claims and remove its folder.

        `taken` says of spools, by their names, up to which offset everything in them has been stored.
        """
        try:
            if runs.is_remote(run.spool):
                self.take_in_claimed(run)
                self._take_in(run.id, [])
            else:
                self._take_in(run.id, runs.spooled(run.id, run.spool, taken or {}))
            self._ledger.settle()
        finally:
            # Where the disk is full the folder stays, and whoever comes next takes in what is in it.
            run.unlock()
        runs.remove(run.spool)

    def take_over(self) -> int:
        """Take in what dead runs left in their spools and free their claims; return how many outcomes came in."""
        if not self.writable:
            return 0
        with self._ledger.reading() as database:
            claiming = claims.claiming_runs(database)
        # A run has its folder before its first claim: without one, these are claims that nobody will ever give up.
        for claimer in claiming:
            if not runs.has_folder(self._spools, claimer):
                self._take_in(claimer, [])
        taken = 0
        for folder in sorted(self._spools.iterdir()) if self._spools.is_dir() else ():
            run = runs.run_of(folder)
            if run is None:
                continue
            if runs.is_remote(folder):
                taken += self._take_in_remote(run)
                continue
            with suppress(OSError), runs.taken(folder) as aside:
                if aside is not None:
                    died = runs.last_sign(aside)
                    taken += self._take_in(run, runs.spooled(run, aside), died=died)
                    self._ledger.settle()
        return taken

    def _take_in(self, run: bytes, spooled: Iterable[Frame], *, died: float | None = None) -> int:
        """Store what is in the spools of `run` and end it: now, or as of when it `died`."""
        whole = (one for one in spooled if is_intact(one[0]) and (None not in one[1] or self._has_files(one)))
        new = 0
        last: list[Frame] = []
        for frames in in_pieces(whole):
            if last:  # until all is taken in, nobody else computes any of it: who dies over this leaves it to the next
                with self._ledger.writing() as database:
                    new += self._insert_new(database, last)
            last = frames
        with self._ledger.writing() as database:
            new += self._insert_new(database, last) if last else 0
            claims.drop_claims(database, run)
            if died is not None:
                _note_death(database, run)
            ended = time.time() if died is None else died
            database.execute("UPDATE runs SET ended = ? WHERE id = ? AND ended IS NULL", [ended, run])
        return new

    def _has_files(self, frame: Frame) -> bool:
        """Whether the large parts of an outcome are there: a power cut may have left it in a spool without all of them.

        Their workers had not synced them, so that only reading them tells.
        """
        files = files_of(unpack_head(*frame), self.root)
        return all(read_file(path, part) is not None for path, part in files)

    # Runs whose work goes on without their process

    def orphans(self) -> list[bytes]:
        """Return the remote runs that are not over, whether or not somebody attends to them."""
        folders = sorted(self._spools.iterdir()) if self._spools.is_dir() else ()
        return [run for folder in folders if (run := runs.run_of(folder)) is not None and runs.is_remote(folder)]

    def adopt(self, run: bytes) -> runs.Run | None:
        """Return a remote run that this process may attend to now; None when it is over, or another attends to it."""
        adopted = runs.Run.adopt(self._spools, run) if self.writable else None
        if adopted is not None:
            with self._ledger.reading() as database:
                adopted.claimed = adopted.written = claims.claimed_by(database, run)
        return adopted

    def leave(self, run: runs.Run) -> None:
        """Let a remote run go on without this process: its claims stand, and whoever comes next may adopt it."""
        run.unlock()

    def save_claimed(self, run: runs.Run, frames: Sequence[Frame], *, failures_end: bool = True) -> int:
        """Store those of `frames` whose keys `run` has claimed, end the claims of the final ones; return how many.

        Where the claim is gone somebody else computes the configuration, and what an old attempt delivers is refused.
        Who does not know whether a failure was tried again since leaves its claim, by `failures_end=False`.
        """
        ends = is_final if failures_end else has_succeeded
        kept = [frame for frame in frames if key_in(frame[0]) in run.claimed]
        left = run.claimed.minus(key_in(head) for head, _ in kept if ends(head))
        with self._ledger.writing() as database:
            self._insert_new(database, kept)
            claims.change_claims(database, run.id, run.written, left)
        run.claimed = run.written = left
        return len(kept)

    def _take_in_remote(self, number: bytes) -> int:
        """Take in what has arrived of a remote run that nobody attends to, and end it when nothing more is awaited."""
        run = self.adopt(number)
        if run is None:
            return 0
        try:
            taken = self.take_in_claimed(run)
            if not self.claims_of(number):
                self.end_run(run)
        finally:
            self.leave(run)
        return taken

    def take_in_claimed(self, run: runs.Run) -> int:
        """Store what has arrived in the folder of a remote run, as far as it holds the claims; return how many."""
        taken = 0
        for path in sorted(run.spool.glob("*.spool")):
            with suppress(FileNotFoundError):
                for frames, end in read_frames_in_pieces(path, self._taken_in.get(path, 0)):
                    taken += self.save_claimed(run, frames, failures_end=False)
                    self._taken_in[path] = end
        return taken


def _note_death(database: sqlite3.Connection, run: bytes) -> None:
    """Note about `run` that it did not come to its end by itself; a damaged record stays as it is."""
    query = "SELECT experiment, started, code, about, checksum FROM runs WHERE id = ? AND ended IS NULL"
    for experiment, started, code, about, stored in database.execute(query, [run]).fetchall():
        if run_checksum(run, experiment, started, code, about) == stored:
            noted = json.dumps({**json.loads(about), runs.DIED: True})
            whole = run_checksum(run, experiment, started, code, noted)
            database.execute("UPDATE runs SET about = ?, checksum = ? WHERE id = ?", [noted, whole, run])
