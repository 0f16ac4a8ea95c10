"""The outcome of an experiment whose worker could not give one."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

from memento.layout import blob_path
from memento.protocols import Lost
from memento.task import EMPTY_PART, Outcome, Part
from memento.worker import keep


def outcome_of(lost: Lost, root: Path, run: bytes) -> Outcome:
    """Return the outcome of an experiment whose worker could not give one, with what it left behind."""
    task = lost.task

    def kept(name: str, data: bytes) -> Part:
        place = partial(blob_path, root, task.key, run, task.attempt, name)
        return keep(place, 1, [data]) if data else EMPTY_PART

    return Outcome(
        key=task.key,
        run=run,
        attempt=task.attempt,
        status=lost.status,
        started=lost.started,
        runtime=lost.runtime,
        position=task.index,
        host=lost.host or socket.gethostname(),
        failure=lost.failure,
        metrics=kept("metrics", lost.metrics),
        log=kept("log", lost.log),
    )
