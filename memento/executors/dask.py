"""Experiments in the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memento.errors import OptionError
from memento.executors.engines.executor import BatchExecutor
from memento.task import Task


class DaskExecutor(BatchExecutor):
    """Runs experiments in the workers of a Dask cluster, each in a process of its own there.

    Args:
        cluster: the address of a scheduler ("tcp://…"), a `distributed.Client`, a cluster of Dask's (`LocalCluster`,
            those of dask-jobqueue, anything with a `scheduler_address`), or None for one on this machine. A client or a
            cluster that is passed in stays open.
        workers: how many experiments are to run at once, in a cluster on this machine by default one for each CPU, in
            another as many as its workers have threads. Give the most that one may grow to whose workers come when
            there is a queue; of a cluster that is passed in after its ``adapt(…)`` this is known.
        shared: whether this path of the store leads to the same folder on all workers. If not, large results, files and
            checkpoints travel as bytes, and a checkpoint is lost with its worker.

    Example::

        executor = DaskExecutor("tcp://scheduler:8786")
        results = Memento(train, executor=executor).run(matrix)
    """

    def __init__(self, cluster: Any = None, *, workers: int | None = None, shared: bool = False) -> None:
        from memento.executors.engines.dask import DaskEngine  # which loads Dask, and takes a while

        super().__init__(DaskEngine(cluster, workers), shared=shared)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue `tasks`.

        Raises:
            OptionError: one asks for devices, which Dask does not lease; none is queued.
        """
        for task in tasks:
            if task.gpus:
                raise OptionError(
                    f"runtime asks for gpus={task.gpus:g}, which DaskExecutor cannot lease; start workers that see one "
                    "device each, as dask-cuda does, and leave gpus out",
                    option="gpus",
                    value=task.gpus,
                )
        super().submit(tasks)
