"""Experiments in the workers of a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence

from memento.executors.engines.executor import BatchExecutor
from memento.task import Task


class RayExecutor(BatchExecutor):
    """Runs experiments in the workers of a Ray cluster, each in a process of its own there.

    `runtime` in a matrix may give `cpus` and `gpus`, which Ray leases. A Ray that is started here sends no usage
    statistics and has no dashboard. Where this process is connected to Ray already, that connection is used, and stays.

    Args:
        address: of a cluster, as ``ray.init`` takes it ("auto", "host:6379"); None for the Ray this process is
            connected to, or one on this machine.
        workers: how many experiments are to run at once, in a Ray on this machine by default one for each CPU, in
            another as many as its nodes have CPUs. Give the most that one may grow to whose autoscaler adds nodes.
        shared: whether this path of the store leads to the same folder on all nodes. If not, large results, files and
            checkpoints travel as bytes, and a checkpoint is lost with its worker.

    Example::

        executor = RayExecutor("auto")
        results = Memento(train, executor=executor).run(matrix)
    """

    def __init__(self, address: str | None = None, *, workers: int | None = None, shared: bool = False) -> None:
        from memento.executors.engines.ray import RayEngine  # which loads Ray, and takes a while

        self._ray = RayEngine(address, workers)
        super().__init__(self._ray, shared=shared)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue `tasks`.

        Raises:
            OptionError: one asks for more CPUs or devices than any node has, and no more nodes are to come; none is
                queued.
        """
        self._ray.check({(task.cpus, task.gpus or 0) for task in tasks})
        super().submit(tasks)
