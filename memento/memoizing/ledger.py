"""The ledger of remembered calls: `memoized/` in a store's folder, open once per process, however many use it.

It is a store of its own inside the store, because workers call remembering functions too: what they do here, even one
that is stopped in the middle of a transaction, cannot hold up or harm the ledger that the orchestrator writes.

    a process ──one run, alive as long as it is── claims on the keys it computes
    a call    ──its outcome── names as its run the code that computed it, the same in all processes

Guarantees: a claim ends with its process, however that ends. An outcome survives the end of its process, however that
comes, from the moment `keep_call` returns; a power cut takes back what was computed in the last `UNSYNCED_SECONDS`.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from memento.errors import StoreError
from memento.experiment import Experiment
from memento.flights import Flights
from memento.hashing.origin import as_seen_from
from memento.heads import MOST_ATTEMPTS, attempt_in, frame_of, has_succeeded, key_in, pack_head, run_in
from memento.layout import blob_path
from memento.store import Entry, Run, SqliteStore, claims, open_store
from memento.store.entries import BY_KEY, DAMAGED, REPLACED, checksum, is_intact, prefix_of
from memento.store.history import run_checksum
from memento.store.opening import DEFAULT, VARIABLE, folder_of
from memento.store.parts import matches
from memento.store.runs import facts
from memento.task import EMPTY_PART, PART_NAMES, RUN_BYTES, Outcome, Status

FOLDER = "memoized"
UNSYNCED_SECONDS = 1.0
TAKE_OVER_SECONDS = 0.5
"""How often somebody who waits for another process looks whether it is still alive."""


FORGET = (
    f"UPDATE outcomes SET head = ?, damaged = 0, evicted = 1, {', '.join(f'{part} = NULL' for part in PART_NAMES)} "
    "WHERE id = ?"
)
BOTH = "SELECT id, damaged, head, value FROM outcomes WHERE prefix = ?"


class Found(NamedTuple):
    """An outcome, and its value where that came with it."""

    entry: Entry
    inline: bytes | None


class CallLedger(SqliteStore):
    """The ledger of remembered calls at `database`; made by `ledger_at`."""

    def __init__(self, root: Path, database: Path) -> None:
        super().__init__(root, database)
        self._synced = float("-inf")
        self._looked = float("-inf")
        self.forget_process()

    def forget_process(self) -> None:
        """Begin as another process: a forked child has none of its parent's claims, locks and computations."""
        self._mutex = threading.Lock()
        self._alive: Run | None = None
        self._codes: set[bytes] = set()
        self.flights = Flights()

    def is_gone(self) -> bool:
        """Return whether the file was removed or replaced since it was opened."""
        return self._ledger.is_gone()

    def success(self, key: bytes) -> Found | None:
        """Return the newest outcome of `key`, if it can be used."""
        # What `find` and `load` do takes three questions; where all is as it should be, one is enough.
        with suppress(StoreError), self._ledger.reading() as database:
            rows = database.execute(BOTH, [prefix_of(key)]).fetchall()
            if all(is_intact(row[2]) and row[1] != DAMAGED and row[0] not in self._set_aside for row in rows):
                own = (row for row in rows if key_in(row[2]) == key and has_succeeded(row[2]))
                newest = max(own, default=None)
                if newest is None:
                    return None
                if newest[1] != REPLACED:  # else a newer one is hidden
                    return Found(Entry(newest[0], newest[2]), newest[3])
        entry = self.find([key]).get(key)
        return Found(entry, None) if entry is not None and entry.ok else None

    def value_of(self, found: Found) -> bytes | memoryview:
        """Return the bytes of the value of `found`, verified.

        Raises:
            DamagedEntry: they do not match their digest.
            NotStored: they were evicted.
        """
        inline = found.inline
        if inline is not None and matches(found.entry.outcome.value, inline):
            return inline
        return self.load(found.entry, "value")

    def claim_call(self, key: bytes) -> bool:
        """Return whether `key` is now this process's alone to compute."""
        with self._mutex:
            run = self._run()
            with self._ledger.writing(sync=False) as database:
                if key in claims.claimed_by_others(database, run.id):
                    return False
                claimed = run.claimed.plus([key])
                claims.change_claims(database, run.id, run.written, claimed)
            run.claimed = run.written = claimed
            return True

    def release_call(self, key: bytes) -> None:
        """Give up the claim on `key`, if there is one; where that cannot be written, together with the next change."""
        with self._mutex:
            run = self._alive
            if run is not None and key in run.claimed:
                run.claimed = run.claimed.minus([key])
                with suppress(StoreError):
                    with self._ledger.writing(sync=False) as database:
                        claims.change_claims(database, run.id, run.written, run.claimed)
                    run.written = run.claimed

    def free_claims_of_the_dead(self) -> None:
        """Free what processes had claimed that have died, at most every so often."""
        now = time.monotonic()
        if now - self._looked > TAKE_OVER_SECONDS:
            self._looked = now
            self.take_over()

    def next_attempt(self, key: bytes, run: bytes) -> int:
        """Return the number of an outcome of `key` under `run` that none has; only who holds the claim may ask."""
        rows = self._select(BY_KEY, [prefix_of(key)])
        heads = [row[-1] for row in rows if is_intact(row[-1])]
        same = (head for head in heads if key_in(head) == key and run_in(head) == run)
        last = max(map(attempt_in, same), default=0)
        return last % MOST_ATTEMPTS + 1  # far apart as they are, the older of two can no longer be asked for

    def keep_call(self, outcome: Outcome, code: Experiment) -> None:
        """Store `outcome`, computed by `code`, and give up the claim on its key, in one transaction.

        Raises:
            StoreError: it could not be written.
        """
        now = time.monotonic()
        sync = now - self._synced + outcome.runtime > UNSYNCED_SECONDS
        with self._mutex:
            run = self._run()
            left = run.claimed.minus([outcome.key])
            with self._ledger.writing(sync=sync) as database:
                if outcome.run not in self._codes:
                    self._record_code(outcome.run, code)
                self._insert_new(database, [frame_of(outcome)])
                claims.change_claims(database, run.id, run.written, left)
            run.claimed = run.written = left
            self._codes.add(outcome.run)
            if sync:
                self._synced = now

    def _record_code(self, run: bytes, code: Experiment) -> None:
        about = facts({"kind": "code", "file": as_seen_from(self.root, code.file)})
        known = code.name, time.time(), json.dumps(code.code), json.dumps(about)
        with self._ledger.reading() as database:
            database.execute(
                "INSERT OR IGNORE INTO runs (id, experiment, started, ended, code, about, checksum) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [run, *known[:2], known[1], *known[2:], run_checksum(run, *known)],
            )

    def forget(self, key: bytes, is_anothers: Callable[[Entry], bool]) -> bool:
        """Forget the outcomes of `key` but those that are another's; return whether one of them could be used."""
        entries = self.history(key)
        own = [entry for entry in entries if not is_anothers(entry)]
        known = bool(self.newest_that([key], own.__contains__))
        others = [entry.id for entry in entries if entry.ok and entry not in own]
        with self._ledger.writing() as database:
            # Rows stay, for the ledger counts them: as attempts that gave nothing, which hide nothing either.
            database.executemany(FORGET, [(_without_value(entry.outcome), entry.id) for entry in own])
            # What another gave may have been replaced by what is gone now.
            database.execute("UPDATE outcomes SET damaged = 0 WHERE id = ?", [max(others, default=0)])
        for entry in own:
            for part in PART_NAMES:
                with suppress(OSError):
                    blob_path(self.root, key, entry.run, entry.attempt, part).unlink()
        return known

    def _run(self) -> Run:
        """Return the run of this process, begun when it first computes something."""
        if self._alive is None:
            self.take_over()
            self._alive = self.begin_run(experiment=FOLDER, code={}, about={"kind": FOLDER})
        return self._alive

    def unlock(self) -> None:
        """Let its run count as dead, as its file is gone; the connection stays for whoever is still computing."""
        if self._alive is not None:
            self._alive.unlock()

    def end(self) -> None:
        """Give up what this process holds, and put what it stored on the disk."""
        with self._mutex:
            if self._alive is not None:
                self.end_run(self._alive)
                self._alive = None
            self._ledger.close()


def _without_value(outcome: Outcome) -> bytes:
    blank = outcome._replace(value=EMPTY_PART, metrics=EMPTY_PART, log=EMPTY_PART, summary=b"")
    return pack_head(blank._replace(status=Status.CANCELLED))


def code_id(code: Experiment) -> bytes:
    """Return what outcomes name as their run: the same wherever the same function of the same code computes."""
    parts = (text for pair in sorted(code.code.items()) for text in pair)
    return hashlib.sha256(checksum(code.name, *parts) + code.name.encode()).digest()[:RUN_BYTES]


_opening = threading.Lock()
_open: dict[str, CallLedger] = {}
_places: dict[tuple[str, str], str] = {}


def ledger_at(store: str | None) -> CallLedger:
    """Return the ledger of remembered calls of the store at `store`, by default where every store is; made if need be.

    Raises:
        StoreError: it cannot be made, read or written, or is something else.
    """
    given = store or os.environ.get(VARIABLE) or DEFAULT
    here = "" if given[0] == "/" else os.getcwd()
    place = _places.get((given, here))
    if place is None:
        place = _places[given, here] = os.path.abspath(os.path.expanduser(given))
    ledger = _open.get(place)
    if ledger is None or ledger.is_gone():
        ledger = _opened(place)
    return ledger


def _opened(place: str) -> CallLedger:
    with _opening:
        ledger = _open.get(place)
        if ledger is None or ledger.is_gone():
            if ledger is not None:
                ledger.unlock()
            with open_store(folder_of(place) / FOLDER) as made:
                ledger = _open[place] = CallLedger(made.root, made.database)
        return ledger


def _begin_as_a_child() -> None:
    global _opening
    _opening = threading.Lock()
    for ledger in _open.values():
        ledger.forget_process()


os.register_at_fork(after_in_child=_begin_as_a_child)


@atexit.register
def _end_all() -> None:
    for ledger in _open.values():
        with suppress(StoreError, OSError):  # whoever comes next takes over
            ledger.end()
