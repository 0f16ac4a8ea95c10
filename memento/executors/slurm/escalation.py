"""How much more memory and time configurations are given that had too little before."""

from __future__ import annotations

from dataclasses import replace

from memento.executors.slurm import commands
from memento.executors.slurm.resources import Resources
from memento.task import Failure, Task

# So much of a job's time is an experiment's for certain: there is its start, and up to a quarter of it is the warning.
CERTAIN = 0.7
# What had so small a part of what is asked for now had less: Slurm rounds, and a job's start takes of its time.
CERTAINLY_LESS = 0.9


class Escalation:
    """Remembers by key what ran out; each time there is `factor` times as much of it."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._by_key: dict[bytes, tuple[float, float]] = {}
        self._causes: dict[bytes, str] = {}
        self._elsewhere: dict[bytes, Failure] = {}

    def learn(self, key: bytes, cause: str) -> None:
        """Take note of why an attempt at `key` failed."""
        memory, time = self._by_key.get(key, (1.0, 1.0))
        if cause in ("memory", "timeout"):
            self._causes[key] = cause
        if cause == "memory":
            self._by_key[key] = memory * self._factor, time
        elif cause == "timeout":
            self._by_key[key] = memory, time * self._factor

    def learn_from_another(self, key: bytes, failure: Failure) -> None:
        """Take note of how the last attempt at `key` failed, in another run: the next one here goes on from there."""
        self._elsewhere[key] = failure

    def cause_of(self, key: bytes) -> str:
        """Return of what `key` has had too little, as a cause: "memory" or "timeout"; empty where of neither."""
        return self._causes.get(key, "")

    def applied(self, resources: Resources, task: Task, granted: dict[str, float]) -> tuple[Resources, Task]:
        """Return what the job of `task` needs now, and `task` with the time it may take now.

        A job has more time only as far as `task` can use it and the partition grants it. `granted` is what those jobs
        had that did not ask.
        """
        failure = self._elsewhere.pop(task.key, None)
        if failure is not None and failure.cause in ("memory", "timeout"):
            granted = self._go_on(resources, task, failure, granted)
        memory, time = self._by_key.get(task.key, (1.0, 1.0))
        task = task if task.timeout is None else task._replace(timeout=task.timeout * time)
        grown = resources.grown(granted, memory=memory, time=time)
        if time != 1.0 and grown.time is not None:
            before = granted["time"] if resources.time is None else resources.time
            usable = grown.time if task.timeout is None else min(grown.time, task.timeout / CERTAIN)
            # Never less than before, which the user said, or the cluster.
            grown = replace(grown, time=max(before, min(usable, commands.longest_time(resources.partition))))
        return grown, task

    def _go_on(self, resources: Resources, task: Task, failure: Failure, granted: dict[str, float]) -> dict[str, float]:
        """Let `task` have more than at `failure`, unless that much is asked for by now; return what had not asked."""
        asked = resources.of_one if failure.cause == "memory" else least(task.timeout, resources.time)
        times = 1.0 if asked is None or failure.limit is None else failure.limit / asked
        if times >= CERTAINLY_LESS:
            same = max(1.0, times)
            self._by_key[task.key] = (same, 1.0) if failure.cause == "memory" else (1.0, same)
            self.learn(task.key, failure.cause)
        if asked is None and failure.limit is not None:
            limits = {"memory": failure.limit / task.cpus} if failure.cause == "memory" else {"time": failure.limit}
            return {**granted, **limits}
        return granted


def limit_of(task: Task, cause: str, *, memory: float | None, time: float | None) -> float | None:
    """Return how much an attempt at `task` had of what ran out, by its `cause`: bytes or seconds, None: not known.

    `memory` is what its job had for each configuration, `time` is how long that could run.
    """
    return memory if cause == "memory" else least(task.timeout, time) if cause == "timeout" else None


def least(*values: float | None) -> float | None:
    """Return the smallest of those that are known."""
    return min((value for value in values if value is not None), default=None)
