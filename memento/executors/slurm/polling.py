"""What Slurm says of the jobs of one run: one question for all of them, and not more often than need be.

squeue is asked first, and the accounting for what squeue has forgotten. Where there is no accounting, squeue is asked
before it can forget.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from memento.executors.slurm import commands
from memento.executors.slurm.batch import batch_of, id_of, keep_id, tag_parts
from memento.executors.slurm.commands import JobState
from memento.executors.slurm.job_parts import JobPart, Place
from memento.executors.slurm.verdict import is_over

# Slurm is asked at these intervals: the first, how they grow while nothing changes, the longest.
FIRST, GROWTH, LONGEST = 3.0, 1.3, 60.0


class Polling:
    """Asks after the jobs of `run` (hex), whose folder is `folder`."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder, self._run = folder, run
        self._interval = FIRST
        self._asked = 0.0

    def are_due(self) -> bool:
        """Return whether it is time to ask again."""
        return time.monotonic() - self._asked >= self._interval

    def hurry(self, interval: float = FIRST) -> None:
        """Ask again after `interval` seconds at most: something is about to change."""
        self._interval = min(self._interval, interval)

    def ask(self, parts: Mapping[Place, JobPart]) -> dict[Place, JobState] | None:
        """Return what Slurm says of `parts`, those left out of which it knows nothing; None when it does not answer."""
        self._interval = min(LONGEST, self._interval * GROWTH)
        answer = commands.queue()
        self._asked = time.monotonic()  # a controller that is gone takes nine seconds to say so
        if answer is None:
            return None
        # Whoever is asked for less time than it remembers has nothing to forget.
        self._interval = max(FIRST, min(self._interval, commands.remembered() / 2))
        seen = queued(self._run, answer)
        for number, job in {place[0]: state.job for place, state in seen.items()}.items():
            self._learn_id(number, job)
        if any(state.state == "COMPLETING" for state in seen.values()):
            self.hurry()  # it will be over soon, and then be forgotten
        missing = [part for place, part in parts.items() if place not in seen and part.open]
        return {**seen, **recorded(self._folder, missing)}

    def _learn_id(self, number: int, job: str) -> None:
        """Keep the id of a job whose submitter died, or lost patience, before it was told."""
        if batch_of(self._folder, number).exists() and id_of(self._folder, number) is None:
            keep_id(self._folder, number, job)


def queued(run: str, answer: Iterable[JobState]) -> dict[Place, JobState]:
    """Return what squeue's `answer` says of the jobs of `run` (hex)."""
    seen: dict[Place, JobState] = {}
    for state in answer:
        tag = tag_parts(state.tag)
        if tag is not None and tag[0] == run:
            place = tag[1], state.index or 0
            # Of two with one tag the one that goes on counts.
            if place not in seen or is_over(seen[place]):
                seen[place] = state
    return seen


def recorded(folder: Path, missing: Sequence[JobPart]) -> dict[Place, JobState]:
    """Return how those jobs of the run in `folder` ended that squeue has forgotten, as far as the accounting knows."""
    jobs = {number: id_of(folder, number) for number in {part.batch.number for part in missing}}
    numbers = {job: number for number, job in jobs.items() if job is not None}
    if not numbers:
        return {}
    found: dict[Place, JobState] = {}
    for state in commands.accounted(sorted(numbers)) or ():
        # An id may have been another job's, before a controller forgot its last seconds.
        if state.folder == str(folder):
            found[numbers[state.job], state.index or 0] = state
    places = {(part.batch.number, part.index) for part in missing}
    return {place: state for place, state in found.items() if place in places and is_over(state)}
