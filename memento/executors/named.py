"""From the name of an executor to the executor, and from what one left in a run's folder to who follows or shows it.

Other packages add names by entry points of the group `memento.executors`: each leads to a callable that takes the
number of workers, or None where the user gave none, and returns an executor.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from memento.errors import OptionError
from memento.executors.processes.executor import ProcessExecutor
from memento.executors.serial import SerialExecutor
from memento.executors.threads import ThreadExecutor
from memento.given import one_of
from memento.layout import REMOTE
from memento.protocols import Executor, RunStanding, Watch

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

NAMES = ("processes", "threads", "serial", "slurm", "dask", "ray")
GROUP = "memento.executors"


def check_name(name: str) -> None:
    """Refuse a name that neither is one of ours nor was added by another package.

    Raises:
        OptionError: with the nearest known name.
    """
    if name not in NAMES:
        one_of("executor", name, (*NAMES, *sorted(_added())))


def _added() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # which takes longer than all the rest

    return {point.name: point for point in entry_points(group=GROUP)}


def _from_elsewhere(name: str, workers: int | None) -> Executor:
    point = _added()[name]
    try:
        made = point.load()(workers)
    except Exception as error:
        raise OptionError(
            f"executor={name!r} is {point.value}, added by another package, and could not be made: "
            f"{type(error).__name__}: {error}",
            option="executor",
            value=name,
        ) from error
    if not isinstance(made, Executor):
        raise OptionError(
            f"executor={name!r}: {point.value} gave {made!r}, which has not the methods of memento.protocols.Executor",
            option="executor",
            value=name,
        )
    return made


def executor_named(name: str, workers: int | None) -> Executor:
    """Return a new executor of this name; without `workers` it has one for each CPU this process may use.

    Raises:
        OptionError: another package added the name, and what it names cannot be made.
        MissingExtra: the engine is not installed.
    """
    if name not in NAMES:
        return _from_elsewhere(name, workers)
    if name == "dask":
        from memento.executors.dask import DaskExecutor

        return DaskExecutor(workers=workers)
    if name == "ray":
        from memento.executors.ray import RayExecutor

        return RayExecutor(workers=workers)
    if name == "serial":
        return SerialExecutor()
    if name == "slurm":
        from memento.executors.slurm import SlurmExecutor  # whoever has no cluster need not load it

        return SlurmExecutor(workers=workers or 1)
    return ThreadExecutor(workers) if name == "threads" else ProcessExecutor(workers)


def prepare(executor: Executor) -> None:
    """Have `executor` begin with what takes a while and needs no job, where it has such."""
    begin = getattr(executor, "prepare", None)
    if begin is not None:
        begin()


def watch_over(folder: Path) -> Watch | None:
    """Return who follows the work that was left in the run's `folder`, None where its engine cannot be asked here."""
    if (folder / REMOTE).read_text() != "slurm":
        return None
    from memento.executors.slurm.tracking import watch

    return watch(folder)


def standing_of(engine: str, folders: Iterable[Path]) -> dict[Path, RunStanding]:
    """Return how the runs in `folders` stand that go on by `engine`; nothing is changed. Empty for an unknown one."""
    if engine != "slurm":
        return {}
    from memento.executors.slurm.job_status import standing

    return standing(folders)
