"""The connection to Dask: to the cluster that was passed in, or to one made here, and what that says of its size."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as Late
from typing import Any

from memento.errors import MissingExtra, OptionError, WorkerStartError
from memento.executors.processes.worker_pool import usable_cpus
from memento.given import worker_count

PATIENCE = 10.0
# A question may take so long, beyond which workers are left to see for themselves that nobody wants them.
QUICK = 3.0
COUNT_AGAIN = 1.0


class DaskConnection:
    """To `cluster`: an address, a client or a cluster; None for one made here. It is made when it is needed.

    `workers` are how many threads are to run experiments.

    Attributes:
        distributed: the package.
        client: the client, None before there is a connection.
    """

    def __init__(self, cluster: Any, workers: int | None) -> None:
        try:
            import distributed
        except ImportError as error:
            raise MissingExtra("distributed", "dask") from error
        self.distributed: Any = distributed
        is_address = isinstance(cluster, str)
        is_client = isinstance(cluster, distributed.Client)
        if cluster is not None and not is_address and not is_client and not hasattr(cluster, "scheduler_address"):
            raise OptionError(
                f"DaskExecutor({cluster!r}) is neither the address of a scheduler, nor a distributed.Client, nor a "
                "cluster with a scheduler_address",
                option="cluster",
                value=cluster,
            )
        if (is_client or not is_address) and getattr(cluster, "asynchronous", False):
            raise OptionError(
                f"DaskExecutor was given an asynchronous {type(cluster).__name__}; make it without asynchronous=True",
                option="cluster",
                value=cluster,
            )
        self._given, self._workers = cluster, worker_count(workers)
        self.client: Any = cluster if is_client else None
        self._own_cluster: Any = None
        self._slots, self._count, self._counted = 0, 0, -COUNT_AGAIN

    @property
    def is_alive(self) -> bool:
        """Whether there is a connection, and it holds."""
        return self.client is not None and self.client.status == "running"

    @property
    def slots(self) -> int:
        """How many threads the workers have now; of a cluster that would have to be made or reached first, a guess."""
        if self.client is None and self._given is None:
            return self._workers or usable_cpus()
        if self.client is None and isinstance(self._given, str):
            return 0
        self.connect()
        now = time.monotonic()
        if now - self._counted >= COUNT_AGAIN and self.is_alive:
            threads = self.ask(lambda: self.client.scheduler.ncores())
            if threads is not None:
                self._slots, self._count, self._counted = sum(threads.values()), len(threads), now
        return self._slots

    @property
    def reach(self) -> int:
        """How many threads there are, or will be where more was asked for; twice as many in an adaptive cluster.

        Counted from the workers that it has asked for: those may wait in a queue for hours, and the next with them.
        """
        slots = self.slots
        if self._workers is not None and self._given is not None:
            return max(slots, self._workers)
        adaptive = self._adaptive
        if adaptive is None:
            return slots
        each = slots / max(1, self._count)
        asked = max(self._count, len(adaptive.plan))
        return max(slots, 1, int(min(2 * asked, adaptive.maximum) * max(1.0, each)))

    @property
    def _adaptive(self) -> Any:
        """What adapts the cluster, if it is known here and anything does."""
        cluster = getattr(self.client, "cluster", None) if self._given is self.client else self._given
        return getattr(cluster, "_adaptive", None)

    def connect(self) -> None:
        """Connect, unless that is done.

        Raises:
            WorkerStartError: nobody answers.
        """
        if self.client is not None:
            return
        target = self._given
        try:
            if target is None:
                # One worker with a thread for each slot: experiments run in processes of their own anyway. Both ends
                # serve HTTP, by default on a fixed port and for every machine around: here on any port, for this one.
                target = self._own_cluster = self.distributed.LocalCluster(
                    n_workers=1,
                    threads_per_worker=self._workers or usable_cpus(),
                    processes=False,
                    dashboard_address=None,
                    worker_dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    memory_limit=0,
                )
            self.client = self.distributed.Client(target, set_as_default=False, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise WorkerStartError(
                f"the Dask scheduler {getattr(target, 'scheduler_address', target)} cannot be reached: {error}; is it "
                "running, and can this machine connect to it?"
            ) from error

    def ask(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Return what the client answers, None if it does not in time or at all."""
        asked = asyncio.run_coroutine_threadsafe(quietly(make()), self.client.loop.asyncio_loop)
        try:
            return asked.result(QUICK)
        except Late:
            asked.cancel()
            return None

    def close(self) -> None:
        """Close the client and the cluster that were made here."""
        if self.client is not None and self.client is not self._given:
            self.client.close(timeout=QUICK)
            self.client = None
        if self._own_cluster is not None:
            self._own_cluster.close(timeout=PATIENCE)
            self._own_cluster = None


async def quietly(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await `coroutine`; None where it fails, because whoever it asks may be gone."""
    with contextlib.suppress(Exception):
        return await coroutine


def this_worker() -> Any:
    """Return the worker of Dask's that this thread is one of."""
    from distributed import get_worker

    return get_worker()
