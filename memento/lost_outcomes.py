"""The outcome of an experiment whose worker could not give one."""

from __future__ import annotations

import socket
from pathlib import Path

from memento.part_writer import PartWriter
from memento.protocols import Lost
from memento.task import Outcome


def outcome_of(lost: Lost, root: Path, run: bytes) -> Outcome:
    """Return the outcome of an experiment whose worker could not give one, with what it left behind."""
    task = lost.task
    parts = PartWriter(root, task.key, run, task.attempt)
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
        metrics=parts.keep("metrics", [lost.metrics]),
        log=parts.keep("log", [lost.log]),
    )
