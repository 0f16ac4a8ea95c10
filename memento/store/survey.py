"""A store seen by somebody who only looks: every configuration in it, and every run, without changing anything."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from memento import layout
from memento.entry import Entry
from memento.errors import StoreError
from memento.heads import is_final, key_in, run_in
from memento.store import claims, runs
from memento.store.entries import DAMAGED, is_intact
from memento.store.garbage import Garbage, find_garbage, runs_below
from memento.store.history import Historian, run_checksum
from memento.store.opening import existing


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One run as the ledger and its folder know it.

    `started` and `ended` are seconds since the epoch (`ended` is None until it is over), `about` is what was noted of
    it (host, pid, user, …), `claimed` are the keys that are its own to compute, `delivered` the last outcomes of those
    that lie in its folder, which nobody takes into the ledger now, because its process is gone. `alive` is whether
    that lives, `died` whether it ended without ending the run: that went on until `ended` at least. `engine` is where
    its work goes on without it ("slurm"), `folder` its folder, None where there is none.
    """

    id: bytes
    experiment: str
    started: float
    ended: float | None
    about: dict[str, Any]
    claimed: frozenset[bytes]
    delivered: dict[bytes, Entry]
    alive: bool
    died: bool
    engine: str | None
    folder: Path | None


class Survey(Historian):
    """The store whose ledger is `database` and whose files lie in `root`, to look at; made by `survey`."""

    def __init__(self, root: Path, database: Path) -> None:
        super().__init__(root, database, read_only=True)

    def everything(self) -> tuple[dict[bytes, Entry], dict[tuple[bytes, bytes], Entry]]:
        """Return what `find` finds of every key in the ledger; and what each run last gave, by run and key."""
        with self._ledger.reading() as database:
            rows = database.execute("SELECT id, damaged, head FROM outcomes ORDER BY id").fetchall()
        whole = [row for row in rows if is_intact(row[2])]
        given = {(run_in(head), key_in(head)): Entry(number, head) for number, mark, head in whole if mark != DAMAGED}
        return self.find(list({key_in(head) for _, _, head in whole})), given

    def records(self) -> list[Record]:
        """Return every run, oldest first; one whose record is damaged is left out, and noted in `damaged`."""
        with self._ledger.reading() as database:
            rows = database.execute(
                "SELECT id, experiment, started, ended, code, about, checksum FROM runs ORDER BY started"
            ).fetchall()
            claimed = {run: frozenset(claims.claimed_by(database, run)) for run in claims.claiming_runs(database)}
        found: list[Record] = []
        for run, experiment, started, ended, code, about, stored in rows:
            if run_checksum(run, experiment, started, code, about) != stored:
                self.damaged.append((run, "the record of a run does not match its checksum"))
                continue
            folder = layout.spool_path(self.root, run)
            there = ended is None and folder.is_dir()
            alive = there and runs.is_alive(folder)
            own = claimed.get(run, frozenset())
            engine, facts = _engine(folder), json.loads(about)
            died = runs.DIED in facts or (ended is None and not alive and (engine is None or not there))
            if died and there:
                with suppress(OSError):
                    ended = runs.last_sign(folder)
            found.append(
                Record(
                    id=run, experiment=experiment.decode(), started=started, ended=ended, about=facts,
                    claimed=own, delivered=_delivered(run, folder, own) if there and not alive else {},
                    alive=alive, died=died, engine=engine, folder=folder if there else None,
                )
            )  # fmt: skip
        return found

    def garbage(self, superseded_before: float | None = None) -> tuple[list[Garbage], int]:
        """Return what nothing asks for any more (see `collect`), and how many dead runs have left what is not judged.

        Raises:
            StoreError: a run goes on, or the ledger is damaged.
        """
        awaited = {one.id for one in self.records() if one.engine is not None and one.claimed - one.delivered.keys()}
        folders = runs_below(self.root)
        left = {run for run, folder in folders.items() if run not in awaited and not runs.is_alive(folder)}
        with self._ledger.reading() as database:
            return find_garbage(self.root, database, superseded_before, left=left), len(left)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()


def survey(path: str | os.PathLike[str] | None = None) -> Survey:
    """Return the store at `path`, to look at; `path` as in `open_store`, but nothing is made.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    root, database = existing(path)
    if not database.exists():
        raise StoreError(f"there is no store at {root}; say where it is, as in run(cache_path=...)", path=str(root))
    return Survey(root, database)


def _delivered(run: bytes, folder: Path, claimed: frozenset[bytes]) -> dict[bytes, Entry]:
    """Return the last outcome of each of `claimed` that lies in the spools; attempts that go on elsewhere are none."""
    found: dict[bytes, Entry] = {}
    with suppress(OSError):  # whoever takes it in removes it
        for head, _ in runs.spooled(run, folder):
            key = key_in(head)
            if key in claimed and is_final(head) and is_intact(head):
                entry = Entry(0, head)
                if key not in found or found[key].attempt <= entry.attempt:
                    found[key] = entry
    return found


def _engine(folder: Path) -> str | None:
    try:
        return (folder / layout.REMOTE).read_text()
    except OSError:
        return None
