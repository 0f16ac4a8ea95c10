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
from memento.executors.processes.crew import usable_cpus
from memento.executors.processes.devices import VARIABLES, environment_for
from memento.executors.processes.executor import ProcessExecutor

# A bench that no batch needs is closed after so many seconds.
IDLE = 30.0
# So many packed jobs are remembered: a worker may serve several runs by turns.
MOST_JOBS = 4
# So many visits are remembered by their last order: a worker that serves for months has seen many.
MOST_ORDERS = 1000


class Bench:
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
_idle: dict[str, list[Bench]] = {}
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
    for bench in dismissed:
        if bench.idle is not None:
            bench.idle.cancel()
        bench.close()


def order_for(visit: str) -> Order:
    """Return the last order for `visit`."""
    return _orders.get(visit, Order.NONE)


def _devices() -> tuple[str | None, ...]:
    """Return which accelerators the engine has leased to this process, as a bench made now would see them."""
    return tuple(os.environ.get(variable) for variable in VARIABLES)


def take_bench(batch: Batch, slots: int) -> Bench | None:
    """Return a bench for `batch`, an idle one if there is; None if the job is not known here.

    Raises:
        WorkerStartError: none can be made.
    """
    with _lock:
        if batch.job is not None and batch.visit not in _jobs:
            while len(_jobs) >= MOST_JOBS:
                _jobs.pop(next(iter(_jobs)))
            _jobs[batch.visit] = batch.job
        waiting = _idle.get(batch.visit, [])
        bench = next((bench for bench in waiting if bench.devices == _devices()), None)
        if bench is not None:
            waiting.remove(bench)
        packed = batch.job or _jobs.get(batch.visit)
    if bench is not None:
        if bench.idle is not None:
            bench.idle.cancel()
        return bench
    return None if packed is None else Bench(batch.visit, packed, shared=batch.shared, slots=slots)


def give_back(bench: Bench, *, keep: bool) -> None:
    """Keep `bench` for the next batch, for a while, or close it."""
    if keep:
        bench.idle = threading.Timer(IDLE, _dismiss, [bench])
        bench.idle.daemon = True
        with _lock:
            if _orders.get(bench.visit) is not Order.STOP:
                _idle.setdefault(bench.visit, []).append(bench)
                bench.idle.start()
                return
    bench.close()


def _dismiss(bench: Bench) -> None:
    with _lock:
        waiting = _idle.get(bench.visit, [])
        if bench not in waiting:
            return
        waiting.remove(bench)
        if not waiting:
            _idle.pop(bench.visit, None)
    bench.close()


def heed_while_idle(visit: str, ask: Callable[[], Callable[[], Order]], every: float) -> None:
    """Close the benches of `visit` that no batch needs when they are ordered to stop, heard by a thread of its own.

    Args:
        visit: whose benches.
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
