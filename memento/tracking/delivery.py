"""Delivers one run to one tracker: what the ledger has of it and the journal does not say was told.

Guarantees: each configuration is told once, however often this is begun, by whichever process, and wherever it dies:
before anything is sent, the journal says so on the disk; who finds that in it, and not that it was done, has the
tracker look first. A configuration is told with its last outcome: a failure that is tried again is not told.
Assumption: one process at a time delivers a journal, which its lock sees to.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memento import payload
from memento.entry import Entry
from memento.errors import MementoError
from memento.store import SqliteStore
from memento.tracking.base import TrackedConfiguration, TrackedEnd, TrackedRun, Tracker, TrackerRefusal, tracker_at
from memento.tracking.journal import Journal, run_of
from memento.tracking.texts import described_texts
from memento.wording import one_line

# So many are announced in one synced line, and told before others get their turn.
GROUP = 20
LONGEST_IN_NAME = 40


class Delivery:
    """What is to be told of one run, from the journal at `path` and from `store`."""

    def __init__(self, path: Path, store: SqliteStore) -> None:
        self.path = path
        self.delivered = 0
        self.refusals: list[str] = []
        self._journal = Journal(path)
        self._store = store
        self._run_id = run_of(path)
        self._first: dict[str, Any] | None = None
        self._tracker: Tracker | None = None
        self._texts: dict[int, str] = {}
        self._long: dict[str, dict[str, int]] = {}
        self._parent: str | None = None
        self._parent_sent = False
        self._sent: set[int] = set()
        self._done: set[int] = set()
        self._end: TrackedEnd | None = None
        self._seen = 0
        self._ready: list[Entry] = []
        self._failures: dict[bytes, Entry] = {}
        self.finished = False

    # What there is to tell

    def look(self, *, abandoned: bool) -> bool:
        """Take in what journal and ledger have got meanwhile; return whether there is anything to tell.

        `abandoned` says that nobody will write the end of the run into the journal any more.
        """
        for line in self._journal.read():
            self._note(line)
        over = self._store.is_over(self._run_id)
        while rows := self._store.outcomes_of(self._run_id, after=self._seen):
            for entry in rows:
                self._sort(entry)
            self._seen = rows[-1].id
            if len(self._ready) >= 10 * GROUP:
                return True
        claimed = () if over else self._store.claims_of(self._run_id)
        for key in [key for key in self._failures if key not in claimed]:
            self._ready.append(self._failures.pop(key))
        if over and abandoned and self._end is None and self._first is not None:
            self._end = TrackedEnd(status="killed", ended=time.time())
        return bool(self._tellable()) or (over and self._end is not None) or self._parent is None

    def _tellable(self) -> list[Entry]:
        """Return the next few of which all is known: the run's thread writes long texts just after the ledger."""
        if self._first is None or not self._first["texts"] or self._end is not None:
            return self._ready[:GROUP]
        return [entry for entry in self._ready if entry.key.hex() in self._long][:GROUP]

    def _sort(self, entry: Entry) -> None:
        self._failures.pop(entry.key, None)
        if entry.id in self._done:
            return
        if entry.ok:
            self._ready.append(entry)
        else:
            self._failures[entry.key] = entry

    def _note(self, line: dict[str, Any]) -> None:
        match line:
            case {"tracker": _, "run": _}:
                self._first = line
            case {"number": number, "text": text}:
                self._texts[number] = text
            case {"key": key, "long": long}:
                self._long[key] = long
            case {"parent": parent}:
                self._parent, self._parent_sent = parent, True
            case {"sent": ids}:
                self._sent.update(ids)
            case {"done": number}:
                self._done.add(number)
            case {"end": end}:
                self._end = TrackedEnd(**end)

    @property
    def ended(self) -> bool:
        """Whether the run's end is known."""
        return self._end is not None

    @property
    def folder(self) -> str:
        """Where the run's program was started, to which relative places at the tracker refer; "" before it is known."""
        return str(self._first["folder"]) if self._first else ""

    def has_news(self) -> bool:
        """Return whether the journal has grown since it was read."""
        return self._journal.has_grown()

    @property
    def left(self) -> int:
        """How many configurations are still to be told, as far as is known."""
        return len(self._ready) + len(self._failures)

    @property
    def where(self) -> str:
        """Whom this tells, as the journal says it."""
        return str(self._tracker) if self._tracker is not None else "the tracker"

    # Telling

    def step(self) -> None:
        """Tell the next few things, and the end if nothing else is left.

        Raises:
            Exception: whatever the tracker raises; another call goes on from there.
        """
        if self._first is None:
            if self._store.is_over(self._run_id):  # it died before it had begun
                self._finish()
            return
        tracker = self._tracker = self._tracker or tracker_at(self._first["tracker"])
        parent = self._parent = self._parent or self._open(tracker)
        group = self._tellable()
        if group:
            again = {entry.id for entry in group if entry.id in self._sent}
            self._announce(group)
            for entry in group:
                self._tell(tracker, parent, entry, again=entry.id in again)
        if self._end is not None and not self._ready and not self._failures and self._store.is_over(self._run_id):
            tracker.close_run(parent, self._end)
            self._finish()

    def _open(self, tracker: Tracker) -> str:
        again = self._parent_sent
        if not again:
            self._journal.append({"parent": None}, sync=True)
            self._parent_sent = True
        parent = tracker.open_run(self._run(), again=again)
        self._journal.append({"parent": parent}, sync=True)
        return parent

    def _announce(self, group: Sequence[Entry]) -> None:
        new = [entry.id for entry in group if entry.id not in self._sent]
        if new:
            self._journal.append({"sent": new}, sync=True)
            self._sent.update(new)

    def _tell(self, tracker: Tracker, parent: str, entry: Entry, *, again: bool) -> None:
        configuration = self._configuration(entry)
        try:
            tracker.deliver(parent, self._run(), configuration, again=again)
        except TrackerRefusal as refusal:
            self.refusals.append(str(refusal))
        self._journal.append({"done": entry.id})
        self._done.add(entry.id)
        self._ready.remove(entry)
        self._long.pop(configuration.key, None)
        self.delivered += 1

    def _finish(self) -> None:
        self._journal.remove()
        self.finished = True

    # In the tracker's terms

    def _run(self) -> TrackedRun:
        assert self._first is not None
        names = ("run", "experiment", "started", "code", "commit", "script", "user")
        return TrackedRun(**{name: self._first[name] for name in names})

    def _configuration(self, entry: Entry) -> TrackedConfiguration:
        assert self._first is not None
        key = entry.key.hex()
        described = self._store.descriptions([entry.key]).get(entry.key)
        long = {name: self._texts[number] for name, number in self._long.get(key, {}).items()}
        texts = described_texts(described[1] if described else "{}", long)
        varying = [name for name in self._first["varying"] if name in texts]
        name = ", ".join(f"{each}={one_line(texts[each], LONGEST_IN_NAME)}" for each in varying) or key[:8]
        replicate = texts.pop("replicate", None)
        directory = self._store.artifact_path(entry.key, entry.run, entry.attempt)
        outcome = entry.outcome
        return TrackedConfiguration(
            key=key,
            name=name,
            outcome=outcome,
            parameters=texts,
            replicate=replicate,
            series=self._series(entry) if outcome.metrics.size else {},
            result=_numbers(payload.summary_of(outcome.summary)),
            directory=directory if directory.is_dir() else None,
        )

    def _series(self, entry: Entry) -> dict[str, payload.Points]:
        try:
            return payload.unpack_metrics(self._store.load(entry, "metrics"))
        except MementoError as error:  # damaged or evicted: the rest is told all the same
            self.refusals.append(str(error))
            return {}


def _numbers(summary: Any) -> dict[str, float]:
    """Return the numbers in a result, by name; a result that is a number is called "result"."""
    values = summary if isinstance(summary, dict) else {"result": summary}
    return {str(name): float(value) for name, value in values.items() if _fits_a_float(value)}


def _fits_a_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**1000)
