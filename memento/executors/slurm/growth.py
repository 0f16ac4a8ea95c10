"""How much more memory and time configurations are given that had too little before."""

from __future__ import annotations

from dataclasses import replace

from memento.executors.slurm import commands
from memento.executors.slurm.resources import Resources
from memento.task import Task

# So much of a job's time is an experiment's for certain: there is its start, and up to a quarter of it is the warning.
CERTAIN = 0.7


class Growth:
    """Remembers by key what ran out; each time there is `factor` times as much of it."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._by_key: dict[bytes, tuple[float, float]] = {}
        self._causes: dict[bytes, str] = {}

    def learn(self, key: bytes, cause: str) -> None:
        """Take note of why an attempt at `key` failed."""
        memory, time = self._by_key.get(key, (1.0, 1.0))
        if cause in ("memory", "timeout"):
            self._causes[key] = cause
        if cause == "memory":
            self._by_key[key] = memory * self._factor, time
        elif cause == "timeout":
            self._by_key[key] = memory, time * self._factor

    def cause_of(self, key: bytes) -> str:
        """Return of what `key` has had too little, as a cause: "memory" or "timeout"; empty where of neither."""
        return self._causes.get(key, "")

    def applied(self, resources: Resources, task: Task, granted: dict[str, float]) -> tuple[Resources, Task]:
        """Return what the job of `task` needs now, and `task` with the time it may take now.

        A job has more time only as far as `task` can use it and the partition grants it. `granted` is what those jobs
        had that did not ask.
        """
        memory, time = self._by_key.get(task.key, (1.0, 1.0))
        task = task if task.timeout is None else task._replace(timeout=task.timeout * time)
        grown = resources.grown(granted, memory=memory, time=time)
        if time != 1.0 and grown.time is not None:
            before = granted["time"] if resources.time is None else resources.time
            usable = grown.time if task.timeout is None else min(grown.time, task.timeout / CERTAIN)
            # Never less than before, which the user said, or the cluster.
            grown = replace(grown, time=max(before, min(usable, commands.longest_time(resources.partition))))
        return grown, task
