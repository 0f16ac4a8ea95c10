"""From the name of an executor to the executor, and from what one left in a run's folder to who follows it."""

from __future__ import annotations

from pathlib import Path

from memento.executors.processes.crew import usable_cpus
from memento.executors.processes.executor import ProcessExecutor
from memento.executors.serial import SerialExecutor
from memento.executors.threads import ThreadExecutor
from memento.layout import REMOTE
from memento.protocols import Executor, Watch

NAMES = ("processes", "threads", "serial", "slurm")


def executor_named(name: str, workers: int | None) -> Executor:
    """Return a new executor of one of `NAMES`; without `workers` it has one for each CPU this process may use."""
    if name == "serial":
        return SerialExecutor()
    if name == "slurm":
        from memento.executors.slurm import SlurmExecutor  # whoever has no cluster need not load it

        return SlurmExecutor(workers=workers or 1)
    count = workers or usable_cpus()
    return ThreadExecutor(count) if name == "threads" else ProcessExecutor(count)


def watch_over(folder: Path) -> Watch | None:
    """Return who follows the work that was left in the run's `folder`, None where its engine cannot be asked here."""
    if (folder / REMOTE).read_text() != "slurm":
        return None
    from memento.executors.slurm.watching import watch

    return watch(folder)
