"""The ledger: outcomes, configurations, runs and claims in one SQLite file, large parts in files beside it.

Guarantees: what `save` returned from is synced to the disk; every row carries a checksum and every part a digest,
verified before anything in them is used; the last outcome of a configuration and the end of its claim are one
transaction.
Assumptions: the file system keeps its promises about fsync, rename and flock.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from memento import layout
from memento.errors import MatrixError
from memento.files import private_folder, sync_folder
from memento.spool import Frame, has_succeeded, is_final, read_frames
from memento.store import claims, garbage, runs
from memento.store.entries import BY_KEY, INSERT, Entry, checksum, is_intact, prefix_of, rows_of
from memento.store.reading import SUCCEEDED, Reader, run_checksum
from memento.store.trouble import explain
from memento.task import IDENTITY_IN_HEAD, KEY_IN_HEAD, PART_NAMES, STATUS_IN_HEAD, Outcome


class SqliteStore(Reader):
    """The store whose ledger is `database` and whose files lie in `root`; made by `open_store`."""

    def __init__(self, root: Path, database: Path) -> None:
        super().__init__(root, database)
        self._taken_in: dict[Path, int] = {}  # how far the spools of remote runs were read

    # Writing

    def save(self, frames: Sequence[Frame]) -> None:
        """Store outcomes in one transaction; afterwards they are on the disk. One stored before stays as it is."""
        with self._ledger.writing() as database:
            self._insert_new(database, frames)

    def save_and_release(self, run: runs.Run, frames: Sequence[Frame], keys: Sequence[bytes]) -> list[Entry]:
        """Store outcomes that were never stored and give up the claims on `keys`, in one transaction.

        Returns:
            the outcomes as `find` finds them from now on, in order.
        """
        given_up = set(keys)
        left = {key: None for key in run.claimed if key not in given_up}
        self._make_files_last(frames)
        with self._ledger.writing() as database:
            newest = _newest(database)
            rows = rows_of(frames, newest + 1)
            database.executemany(INSERT, rows)
            claims.replace_claims(database, run.id, left)
        run.claimed = left
        if run.seen == newest:
            run.seen += len(rows)
        return [Entry(row[0], row[2]) for row in rows]

    def _make_files_last(self, frames: Sequence[Frame]) -> None:
        """Have the names of the files that belong to `frames` on the disk; what is in them is there already."""
        keys = {head[KEY_IN_HEAD] for head, bodies in frames if None in bodies}
        for folder in {layout.blob_folder(self.root, key) for key in keys}:
            try:
                private_folder(folder)
                sync_folder(folder)
            except OSError as error:
                raise explain(self.database, error) from error

    def _insert_new(self, database: sqlite3.Connection, frames: Sequence[Frame]) -> int:
        """Insert those of `frames` that are not stored; return how many they are."""
        self._make_files_last(frames)
        stored = self._identities({prefix_of(head[KEY_IN_HEAD]) for head, _ in frames})
        new: dict[bytes, Frame] = {}
        for frame in frames:
            new.setdefault(frame[0][IDENTITY_IN_HEAD], frame)
        kept = [frame for identity, frame in new.items() if identity not in stored]
        database.executemany(INSERT, rows_of(kept, _newest(database) + 1))
        return len(kept)

    def _identities(self, prefixes: Iterable[int]) -> set[bytes]:
        return {head[IDENTITY_IN_HEAD] for *_, head in self._select(BY_KEY, list(prefixes)) if is_intact(head)}

    def introduce(self, experiment: str, name: str, value: bytes, shown: str) -> None:
        """Remember which value older results had of a parameter that was introduced later.

        Raises:
            MatrixError: another value was declared before; results would be taken for what they are not.
        """
        known, text, stored = value, b"", b""
        with self._ledger.writing() as database:
            where = "WHERE experiment = ? AND name = ?"
            query = f"SELECT digest, readable, checksum FROM introduced {where}"
            row = database.execute(query, [experiment, name]).fetchone()
            if row is not None:
                known, text, stored = row
            if row is None or checksum(experiment, name, known, text) != stored:
                if row is not None:
                    self.damaged.append((b"", f"what was declared as introduced[{name!r}] did not match its checksum"))
                known = value
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

    # Runs and claims

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

    def describe(self, run: runs.Run, sheet: bytes) -> None:
        """Keep the readable texts of what `run` may compute, by position (matrix/sheet.py)."""
        with self._ledger.writing(sync=False) as database:  # what is stored later syncs it too
            database.execute("INSERT OR REPLACE INTO sheets VALUES (?, ?, ?)", [run.id, sheet, checksum(run.id, sheet)])

    def claim(
        self, run: runs.Run, keys: Sequence[bytes], *, force: bool = False, most: int | None = None
    ) -> list[bytes]:
        """Return the first `most` of `keys` that are free, which are now this run's alone to compute.

        Left out is what another run has claimed, and, without `force`, what has been stored successfully meanwhile.
        """
        with self._ledger.writing(sync=False) as database:
            taken = claims.claimed_by_others(database, run.id)
            newest = self._see_what_others_stored(database, run)
            if not force:
                taken |= self._stored([key for key in keys if key in run.stored_by_others])
            granted = [key for key in dict.fromkeys(keys) if key not in taken and key not in run.claimed][:most]
            claimed = {**run.claimed, **dict.fromkeys(granted)}
            claims.replace_claims(database, run.id, claimed)
        run.claimed, run.seen = claimed, newest
        return granted

    def _see_what_others_stored(self, database: sqlite3.Connection, run: runs.Run) -> int:
        """Note the keys of what was stored since this was asked last; return how far that is."""
        newest = _newest(database)
        if newest > run.seen:
            heads = database.execute("SELECT head FROM outcomes WHERE id > ?", [run.seen])
            whole = (head for (head,) in heads if is_intact(head))
            run.stored_by_others.update(head[KEY_IN_HEAD] for head in whole if head[STATUS_IN_HEAD] == SUCCEEDED)
        return newest

    def _stored(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of `keys` whose success `find` finds."""
        return {key for key, entry in self.find(keys).items() if entry.code == SUCCEEDED} if keys else set()

    def release(self, run: runs.Run, keys: Sequence[bytes]) -> None:
        """Give up the claims on `keys`."""
        given_up = set(keys)
        left = {key: None for key in run.claimed if key not in given_up}
        with self._ledger.writing(sync=False) as database:
            claims.replace_claims(database, run.id, left)
        run.claimed = left

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
                self._take_in_claimed(run)
                self._take_in(run.id, [])
            else:
                self._take_in(run.id, runs.spooled(run.id, run.spool, taken or {}))
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
                    taken += self._take_in(run, runs.spooled(run, aside))
        return taken

    def _take_in(self, run: bytes, spooled: Sequence[Frame]) -> int:
        frames = [frame for frame in spooled if None not in frame[1] or self._has_files(frame)]
        with self._ledger.writing() as database:
            new = self._insert_new(database, frames) if frames else 0
            claims.drop_claims(database, run)
            database.execute("UPDATE runs SET ended = ? WHERE id = ? AND ended IS NULL", [time.time(), run])
        return new

    def _has_files(self, frame: Frame) -> bool:
        """Whether the large parts of an outcome are there: a power cut may have left it in a spool without them."""
        outcome = Outcome.unpack_head(*frame)
        for name, part in zip(PART_NAMES, outcome.parts, strict=True):
            if part.data is None:
                path = layout.blob_path(self.root, outcome.key, outcome.run, outcome.attempt, name)
                if not path.exists() or path.stat().st_size != part.size:
                    return False
        return True

    # Runs whose work goes on without their process

    def orphans(self) -> list[bytes]:
        """Return the remote runs that are not over, whether or not somebody attends to them."""
        folders = sorted(self._spools.iterdir()) if self._spools.is_dir() else ()
        return [run for folder in folders if (run := runs.run_of(folder)) is not None and runs.is_remote(folder)]

    def adopt(self, run: bytes) -> runs.Run | None:
        """Return a remote run that this process may attend to now; None when it is over, or another attends to it."""
        adopted = runs.Run.adopt(self._spools, run) if self.writable else None
        if adopted is not None:
            adopted.claimed = dict.fromkeys(self.claims_of(run))
        return adopted

    def leave(self, run: runs.Run) -> None:
        """Let a remote run go on without this process: its claims stand, and whoever comes next may adopt it."""
        run.unlock()

    def claims_of(self, run: bytes) -> set[bytes]:
        """Return the keys that `run` has claimed."""
        with self._ledger.reading() as database:
            return claims.claimed_by(database, run)

    def save_claimed(self, run: runs.Run, frames: Sequence[Frame], *, failures_end: bool = True) -> int:
        """Store those of `frames` whose keys `run` has claimed, end the claims of the final ones; return how many.

        Where the claim is gone somebody else computes the configuration, and what an old attempt delivers is refused.
        Who does not know whether a failure was tried again since leaves its claim, by `failures_end=False`.
        """
        with self._ledger.writing() as database:
            claimed = claims.claimed_by(database, run.id)
            ends = is_final if failures_end else has_succeeded
            kept = [frame for frame in frames if frame[0][KEY_IN_HEAD] in claimed]
            self._insert_new(database, kept)
            left = claimed.difference(head[KEY_IN_HEAD] for head, _ in kept if ends(head))
            claims.replace_claims(database, run.id, left)
        run.claimed = dict.fromkeys(left)
        return len(kept)

    def _take_in_remote(self, number: bytes) -> int:
        """Take in what has arrived of a remote run that nobody attends to, and end it when nothing more is awaited."""
        run = self.adopt(number)
        if run is None:
            return 0
        try:
            taken = self._take_in_claimed(run)
            if not self.claims_of(number):
                self.end_run(run)
        finally:
            self.leave(run)
        return taken

    def _take_in_claimed(self, run: runs.Run) -> int:
        frames: list[Frame] = []
        for path in sorted(run.spool.glob("*.spool")):
            with suppress(FileNotFoundError):
                found, self._taken_in[path] = read_frames(path, self._taken_in.get(path, 0))
                frames += found
        return self.save_claimed(run, frames, failures_end=False) if frames else 0

    # Garbage

    def collect(self, *, dry_run: bool = True, superseded_before: float | None = None) -> list[garbage.Garbage]:
        """Return what nothing asks for any more; without `dry_run` it then lies in the trash, until `purge`.

        That is: files that belong to no outcome, what processes left when they died, checkpoints of experiments that
        have succeeded since. Records always stay.

        Args:
            dry_run: only tell.
            superseded_before: also large values and artifacts of results that ended before this moment (seconds since
                the epoch) and were replaced by newer ones; reading one says that it was evicted.

        Raises:
            StoreError: a run goes on, or the ledger is damaged; nothing was moved.

        Example:
            >>> from memento.store import open_store
            >>> with open_store("example") as store:
            ...     store.collect()
            []
        """
        self.take_over()
        if dry_run:
            with self._ledger.reading() as database:
                return garbage.find_garbage(self.root, database, superseded_before)
        with self._ledger.writing() as database:  # while which no run can begin
            found = garbage.find_garbage(self.root, database, superseded_before)
            garbage.record_evictions(database, found)
        garbage.move_to_trash(self.root, found)
        return found

    def purge(self) -> int:
        """Remove for good what lies in the trash; return how many bytes that were."""
        return garbage.purge(self.root)

    # Where files are

    @property
    def _spools(self) -> Path:
        return self.root / "spool"

    def checkpoint_path(self, key: bytes) -> Path:
        """Return where the checkpoint of `key` lies."""
        return layout.checkpoint_path(self.root, key)

    def close(self) -> None:
        """Close the ledger; it is opened again when something is asked. Idempotent."""
        self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return SqliteStore, (self.root, self.database)


def _newest(database: sqlite3.Connection) -> int:
    (newest,) = database.execute("SELECT max(id) FROM outcomes").fetchone()
    return newest or 0
