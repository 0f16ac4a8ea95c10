"""How Dask runs batches.

    this process                              scheduler                 a worker's thread
    BatchExecutor ──submit──▶ client ────────▶ a task for each batch ──▶ run_batch ──▶ a process for each experiment
          ▲                     │                                          │
          └──── inbox ◀─────────┴───────────── events of one topic ◀───────┘ begun, progress, metrics

Guarantees: Dask never runs a batch again by itself when its worker died: once a batch has begun, it has no further life
on the scheduler; should its worker die before the scheduler knows that, its second beginning gives it away.
Assumption: the workers have memento, the same Python and the user's own modules.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from memento.executors.elsewhere.orders import Order
from memento.executors.engines.batch import Batch, Death, Heard, Kind
from memento.executors.engines.batch_run import run_batch
from memento.executors.engines.dask_connection import DaskConnection, quietly, this_worker
from memento.executors.engines.warm_worker import give_order, order_for

# What a batch tells only the engine: on which worker it begins, and that it is over.
_STARTED, _ENDED = "started", "ended"


class DaskEngine:
    """A Dask cluster, reached through a client."""

    name = "Dask"

    def __init__(self, cluster: Any, workers: int | None) -> None:
        self._connection = DaskConnection(cluster, workers)
        self._futures: dict[int, Any] = {}
        self._begun: dict[int, str] = {}
        self._ended: set[int] = set()
        self._asking: set[asyncio.Future[Any]] = set()
        self._visit = ""
        self._lost_in = "never"  # the visit in which the connection was seen to be lost

    @property
    def slots(self) -> int:
        """How many threads the workers have now."""
        return self._connection.slots

    @property
    def reach(self) -> int:
        """How many threads there are, or will be."""
        return self._connection.reach

    @property
    def grows(self) -> bool:
        """Whether the cluster makes room for more when it has a queue."""
        return self.reach > self.slots

    @property
    def _client(self) -> Any:
        return self._connection.client

    def open(self, visit: str, hear: Callable[[Heard], None]) -> None:
        """Connect, and hear of the batches of `visit` from now on."""
        self._connection.connect()
        self._forget_visit()
        self._visit, self._hear = visit, hear
        self._futures, self._begun, self._ended = {}, {}, set()
        self._comm = self._client.scheduler_comm
        self._client.subscribe_topic(visit, partial(self._on_event, visit))

    def send(self, batch: Batch) -> None:
        """Submit `batch` as one task."""
        number = batch.number
        future = self._client.submit(
            _run_on_worker,
            pickle.dumps(batch),
            key=f"{self._visit}-{number}",
            pure=False,
            retries=0,
        )
        self._futures[number] = future
        future.add_done_callback(partial(self._on_done, self._visit, number))

    def _on_event(self, visit: str, event: tuple[float, bytes]) -> None:
        """Hear what a worker tells; called in the client's own thread."""
        number, kind, *body = pickle.loads(event[1])
        if visit != self._visit or number not in self._futures:
            return
        if kind == _STARTED:
            self._started(number, body[0])
        elif kind == _ENDED:
            self._ended.add(number)
        else:
            self._hear(Heard(number, kind, tuple(body)))

    def _started(self, number: int, worker: str) -> None:
        before = self._begun.setdefault(number, worker)
        future = self._futures.get(number)
        if future is None:
            return  # its end was heard first, by another thread
        if before == worker:
            self._soon(self._client._run_on_scheduler(_end_lives, [future.key]))
        elif number not in self._ended:  # or else its result was lost on the way, and it may well run again
            self._hear(Heard(number, Kind.DIED, _death_of(before)))
            self._futures.pop(number, None)
            self._soon(self._client._cancel([future]))

    def _soon(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        asking = asyncio.ensure_future(quietly(coroutine))
        self._asking.add(asking)  # the loop itself holds it weakly
        asking.add_done_callback(self._asking.discard)

    def _on_done(self, visit: str, number: int, future: Any) -> None:
        """Hear the end of a task; called in a thread of the client's for that."""
        if visit != self._visit or number not in self._futures:
            return
        try:
            answer = future.result(timeout=None)
        except self._connection.distributed.scheduler.KilledWorker as error:
            # Dask counts a death against everything that was on the worker, also what only waited there.
            begun = number in self._begun
            heard = (
                Heard(number, Kind.DIED, _death_of(error.last_worker.address)) if begun else Heard(number, Kind.UNBEGUN)
            )
        except Exception as error:
            if future.status != "error":  # cancelled
                self._on_cancelled(visit, number)
                return
            heard = Heard(number, Kind.BROKEN, f"{type(error).__name__}: {error}")
        else:
            heard = Heard(number, Kind.ANSWER, answer)
        self._futures.pop(number, None)
        self._hear(heard)

    def _on_cancelled(self, visit: str, number: int) -> None:
        """Hear that a task is given up: by us, with the connection, or because somebody restarted the workers."""
        if self._futures.pop(number, None) is None:
            return
        if not self._connection.is_alive or self._client.scheduler_comm is not self._comm:
            self._lost_in = visit  # also where there is another by now: events of the topic do not come by that
        elif number in self._begun:
            self._hear(Heard(number, Kind.DIED, _death_of(self._begun[number])))
        else:
            self._hear(Heard(number, Kind.UNBEGUN))

    def look(self) -> str:
        """Return why Dask cannot go on."""
        if self._lost_in != self._visit and self._connection.is_alive:
            return ""
        return f"the connection to the Dask scheduler {self._client.scheduler.address} was lost"

    def order(self, order: Order) -> None:
        """Pass `order` on to every worker."""
        if self._visit and self._connection.is_alive:
            self._connection.ask(lambda: self._client._run(_pass_on, self._visit, order, on_error="ignore"))

    def abandon(self) -> None:
        """Cancel every task; the workers' threads see that and end what runs."""
        futures, self._futures = list(self._futures.values()), {}
        if futures and self._connection.is_alive:
            self._connection.ask(lambda: self._client._cancel(futures))

    def _forget_visit(self) -> None:
        if self._visit and self._connection.is_alive:
            self._client.unsubscribe_topic(self._visit)
        self._visit = ""

    def close(self) -> None:
        """Close the client and the cluster that were made here."""
        self._forget_visit()
        self._connection.close()


def _death_of(worker: str) -> Death:
    return Death(f"the Dask worker {worker} died while it ran the experiment")


def _end_lives(keys: Sequence[str], dask_scheduler: Any = None) -> None:
    """On the scheduler: the next death of their worker is the last that these tasks survive unseen."""
    for key in keys:
        task = dask_scheduler.tasks.get(key)
        if task is not None:
            task.suspicious = max(task.suspicious, dask_scheduler.allowed_failures)


def _pass_on(visit: str, order: Order) -> None:
    """On a worker, in the thread that must never wait."""
    threading.Thread(target=give_order, args=(visit, order), name="memento-order").start()


def _run_on_worker(packed: bytes) -> bytes:
    """On a worker: run a batch, telling how it goes."""
    batch: Batch = pickle.loads(packed)
    worker = this_worker()
    key = worker.get_current_task()

    def tell(message: tuple[Any, ...]) -> None:
        worker.log_event(batch.visit, pickle.dumps((batch.number, *message)))

    def order() -> Order:
        task = worker.state.tasks.get(key)
        # Nobody waits for it any more: it was cancelled, or the client is gone.
        unwanted = task is None or task.state == "cancelled" or worker.status.name in ("closing", "closed", "failed")
        return Order.STOP if unwanted else order_for(batch.visit)

    tell((_STARTED, f"{worker.address} ({worker.id})"))
    answer = run_batch(batch, tell, order, slots=worker.state.nthreads)
    tell((_ENDED,))
    return pickle.dumps(answer)
