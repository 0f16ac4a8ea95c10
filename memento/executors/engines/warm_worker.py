"""The processes that run experiments on a worker of an engine, kept from batch to batch, and what they are told."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from memento.executors.elsewhere.orders import Order
from memento.executors.elsewhere.scratch import Scratch
from memento.executors.elsewhere.sealed import sealed_job
from memento.executors.engines.batch import Batch
from memento.executors.processes.devices import VARIABLES, environment_for
from memento.executors.processes.executor import ProcessExecutor
from memento.executors.processes.worker_pool import usable_cpus

# A warm worker that no batch needs is closed after so many seconds.
IDLE = 30.0
# So many packed jobs are remembered: a worker may serve several runs by turns.
MOST_JOBS = 4
# So many visits are remembered by their last order: a worker that serves for months has seen many.
MOST_ORDERS = 1000


class WarmWorker:
    """One worker process for one visit, kept from batch to batch."""

    def __init__(self, visit: str, packed: bytes, *, shared: bool, slots: int) -> None:
        self.visit = visit
        self.devices = _devices()
        self.usable = True
        self._scratch = Scratch()
        self.spool = self._scratch.path / "spool"
        self.spool.mkdir()
        job = sealed_job(packed, spool=str(self.spool))
        if not shared:
            job = sealed_job(packed, spool=str(self.spool), store=str(self._scratch.path / "store"))
        self.root = Path(job.store)
        threads = max(1, usable_cpus() // slots)
        self.executor = ProcessExecutor(1, environment=environment_for((), None, threads))
        self.idle: threading.Timer | None = None
        try:
            self.executor.start(job)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the process and remove its files."""
        self.usable = False
        self.executor.close()
        self._scratch.remove()


_lock = threading.Lock()
_idle: dict[str, list[WarmWorker]] = {}
_heeding: set[str] = set()
_jobs: dict[str, bytes] = {}
_orders: dict[str, Order] = {}


def give_order(visit: str, order: Order) -> None:
    """Have the batches of `visit` in this process do as `order` says from now on."""
    with _lock:
        while len(_orders) >= MOST_ORDERS:
            _orders.pop(next(iter(_orders)))
        _orders[visit] = order
        dismissed = _idle.pop(visit, []) if order is Order.STOP else []
        if order is Order.STOP:
            _jobs.pop(visit, None)
    for warm in dismissed:
        if warm.idle is not None:
            warm.idle.cancel()
        warm.close()


def order_for(visit: str) -> Order:
    """Return the last order for `visit`."""
    return _orders.get(visit, Order.NONE)


def _devices() -> tuple[str | None, ...]:
    """Return which accelerators the engine has leased to this process, as a warm worker made now would see them."""
    return tuple(os.environ.get(variable) for variable in VARIABLES)


def take_worker(batch: Batch, slots: int) -> WarmWorker | None:
    """Return a warm worker for `batch`, an idle one if there is; None if the job is not known here.

    Raises:
        WorkerStartError: none can be made.
    """
    with _lock:
        if batch.job is not None and batch.visit not in _jobs:
            while len(_jobs) >= MOST_JOBS:
                _jobs.pop(next(iter(_jobs)))
            _jobs[batch.visit] = batch.job
        waiting = _idle.get(batch.visit, [])
        warm = next((warm for warm in waiting if warm.devices == _devices()), None)
        if warm is not None:
            waiting.remove(warm)
        packed = batch.job or _jobs.get(batch.visit)
    if warm is not None:
        if warm.idle is not None:
            warm.idle.cancel()
        return warm
    return None if packed is None else WarmWorker(batch.visit, packed, shared=batch.shared, slots=slots)


def give_back(warm: WarmWorker, *, keep: bool) -> None:
    """Keep `warm` for the next batch, for a while, or close it."""
    if keep:
        warm.idle = threading.Timer(IDLE, _dismiss, [warm])
        warm.idle.daemon = True
        with _lock:
            if _orders.get(warm.visit) is not Order.STOP:
                _idle.setdefault(warm.visit, []).append(warm)
                warm.idle.start()
                return
    warm.close()


def _dismiss(warm: WarmWorker) -> None:
    with _lock:
        waiting = _idle.get(warm.visit, [])
        if warm not in waiting:
            return
        waiting.remove(warm)
        if not waiting:
            _idle.pop(warm.visit, None)
    warm.close()


def heed_while_idle(visit: str, ask: Callable[[], Callable[[], Order]], every: float) -> None:
    """Close the warm workers of `visit` that no batch needs when they are ordered to stop, heard by an own thread.

    Args:
        visit: whose workers.
        ask: returns what tells the last order; called in that thread.
        every: how many seconds to wait between two questions.
    """
    with _lock:
        if visit in _heeding or not _idle.get(visit):
            return
        _heeding.add(visit)
    threading.Thread(target=_heed, args=(visit, ask, every), name="memento-idle", daemon=True).start()


def _heed(visit: str, ask: Callable[[], Callable[[], Order]], every: float) -> None:
    order = ask()
    while order() is not Order.STOP:
        time.sleep(every)
        with _lock:
            if not _idle.get(visit):
                _heeding.discard(visit)
                return
    give_order(visit, Order.STOP)
    with _lock:
        _heeding.discard(visit)
