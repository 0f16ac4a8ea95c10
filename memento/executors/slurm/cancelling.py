"""Ending exactly the jobs of one run: found by their tags, because an id alone may be somebody else's by now."""

from __future__ import annotations

import time

from memento.errors import SlurmError
from memento.executors.slurm import commands
from memento.executors.slurm.verdict import is_over

ASKINGS = 3
PAUSE = 3.0  # between two questions: the controller has others to serve
# Jobs that were cancelled get so long to be gone.
GOING = 15.0


def jobs_of(run: str) -> list[str]:
    """Return the ids of the jobs of `run` (hex) that are not over.

    Raises:
        SlurmError: Slurm does not say.
    """
    for _ in range(ASKINGS):
        answer = commands.queue()
        if answer is not None:
            tagged = (state for state in answer if state.tag.startswith(f"memento:{run}:"))
            return sorted({state.job for state in tagged if not is_over(state)})
        time.sleep(PAUSE)
    raise SlurmError(
        "squeue does not answer, so the jobs of this run are not known and were left as they are", command="squeue"
    )


def cancel_waiting(run: str) -> None:
    """Cancel the jobs of `run` that have not begun."""
    commands.cancel(jobs_of(run), "--state=PENDING")


def cancel_all(run: str) -> None:
    """Cancel the jobs of `run`, and wait until they are gone, or nearly."""
    commands.cancel(jobs_of(run))
    until = time.monotonic() + GOING
    time.sleep(PAUSE)
    while jobs_of(run) and time.monotonic() < until:
        time.sleep(PAUSE)
