"""Where experiments run: here one after another, in threads, or in worker processes."""

from __future__ import annotations

from memento.executors.processes import ProcessExecutor
from memento.executors.processes.executor import usable_cpus
from memento.executors.serial import SerialExecutor
from memento.executors.threads import ThreadExecutor
from memento.protocols import Executor

NAMES = ("processes", "threads", "serial")


def executor_named(name: str, workers: int | None) -> Executor:
    """Return a new executor of one of `NAMES`; without `workers` it has one for each CPU this process may use."""
    if name == "serial":
        return SerialExecutor()
    count = workers or usable_cpus()
    return ThreadExecutor(count) if name == "threads" else ProcessExecutor(count)
