"""Drives an executor as a run does, and collects what it gives."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from memento import payload
from memento.heads import unpack_head
from memento.job import Call, Job
from memento.protocols import Delivered, Executor, Lost, Returned
from memento.task import Failure, Outcome, Task
from tests.executors.experiments import Numbers


def key_of(index: int) -> bytes:
    """Return a key for `index`."""
    return hashlib.sha256(b"%d" % index).digest()[:16]


@dataclass
class Gathered:
    """What came back, by index."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    lost: dict[int, Lost] = field(default_factory=dict)
    seen: list[int] = field(default_factory=list)
    returned: list[int] = field(default_factory=list)

    def values(self) -> dict[int, Any]:
        """Return what the successful ones returned."""
        return {
            index: payload.decode(outcome.value.codec, outcome.value.data or b"", outcome.summary)
            for index, outcome in sorted(self.outcomes.items())
            if outcome.status.ok
        }

    def failure(self, index: int) -> Failure:
        """Return why `index` failed."""
        failure = self.lost[index].failure if index in self.lost else self.outcomes[index].failure
        assert failure is not None
        return failure


def make_job(folder: Path, experiment: Callable[..., Any]) -> Job:
    """Return a job whose store and spool lie below `folder`."""
    spool = folder / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    return Job(
        run=b"r" * 8,
        experiment=experiment,
        configurations=Numbers(),
        call=Call(),
        store=str(folder),
        spool=str(spool),
        working_directory=os.getcwd(),
        import_path=tuple(sys.path),
    )


def gather(executor: Executor, indices: dict[bytes, int], into: Gathered, until: int, patience: float = 60) -> Gathered:
    """Wait until `until` tasks have come back."""
    deadline = time.monotonic() + patience
    while len(into.seen) < until:
        assert time.monotonic() < deadline, f"only {len(into.seen)} of {until} came back: {sorted(into.seen)}"
        take(executor.wait(0.1), indices, into)
    return into


def take(reports: Any, indices: dict[bytes, int], into: Gathered) -> None:
    """Sort `reports` into what came back."""
    for report in reports:
        if isinstance(report, Delivered):
            for head, bodies in report.frames:
                outcome = unpack_head(head, bodies)
                into.outcomes[indices[outcome.key]] = outcome
                into.seen.append(indices[outcome.key])
        elif isinstance(report, Lost):
            into.lost[report.task.index] = report
            into.seen.append(report.task.index)
        elif isinstance(report, Returned):
            into.returned.append(report.task.index)


def run(
    executor: Executor, folder: Path, experiment: Callable[..., Any], count: int, patience: float = 60, **task: Any
) -> Gathered:
    """Run `count` tasks and return what came back."""
    executor.start(make_job(folder, experiment))
    executor.submit([Task(index=index, key=key_of(index), **task) for index in range(count)])
    return gather(executor, {key_of(index): index for index in range(count)}, Gathered(), count, patience)


def until(true: Callable[[], Any], patience: float = 60.0) -> None:
    """Wait until it is `true`."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
