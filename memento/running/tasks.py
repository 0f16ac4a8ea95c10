"""Rows of a plan as tasks: which configuration, which attempt, and what its matrix says of how to run it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from memento.matrix.block import Block
from memento.matrix.configurations import Configurations
from memento.matrix.runtime import seconds_of
from memento.plan import Plan
from memento.task import Task


class Tasks:
    """Makes the tasks of `plan`, in the order of its rows or in any other.

    Args:
        configurations: what the rows of the plan are of.
        plan: what is to be run.
        timeout: seconds that each experiment may take, where its matrix says nothing else counts.
        limited: whether `runtime["time"]` ends an experiment, as it does where it is not the time of a batch job.
    """

    def __init__(
        self, configurations: Configurations, plan: Plan, *, timeout: float | None = None, limited: bool = True
    ) -> None:
        self._space, self._positions, self._keys = configurations.space, configurations.positions, plan.keys
        self._whole = len(self._positions) == self._space.size  # then each is at the position of its row
        self._timeout, self._limited = timeout, limited
        self._shapes: dict[int, tuple[float | None, int, float | None]] = {}

    def of(self, row: int, attempt: int = 1) -> Task:
        """Return the task that is the given attempt at `row`."""
        position = self._positions[row]
        return Task(position, self._keys[row], attempt, *self._shape(self._space.locate(position)[0]))

    def first(self, rows: Sequence[int]) -> list[Task]:
        """Return the tasks that are the first attempts at `rows`, for a fraction of what they take one by one."""
        if len(self._space.blocks) > 1:
            return [self.of(row) for row in rows]
        positions = rows if self._whole else [self._positions[row] for row in rows]
        shape = map(repeat, self._shape(self._space.blocks[0]))
        fields = zip(positions, map(self._keys.__getitem__, rows), repeat(1), *shape, strict=False)
        return list(map(tuple.__new__, repeat(Task), fields))

    def _shape(self, block: Block) -> tuple[float | None, int, float | None]:
        """Return how long an experiment of `block` may take, how many processors it occupies, how many devices."""
        shape = self._shapes.get(id(block))
        if shape is None:
            runtime = block.runtime
            limit = seconds_of(runtime["time"]) if "time" in runtime and self._limited else None
            shape = self._shapes[id(block)] = self._timeout or limit, runtime.get("cpus", 1), runtime.get("gpus")
        return shape
