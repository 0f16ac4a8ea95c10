"""Hears a run, and has it told to its trackers by a courier, a process of its own.

    run's thread                                  courier
    RunRegistered ──▶ begin the journals ─────▶   reads journals and ledger, tells the servers
    Succeeded, Failed ──▶ texts that are long     …
    RunFinished ──▶ the end ──────────────────▶   ends the runs at the servers, ends itself

Guarantees: nothing here waits for a server before `close`, which waits for at most the trackers' patience; the courier
shares no lock, no interpreter, no environment and no output with the run, so no tracker can slow or stop it; whatever
dies, journals and ledger have what is needed to go on, by the next run or by `sync`.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memento.events import Event, Failed, RunFinished, RunProgressed, RunRegistered, RunStarted, Succeeded
from memento.experiment import Experiment
from memento.matrix.configurations import Configurations
from memento.tracking.base import Tracker
from memento.tracking.commit import commit_of, script
from memento.tracking.courier_process import CourierProcess
from memento.tracking.journal import Journal, is_free, journals_in
from memento.tracking.texts import is_shortened, may_be_shortened, whole_text
from memento.user_warnings import report
from memento.wording import one_line


class TrackingListener:
    """A `Listener` that has `trackers` told of the run of `configurations`.

    Args:
        trackers: whom to tell.
        root: the store's folder.
        ledger: the store's ledger.
        configurations: what is run.
        experiment: whose configurations they are.
    """

    def __init__(
        self,
        trackers: Sequence[Tracker],
        *,
        root: Path,
        ledger: Path,
        configurations: Configurations,
        experiment: Experiment,
    ) -> None:
        self._trackers = list(trackers)
        self._root, self._ledger = root, ledger
        self._varying = configurations.varying
        self._experiment = experiment
        self._journals: list[Journal] = []
        self._texts: dict[bytes, int] = {}
        self._errand: CourierProcess | None = None
        self._reported = False
        self._hears: tuple[type[Event], ...] = (RunStarted, RunRegistered, RunProgressed, RunFinished)
        if may_be_shortened(configurations):
            self._hears += (Succeeded, Failed)

    @property
    def hears(self) -> tuple[type[Event], ...]:
        """The types of events it wants; single experiments only where the ledger shortens their values."""
        return self._hears

    def handle(self, event: Event) -> None:
        """Take note of `event`; a disk that fails ends the tracking of this run, and is reported."""
        try:
            match event:
                case RunRegistered():
                    self._begin(event.run)
                case Succeeded() | Failed() if self._journals:
                    self._note_texts(event)
                case RunFinished():
                    self._end(event)
                case RunProgressed() if self._errand is not None:
                    self._report(self._errand.problem())
        except Exception:
            if self._errand is not None:
                self._errand.finish(0.0)  # `close` follows at once, while the run goes on
            raise

    def close(self) -> None:
        """Wait until the courier is done, for at most the trackers' patience."""
        if self._errand is not None:
            self._report(self._errand.finish(max(tracker.patience for tracker in self._trackers)))

    def _begin(self, run: str) -> None:
        program = script()
        first = {
            "run": run,
            "experiment": self._experiment.name,
            "started": time.time(),
            "code": _digest_of(self._experiment.code),
            "commit": commit_of(Path(program).parent if program else Path.cwd()),
            "script": program,
            "user": _user(),
            "folder": str(Path.cwd()),
            "varying": list(self._varying),
            "texts": Succeeded in self._hears,
        }
        for number, tracker in enumerate(self._trackers):
            self._journals.append(Journal.begin(self._root, run, number, {**first, "tracker": dict(tracker.address())}))
        self._errand = CourierProcess(self._ledger, run=run)

    def _note_texts(self, event: Succeeded | Failed) -> None:
        if isinstance(event, Failed) and event.will_retry:
            return
        config = event.config
        values = [*config.asdict().items(), *((_place(name, config), one) for name, one in config.settings.items())]
        long = {name: self._number_of(whole_text(value)) for name, value in values if is_shortened(value)}
        for journal in self._journals:
            journal.append({"key": event.key, "long": long})

    def _number_of(self, text: str) -> int:
        """Return the number by which the journals know `text`: what many configurations share is written once."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
        if digest not in self._texts:
            self._texts[digest] = len(self._texts)
            for journal in self._journals:
                journal.append({"number": self._texts[digest], "text": text})
        return self._texts[digest]

    def _end(self, event: RunFinished) -> None:
        counts = event.counts
        status = "killed" if event.interrupted else "failed" if counts.failed or event.stopped else "finished"
        numbers = {"succeeded": counts.succeeded, "failed": counts.failed, "cancelled": counts.cancelled}
        numbers |= {"total": counts.total, "stored": counts.stored}
        for journal in self._journals:
            journal.append({"end": {"status": status, "ended": time.time(), "counts": numbers}})
        # What an earlier run left behind, which might have been killed after its last experiment.
        if self._errand is None and any(is_free(path) for path in journals_in(self._root)):
            self._errand = CourierProcess(self._ledger)

    def _report(self, problem: str | None) -> None:
        if problem is None or self._reported:
            return
        self._reported = True
        store = self._root if self._ledger.parent == self._root else self._ledger
        report(
            f"not everything could be told to the trackers: {one_line(problem, 500)}; what is missing is kept in the "
            f"store, and is delivered by the next run or by: memento sync {store} "
            "(further problems of this run's trackers are not reported)"
        )


def _digest_of(code: Any) -> str:
    """Return one digest of an experiment's code; "" where none is known."""
    return hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()[:16] if code else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""


def _place(name: str, config: Any) -> str:
    return f"settings.{name}" if name in config else name
