"""How much more memory and time configurations are given that had too little before."""

from __future__ import annotations

from memento.executors.slurm.resources import Resources
from memento.task import Task


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

        `granted` is what jobs had that did not ask.
        """
        memory, time = self._by_key.get(task.key, (1.0, 1.0))
        task = task if task.timeout is None else task._replace(timeout=task.timeout * time)
        return resources.grown(granted, memory=memory, time=time), task
