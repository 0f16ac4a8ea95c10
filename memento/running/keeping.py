"""What a run was delivered, on its way into the store: in groups, so that storing holds nothing up."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from memento.entry import Row
from memento.heads import Frame
from memento.store import Run, SqliteStore

LARGEST_GROUP = 5000
# Storing may take this share of the time between two commits.
COMMIT_PAUSE = 4.0
# So many seconds an outcome waits for others, which often come with it: meanwhile the workers begin what is next, with
# the processors to themselves.
LINGER = 0.01


class Keeper:
    """Keeps the outcomes of one run in `store`: those that came since the last commit are pending.

    `replaced` are stored successes that are computed anew, as numbers by keys. An outcome waits up to `linger` seconds
    for others.
    """

    def __init__(self, store: SqliteStore, replaced: Mapping[bytes, int], *, linger: float = LINGER) -> None:
        self._store, self._replaced, self._linger = store, replaced, linger
        self._pending: list[Frame] = []
        self._finals: list[bytes] = []
        self._unsure = False  # whether what is pending may be stored already
        self._read: dict[str, int] = {}  # spools, and up to where they were taken in
        self._stored: dict[str, int] = {}  # … and what was in them was committed
        self._committed_at = self._due_at = 0.0
        self._commit_cost = 0.0

    def add(self, frames: Iterable[Frame]) -> None:
        """Have `frames` stored with the next commit."""
        if not self._pending:
            self._due_at = max(self._committed_at + COMMIT_PAUSE * self._commit_cost, time.monotonic() + self._linger)
        self._pending.extend(frames)

    def add_final(self, keys: Iterable[bytes]) -> None:
        """Have the claims on `keys` given up with the next commit: nothing more is computed for them."""
        self._finals.extend(keys)

    def read_up_to(self, spool: str, end: int) -> None:
        """Take note that everything in `spool` before the offset `end` was added."""
        self._read[spool] = end

    @property
    def taken(self) -> Mapping[str, int]:
        """Up to which offset everything in the spools, by their names, has been stored."""
        return self._stored

    @property
    def patience(self) -> float | None:
        """How many seconds the next commit can wait; None while nothing is pending."""
        if not self._pending:
            return None
        if len(self._pending) >= LARGEST_GROUP:
            return 0.0
        return max(0.0, self._due_at - time.monotonic())

    def commit(self, run: Run) -> list[Row]:
        """Store what is pending and give up the claims on what is final; return it as it is stored."""
        if not self._pending:
            return []
        begun = time.monotonic()
        again, self._unsure = self._unsure, True  # Ctrl-C may come when it is stored, and before that is known here
        entries = self._store.save_and_release(run, self._pending, self._finals, again=again, replaced=self._replaced)
        self._committed_at = time.monotonic()
        self._commit_cost = self._committed_at - begun
        self._pending, self._finals, self._unsure = [], [], False
        self._stored.update(self._read)
        return entries
