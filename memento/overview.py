"""What is in a store and what goes on over it, for somebody who only looks: nothing is changed, nothing unpickled.

ledger ─▶ newest outcome of each key ┐
spools ─▶ delivered, not taken in yet ┼─▶ per experiment and per run: stored, failed, running, waiting
claims ─▶ whose turn each key is      ┘
Slurm  ─▶ the jobs of the runs that go on there
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memento.executors.named import standing_of
from memento.protocols import JobStanding, RunStanding
from memento.store import Entry
from memento.store.survey import Record, survey
from memento.task import Outcome, Status

OVER, DIED = "over", "its process died"


@dataclass(kw_only=True, slots=True)
class Counts:
    """How many configurations stand how; `running` and `waiting` are claimed by a run that goes on."""

    stored: int = 0
    failed: int = 0
    cancelled: int = 0
    running: int = 0
    waiting: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    """Of the failed."""

    def add(self, outcome: Entry, failure: Outcome | None) -> None:
        """Count a configuration whose newest outcome is this; `failure` is it unpacked, None for a success."""
        if failure is None:
            self.stored += 1
        elif outcome.status is Status.CANCELLED:
            self.cancelled += 1
        else:
            self.failed += 1
            self.causes[failure.failure.cause if failure.failure else "unknown"] += 1


@dataclass(kw_only=True, slots=True)
class RunOverview:
    """One run: `state` says whether it goes on and where, `jobs` are those that it has in a cluster.

    `counts` are of what it gave itself, also where a later run has replaced that. If its process died, it went on until
    `ended` at least.
    """

    id: str
    experiment: str
    started: float
    ended: float | None
    about: dict[str, Any]
    state: str
    counts: Counts = field(default_factory=Counts)
    jobs: list[JobOverview] = field(default_factory=list)
    asked: bool = True
    """Whether the cluster answered."""

    @property
    def goes_on(self) -> bool:
        """Whether more may come of it by itself."""
        return self.state not in (OVER, DIED)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOverview:
    """A job of a run, and the texts of the configurations that run in it."""

    standing: JobStanding
    running: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureOverview:
    """A configuration whose newest outcome is a failure: of which experiment, its text, and the outcome."""

    experiment: str
    text: str
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """The store at `place`: its experiments by name, its runs and its failures, newest first.

    `newest` is what each key gave last, also where nobody has taken it into the ledger yet (its number is 0 then),
    `failures` are the first of `failed`; `damaged` counts what is not as it was written.
    """

    place: Path
    experiments: dict[str, Counts]
    runs: list[RunOverview]
    newest: dict[bytes, Entry]
    failures: list[FailureOverview]
    failed: int
    damaged: int


def overview(path: str | os.PathLike[str] | None = None, *, failures: int | None = None) -> Overview:
    """Return what is in the store at `path`, and what goes on over it; `failures` at most are described (None: all).

    Raises:
        StoreError: there is no store, or it cannot be read.

    Example:
        >>> from memento import open_store
        >>> open_store("a store").close()
        >>> overview("a store").experiments
        {}
    """
    with survey(path) as store:
        # The ledger after the folders: what leaves a folder is in the ledger by then.
        records = store.records()
        newest, given = store.everything()
        names = {record.id: record.experiment for record in records}
        jobs = _jobs(records)
        going = {record.id: _going_on(record, jobs, newest) for record in records}
        delivered = _delivered(records, going, newest)
        newest.update(delivered)
        given.update({(entry.run, key): entry for key, entry in delivered.items()})
        claimed = {key for keys in going.values() for key in keys}
        experiments: defaultdict[str, Counts] = defaultdict(Counts)
        runs = {record.id: _run(record, going[record.id], jobs) for record in records}
        bad: list[Outcome] = []
        for (run, _), entry in given.items():
            if run in runs:
                runs[run].counts.add(entry, _unsuccessful(entry))
        for key, entry in newest.items():
            outcome = _unsuccessful(entry)
            if key in claimed and outcome is not None:
                continue  # it is being tried again
            experiments[names.get(entry.run, "?")].add(entry, outcome)
            if outcome is not None and outcome.status is not Status.CANCELLED:
                bad.append(outcome)
        for one in runs.values():
            experiments[one.experiment].running += one.counts.running
            experiments[one.experiment].waiting += one.counts.waiting
        bad.sort(key=lambda outcome: outcome.started + outcome.runtime, reverse=True)
        texts = _Texts(store.sheets([run for run in names if jobs.get(run)] + [one.run for one in bad[:failures]]))
        for record in records:
            if record.id in jobs:
                runs[record.id].asked = jobs[record.id].asked
                runs[record.id].jobs = [
                    JobOverview(standing=job, running=[texts.of(record.id, task.index) for task in job.running])
                    for job in jobs[record.id].jobs
                ]
        return Overview(
            place=store.root if store.database.parent == store.root else store.database,
            experiments=dict(sorted(experiments.items())),
            runs=list(runs.values())[::-1],
            newest=newest,
            failures=[
                FailureOverview(experiment=names.get(one.run, "?"), text=texts.of(one.run, one.position), outcome=one)
                for one in bad[:failures]
            ],
            failed=len(bad),
            damaged=len(store.damaged),
        )


def _unsuccessful(entry: Entry) -> Outcome | None:
    return None if entry.ok else entry.outcome


def _jobs(records: Iterable[Record]) -> dict[bytes, RunStanding]:
    """Return how those runs stand whose work goes on in a cluster."""
    folders: defaultdict[str, dict[Path, bytes]] = defaultdict(dict)
    for record in records:
        if record.engine is not None and record.folder is not None:
            folders[record.engine][record.folder] = record.id
    return {
        runs[folder]: standing
        for engine, runs in folders.items()
        for folder, standing in standing_of(engine, runs).items()
    }


def _going_on(record: Record, jobs: dict[bytes, RunStanding], newest: dict[bytes, Entry]) -> set[bytes]:
    """Return the keys that a run is still to compute, as far as that is known."""
    done = set(record.delivered)
    # What it had claimed a moment ago may be stored by now.
    done.update(key for key in record.claimed if key in newest and _is_success_of(record.id, newest[key]))
    if record.id in jobs:
        open_in_jobs = {task.key for job in jobs[record.id].jobs for task in (*job.running, *job.waiting)} - done
        # Its process may be about to submit what is in no job yet, or again what has failed in one.
        return set(record.claimed & open_in_jobs) | (set(record.claimed - done) if record.alive else set())
    return set(record.claimed - done) if record.alive or record.engine is not None else set()


def _is_success_of(run: bytes, entry: Entry) -> bool:
    return entry.run == run and entry.ok


def _delivered(
    records: Iterable[Record], going: dict[bytes, set[bytes]], newest: dict[bytes, Entry]
) -> dict[bytes, Entry]:
    """Return the outcomes that nobody has taken into the ledger yet and that count more than what is there."""
    found: dict[bytes, Entry] = {}
    for record in records:
        for key, entry in record.delivered.items():
            stored = newest.get(key)
            if key not in going[record.id] and (stored is None or stored.head != entry.head):
                found[key] = entry
    return found


def _run(record: Record, going: set[bytes], jobs: dict[bytes, RunStanding]) -> RunOverview:
    run = RunOverview(
        id=record.id.hex(), experiment=record.experiment, started=record.started, ended=record.ended,
        about=record.about, state=_state(record),
    )  # fmt: skip
    if record.id in jobs:
        running = {task.key for job in jobs[record.id].jobs for task in job.running} & going
    else:
        # A process hands out a little ahead of what its workers can do.
        running = set(list(going)[: int(record.about.get("slots", len(going)))])
    run.counts.running, run.counts.waiting = len(running), len(going) - len(running)
    return run


def _state(record: Record) -> str:
    if record.died:
        return DIED
    if record.ended is not None:
        return OVER
    if record.alive:
        return "goes on" if record.engine is None else f"goes on in {record.engine}"
    return f"left in {record.engine}"


class _Texts:
    """The texts of configurations by run and position, out of the runs' sheets."""

    def __init__(self, sheets: dict[bytes, Any]) -> None:
        self._sheets = sheets

    def of(self, run: bytes, position: int) -> str:
        """Return the text of a configuration, "?" where none was kept."""
        sheet = self._sheets.get(run)
        return (sheet.describe(position) if sheet is not None else None) or "?"
