"""How the jobs of a run stand, for somebody who only looks: told by the run's folder, and by Slurm where it answers."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from memento.errors import SlurmError
from memento.executors.slurm import commands
from memento.executors.slurm.batch import job_name
from memento.executors.slurm.commands import JobState
from memento.executors.slurm.job_parts import JobPart, JobParts
from memento.executors.slurm.polling import queued, recorded
from memento.executors.slurm.verdict import is_over
from memento.protocols import JobStanding, RunStanding

UNSUBMITTED = "NOT SUBMITTED"


def standing(folders: Iterable[Path]) -> dict[Path, RunStanding]:
    """Return how the runs in `folders` stand; Slurm is asked once for all, and once more for what it has forgotten."""
    answer = _queue()
    found: dict[Path, RunStanding] = {}
    for folder in folders:
        with suppress(FileNotFoundError):  # it is over, as of just now
            found[folder] = _of(folder, answer)
    return found


def _queue() -> list[JobState] | None:
    try:
        return commands.queue()
    except SlurmError:  # this machine has no Slurm
        return None


def _of(folder: Path, answer: list[JobState] | None) -> RunStanding:
    parts = JobParts(folder)
    sizes = {place: len(part.open) for place, part in parts.items()}
    parts.read()
    seen = queued(folder.name, answer or ())
    if answer is not None:
        seen |= recorded(folder, [part for place, part in parts.items() if place not in seen and part.open])
    jobs = [
        _job(folder, part, sizes[place], seen.get(place), asked=answer is not None) for place, part in parts.items()
    ]
    return RunStanding(asked=answer is not None, jobs=jobs)


def _job(folder: Path, part: JobPart, size: int, state: JobState | None, *, asked: bool) -> JobStanding:
    job = job_name(state.job, part.index) if state is not None else part.job(folder)
    # What had begun in a job that is over is waiting for whoever takes note of that.
    begun = part.begun.keys() if state is None or not is_over(state) else ()
    return JobStanding(
        job=job or "",
        node=(state.node if state is not None else "") or part.node,
        state=state.state if state is not None else _known(part, job, asked=asked),
        exit=state.exit if state is not None and state.exit != "0:0" else "",
        running=[task for key, task in part.open.items() if key in begun],
        waiting=[task for key, task in part.open.items() if key not in begun],
        done=size - len(part.open),
    )


def _known(part: JobPart, job: str | None, *, asked: bool) -> str:
    """Return what can be said of a job of which Slurm says nothing."""
    if not part.open:
        return "DELIVERED"
    if job is None:
        return UNSUBMITTED
    return "VANISHED" if asked else "?"
