"""Which of the results that are stored count: those of today's code, or of whatever code, and never a namesake's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from memento import checkpoints
from memento.entry import Entry, Row
from memento.experiment import Experiment
from memento.hashing.origin import is_another_file, seen_from


class Finder(Protocol):
    """What a plan asks of a store."""

    @property
    def root(self) -> Path:
        """Its folder."""
        ...

    def newest(self) -> int:
        """Return the number of the newest stored outcome."""
        ...

    def find_rows(self, keys: Sequence[bytes]) -> Mapping[bytes, Row]:
        """Return the newest success, else the newest outcome, of each of `keys` that has any."""
        ...

    def newest_that(self, keys: Sequence[bytes], counts: Callable[[Entry], bool]) -> Mapping[bytes, Row]:
        """Return, for each of `keys` that has any, the newest success that `counts`."""
        ...

    def code_of(self, runs: Iterable[bytes]) -> Mapping[bytes, Mapping[str, str]]:
        """Return the code fingerprint with which each of `runs` computed."""
        ...

    def about_of(self, runs: Iterable[bytes]) -> Mapping[bytes, Mapping[str, Any]]:
        """Return the further facts that were recorded with each of `runs`."""
        ...


class Validity:
    """Which stored successes count for a run, whoever computed them and whenever.

    All do, except: those of a namesake, which is other code, in another file that exists beside today's and has its
    name; with `force_run` those that were stored before the run looked; with `rerun` those that another code than
    today's computed. What other runs store meanwhile is judged by the same rule, so that runs at once share the work
    also where everything is computed anew.

    Attributes:
        namesakes: the files of the runs, of those looked at so far, that computed a namesake.
        unknown: those runs of which no code is recorded, or the record is damaged.
    """

    def __init__(self, store: Finder, experiment: Experiment, *, newest: int, force_run: bool, rerun: bool) -> None:
        self._store, self._experiment = store, experiment
        self._newest, self._force_run, self._rerun = newest, force_run, rerun
        self._looked = time.time()
        self._changed: dict[bytes, tuple[str, ...]] = {}
        self.namesakes: dict[bytes, str] = {}
        self.unknown: set[bytes] = set()

    def counts(self, entry: Entry) -> bool:
        """Return whether `entry`, a success, is a result that need not be computed any more."""
        if self._force_run and not self.is_newer(entry):
            return False
        return self.is_of_today(entry) if self._rerun else self.is_own(entry)

    def goes_on_from(self, checkpoint: checkpoints.About) -> bool:
        """Return whether `checkpoint`, which this experiment made, is gone on from; judged as results are."""
        # By two clocks where a file server has its own: it hardly matters by how little an older one is older.
        if self._force_run and checkpoint.made < self._looked:
            return False
        return not (self._rerun and self.changed_since(checkpoint))

    def changed_since(self, checkpoint: checkpoints.About) -> tuple[str, ...]:
        """Return the names of the functions in which the code that began `checkpoint` differs from today's."""
        run = checkpoint.run
        return () if run == checkpoints.UNKNOWN else self.changed_in([run])[run]

    def is_own(self, entry: Entry) -> bool:
        """Return whether this experiment computed `entry`, with whatever code, rather than a namesake."""
        self.changed_in([entry.run])
        return entry.run not in self.namesakes

    def is_of_today(self, entry: Entry) -> bool:
        """Return whether the code that computed `entry` is today's."""
        return not self.changed_in([entry.run])[entry.run]

    def is_newer(self, entry: Entry) -> bool:
        """Return whether `entry` was stored since the run looked for what is stored."""
        return entry.id > self._newest

    def changed_in(self, runs: Iterable[bytes]) -> dict[bytes, tuple[str, ...]]:
        """Return the names of the functions in which the code of each of `runs` differs from today's."""
        asked = set(runs)
        new = asked - self._changed.keys()
        if new:
            codes = self._store.code_of(new)
            self.unknown.update(run for run, code in codes.items() if not code)
            for run, code in codes.items():
                self._changed[run] = self._experiment.changed_since(dict(code))
            self._look_for_namesakes([run for run in codes if self._changed[run]])
        return {run: self._changed[run] for run in asked}

    def _look_for_namesakes(self, runs: Sequence[bytes]) -> None:
        for run, about in self._store.about_of(runs).items() if runs else ():
            file = seen_from(self._store.root, about.get("file"))
            if is_another_file(file, self._experiment.file):
                self.namesakes[run] = file
