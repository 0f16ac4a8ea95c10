"""A store as it stands, looked at again and again: what has been read once of an outcome is not read a second time.

pages ──ask──▶ Window ──when the last look is old enough──▶ overview(store)
                 └── rows by outcome, kept: an outcome never changes
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from operator import itemgetter

from memento.dashboard.rows import STARTED, Column, Row, columns_of, row_of
from memento.entry import Entry
from memento.matrix.sheet import Sheet
from memento.overview import Overview, overview
from memento.store.survey import survey

# The store is looked at once in so many seconds at most, and not more than a tenth of the time.
INTERVAL = 2.0
SHARE = 10


class Window:
    """What is in the store at `path`, for any number of readers in any threads; nothing of it is changed.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._due = 0.0
        self._rows: dict[bytes, Row] = {}  # by head
        self._tables: dict[str, tuple[Overview, list[Row], list[Column]]] = {}
        self._sheets: dict[bytes, Sheet] = {}
        self._seen = self._look()
        self.version = 0
        """Changes when any configuration has another outcome than before."""

    def seen(self) -> Overview:
        """Return how the store stood a moment ago."""
        with self._lock:
            if time.monotonic() >= self._due:
                before, self._seen = self._seen, self._look()
                self.version += before.newest != self._seen.newest
            return self._seen

    def table(self, experiment: str) -> tuple[Sequence[Row], Sequence[Column]]:
        """Return a row for each configuration of `experiment` that has ended, the newest first, and their columns."""
        seen = self.seen()
        with self._lock:
            known = self._tables.get(experiment)
            if known is None or known[0] is not seen:
                runs = {bytes.fromhex(run.id) for run in seen.runs if run.experiment == experiment}
                entries = [entry for entry in seen.newest.values() if entry.run in runs]
                rows = self._rows_of(entries)
                known = self._tables[experiment] = seen, rows, columns_of(rows)
            return known[1:]

    def _look(self) -> Overview:
        began = time.monotonic()
        seen = overview(self.path)
        now = time.monotonic()
        self._due = now + max(INTERVAL, SHARE * (now - began))
        return seen

    def _rows_of(self, entries: Sequence[Entry]) -> list[Row]:
        new = [entry for entry in entries if entry.head not in self._rows]
        missing = list({entry.run for entry in new} - self._sheets.keys())
        if missing:
            with survey(self.path) as store:
                self._sheets |= store.sheets(missing)
        for entry in new:
            sheet, outcome = self._sheets.get(entry.run), entry.outcome
            text = None if sheet is None else sheet.describe(outcome.position)
            self._rows[entry.head] = row_of(outcome, text)
        rows = [self._rows[entry.head] for entry in entries]
        return sorted(rows, key=itemgetter(STARTED), reverse=True)
