"""The ledger: outcomes, configurations, runs and claims in one SQLite file, large parts in files beside it.

Guarantees: what `save` returned from is synced to the disk; every row carries a checksum and every part a digest,
verified before anything in them is used; the last outcome of a configuration and the end of its claim are one
transaction.
Assumptions: the file system keeps its promises about fsync, rename and flock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from memento import layout
from memento.errors import MatrixError
from memento.spool import Frame, is_final, read_frames
from memento.store import garbage, runs
from memento.store.entries import INSERT, checksum, rows_of
from memento.store.reading import SUCCEEDED, Reader, run_checksum
from memento.store.trouble import explain
from memento.task import KEY_IN_HEAD

UNCLAIM = "DELETE FROM claims WHERE key = ? AND run = ?"


class SqliteStore(Reader):
    """The store whose ledger is `database` and whose files lie in `root`; made by `open_store`."""

    def __init__(self, root: Path, database: Path) -> None:
        super().__init__(root, database)
        self._taken_in: dict[Path, int] = {}  # how far the spools of remote runs were read

    # Writing

    def save(self, frames: Sequence[Frame]) -> None:
        """Store outcomes in one transaction; afterwards they are on the disk. One stored before stays as it is."""
        with self._ledger.writing() as database:
            database.executemany(INSERT, rows_of(frames))

    def save_and_release(self, run: runs.Run, frames: Sequence[Frame], keys: Sequence[bytes]) -> None:
        """Store outcomes and give up the claims on `keys`, in one transaction."""
        with self._ledger.writing() as database:
            database.executemany(INSERT, rows_of(frames))
            database.executemany(UNCLAIM, [(key, run.id) for key in keys])

    def describe(self, experiment: str, rows: Iterable[tuple[bytes, str]]) -> None:
        """Keep a readable description of configurations beside their keys."""
        with self._ledger.writing(sync=False) as database:  # what is stored later syncs it too
            database.executemany(
                "INSERT INTO configs (key, experiment, description, checksum) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO "
                "UPDATE SET experiment = excluded.experiment, description = excluded.description, "
                "checksum = excluded.checksum "
                "WHERE description != excluded.description OR checksum != excluded.checksum",
                [(key, experiment, description, checksum(key, experiment, description)) for key, description in rows],
            )

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

    def begin_run(self, *, experiment: str, code: Mapping[str, str], about: Mapping[str, Any]) -> runs.Run:
        """Register a run, which lives until `end_run` or the end of this process.

        Raises:
            StoreError: the store cannot be written.
        """
        self._ledger.require_writable()
        facts = experiment, time.time(), json.dumps(dict(code)), json.dumps(runs.facts(about), default=str)
        try:
            run = runs.Run(self._spools)
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
        self, run: runs.Run, keys: Sequence[bytes], *, force: bool = False, most: int | None = None
    ) -> list[bytes]:
        """Return the first `most` of `keys` that are free, which are now this run's alone to compute.

        Left out is what another run has claimed, and, without `force`, what has been stored successfully meanwhile.
        """
        with self._ledger.writing(sync=False) as database:
            taken = {key for (key,) in self._select("SELECT key FROM claims WHERE key IN", keys)}
            if not force:
                taken |= self._stored(keys)
            granted = [key for key in dict.fromkeys(keys) if key not in taken][:most]
            database.executemany("INSERT INTO claims (key, run) VALUES (?, ?)", [(key, run.id) for key in granted])
        return granted

    def _stored(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of `keys` whose success `find` finds: none below a newer damaged outcome."""
        good: dict[bytes, int] = {}
        bad: dict[bytes, int] = {}
        rows = self._select("SELECT key, id, status, damaged FROM outcomes WHERE key IN", keys)
        for key, number, status, damaged in rows:
            if damaged or number in self._set_aside:
                bad[key] = max(number, bad.get(key, 0))
            elif status == SUCCEEDED:
                good[key] = max(number, good.get(key, 0))
        return {key for key, number in good.items() if number > bad.get(key, 0)}

    def release(self, run: runs.Run, keys: Sequence[bytes]) -> None:
        """Give up the claims on `keys`."""
        with self._ledger.writing(sync=False) as database:
            database.executemany(UNCLAIM, [(key, run.id) for key in keys])

    def claimed_by_others(self, run: runs.Run, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of `keys` that another run has claimed."""
        return {key for key, by in self._select("SELECT key, run FROM claims WHERE key IN", keys) if by != run.id}

    def end_run(self, run: runs.Run) -> None:
        """Take in what is left in the run's spools, give up its claims and remove its folder."""
        try:
            if runs.is_remote(run.spool):
                self._take_in_claimed(run)
            self._take_in(run.id, run.spool, [] if runs.is_remote(run.spool) else None)
        finally:
            # Where the disk is full the folder stays, and whoever comes next takes in what is in it.
            run.unlock()
        runs.remove(run.spool)

    def take_over(self) -> int:
        """Take in what dead runs left in their spools and free their claims; return how many outcomes came in."""
        if not self.writable:
            return 0
        with self._ledger.reading() as database:
            claiming = [run for (run,) in database.execute("SELECT DISTINCT run FROM claims")]
        # A run has its folder before its first claim: without one, these are claims that nobody will ever give up.
        for run in claiming:
            if not runs.has_folder(self._spools, run):
                self._take_in(run, self._spools / run.hex())
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
                    taken += self._take_in(run, aside)
        return taken

    def _take_in(self, run: bytes, folder: Path, frames: Sequence[Frame] | None = None) -> int:
        frames = runs.spooled(run, folder) if frames is None else frames
        with self._ledger.writing() as database:
            before = database.total_changes
            database.executemany(INSERT, rows_of(frames))
            new = database.total_changes - before
            database.execute("DELETE FROM claims WHERE run = ?", [run])
            database.execute("UPDATE runs SET ended = ? WHERE id = ? AND ended IS NULL", [time.time(), run])
        return new

    # Runs whose work goes on without their process

    def orphans(self) -> list[bytes]:
        """Return the remote runs that are not over, whether or not somebody attends to them."""
        folders = sorted(self._spools.iterdir()) if self._spools.is_dir() else ()
        return [run for folder in folders if (run := runs.run_of(folder)) is not None and runs.is_remote(folder)]

    def adopt(self, run: bytes) -> runs.Run | None:
        """Return a remote run that this process may attend to now; None when it is over, or another attends to it."""
        return runs.Run.adopt(self._spools, run) if self.writable else None

    def leave(self, run: runs.Run) -> None:
        """Let a remote run go on without this process: its claims stand, and whoever comes next may adopt it."""
        run.unlock()

    def claims_of(self, run: bytes) -> set[bytes]:
        """Return the keys that `run` has claimed."""
        with self._ledger.reading() as database:
            return {key for (key,) in database.execute("SELECT key FROM claims WHERE run = ?", [run])}

    def save_claimed(self, run: runs.Run, frames: Sequence[Frame]) -> int:
        """Store those of `frames` whose keys `run` has claimed, end the claims of the final ones; return how many.

        Where the claim is gone somebody else computes the configuration, and what an old attempt delivers is refused.
        """
        with self._ledger.writing() as database:
            claimed = {key for (key,) in database.execute("SELECT key FROM claims WHERE run = ?", [run.id])}
            kept = [frame for frame in frames if frame[0][KEY_IN_HEAD] in claimed]
            database.executemany(INSERT, rows_of(kept))
            database.executemany(UNCLAIM, [(head[KEY_IN_HEAD], run.id) for head, _ in kept if is_final(head)])
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
        return self.save_claimed(run, frames) if frames else 0

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
