"""How Ray runs batches.

    this process                       an actor             a worker
    BatchExecutor ──remote──▶ Ray ───────────────────────▶ run_batch ──▶ a process for each experiment
          ▲                    └─ futures: answers, deaths     │  ▲
          └── inbox ◀──take───────── mailbox ◀──begun, progress┘  └── orders

Guarantees: Ray runs no batch a second time by itself (``max_retries=0``); a worker that can no longer reach the
mailbox, because whoever made it is gone, ends what it runs.
Assumption: the workers have memento, the same Python and the user's own modules.
"""

from __future__ import annotations

import contextlib
import math
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from memento.errors import OptionError
from memento.executors.elsewhere.orders import Order
from memento.executors.engines.batch import Batch, Death, Heard, Kind
from memento.executors.engines.batch_run import run_batch
from memento.executors.engines.mailbox import ASK, GONE, LONG_POLL, Mailbox, Orders
from memento.executors.engines.ray_connection import RayConnection, passing_errors
from memento.executors.engines.warm_worker import heed_while_idle
from memento.executors.processes.worker_pool import usable_cpus

# The process of the mailbox may have to wait for a node, or for a busy one.
BEGINNING = 120.0


class RayEngine:
    """A Ray cluster."""

    name = "Ray"

    def __init__(self, address: str | None, workers: int | None) -> None:
        self._connection = RayConnection(address, workers)
        self._ray = self._connection.ray
        self._mailbox: Any = None
        self._listener: threading.Thread | None = None
        self._references: dict[int, Any] = {}
        self._visit = ""
        self._why = ""
        self._checked: set[tuple[int, float]] = set()
        self._heard_at = self._looked_at = math.inf

    @property
    def slots(self) -> int:
        """How many CPUs the cluster has."""
        return self._connection.slots

    @property
    def reach(self) -> int:
        """How many CPUs there are, or will be."""
        return self._connection.reach

    @property
    def grows(self) -> bool:
        """Whether more was asked for than there is."""
        return self.reach > self.slots

    def open(self, visit: str, hear: Callable[[Heard], None]) -> None:
        """Connect, and hear of the batches of `visit` from now on."""
        self._connection.connect()
        self._dismiss()
        self._visit, self._hear = visit, hear
        self._references, self._why, self._heard_at, self._looked_at = {}, "", math.inf, math.inf
        self._checked = set()
        self._order = Order.NONE
        # It is begun again should it die, as it does when Ray ends processes of a node that runs out of memory: what it
        # held is news of running experiments, which their batches bring home as well.
        mailbox = self._ray.remote(Mailbox).options(num_cpus=0, max_restarts=-1, **self._beside_us())
        self._mailbox = mailbox.remote(self._ray.actor.exit_actor)
        self._runner = self._ray.remote(_run_on_worker)
        self._listener = threading.Thread(
            target=self._listen, args=(visit, self._mailbox), name="memento-ray", daemon=True
        )
        self._listener.start()

    def _beside_us(self) -> dict[str, Any]:
        """Say that an actor is to be on this node: with another one's death the run would end."""
        if self._ray.util.client.ray.is_connected():
            return {}  # this machine is not a node
        here = self._ray.get_runtime_context().get_node_id()
        strategies = self._ray.util.scheduling_strategies
        return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(here, soft=True)}

    def check(self, shapes: set[tuple[int, float]]) -> None:
        """Refuse CPUs and devices that no node has and none is to come for: Ray would have them wait for ever.

        Asked once in a visit: a node that has died since may come back.
        """
        if shapes <= self._checked or self.grows:
            return
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        sizes = {(node.get("CPU", 0), node.get("GPU", 0)) for node in nodes}
        for cpus, gpus in sorted(shapes - self._checked):
            if not any(cpus <= size[0] and gpus <= size[1] for size in sizes):
                had = ", ".join(f"cpus={size[0]:g} and gpus={size[1]:g}" for size in sorted(sizes))
                option, value = ("cpus", cpus) if all(cpus > size[0] for size in sizes) else ("gpus", gpus)
                raise OptionError(
                    f"runtime asks for cpus={cpus} and gpus={gpus:g}, which no node of the Ray cluster has (there are "
                    f"nodes with {had}); ask for less, or give RayExecutor as many workers as it may grow to",
                    option=option,
                    value=value,
                )
        self._checked |= shapes

    def send(self, batch: Batch) -> None:
        """Have `batch` run as one task, which leases what the first of its tasks asks for."""
        first = batch.tasks[0]
        runner = self._runner.options(num_cpus=first.cpus, num_gpus=first.gpus or 0, max_retries=0)
        reference = runner.remote(pickle.dumps(batch), self._mailbox)
        self._references[batch.number] = reference
        reference.future().add_done_callback(partial(self._on_done, self._visit, batch.number))

    def _listen(self, visit: str, mailbox: Any) -> None:
        """Hear what workers tell, in a thread of its own."""
        patience, passing = BEGINNING, passing_errors()
        while visit == self._visit:
            try:
                messages = self._ray.get(mailbox.take.remote(self._order), timeout=patience)
                patience = GONE
                self._connection.count()
                self._heard_at = time.monotonic()
            except passing:
                time.sleep(ASK)  # until it is back, or has been silent for too long
                continue
            except (Exception, SystemExit) as error:  # the second is what Ray raises where it is shut down meanwhile
                if visit == self._visit:
                    self._lose(f"{type(error).__name__}: {error}")
                return
            for message in messages:
                number, kind, *body = pickle.loads(message)
                self._hear_of(visit, Heard(number, kind, tuple(body)))

    def _hear_of(self, visit: str, heard: Heard) -> None:
        if visit == self._visit:
            self._hear(heard)

    def _lose(self, why: str) -> None:
        self._why = f"the Ray cluster was lost ({why.strip().splitlines()[0]})"

    def _on_done(self, visit: str, number: int, future: Future[bytes]) -> None:
        """Hear the end of a task, in a thread of Ray's."""
        errors = self._ray.exceptions
        self._references.pop(number, None)
        try:
            heard = Heard(number, Kind.ANSWER, future.result())
        except errors.TaskCancelledError:
            return
        except errors.RayTaskError as error:
            heard = Heard(number, Kind.BROKEN, str(error))
        except errors.OutOfMemoryError as error:
            heard = Heard(number, Kind.DIED, Death(_memory_words(str(error)), "memory"))
        except errors.RayError as error:  # its worker, its node, or the node that kept what it returned
            words = f"a Ray worker died while it ran the experiment ({type(error).__name__})"
            heard = Heard(number, Kind.DIED, Death(words))
        except Exception as error:
            if visit == self._visit:
                self._lose(f"{type(error).__name__}: {error}")
            return
        self._hear_of(visit, heard)

    def look(self) -> str:
        """Return why Ray cannot go on."""
        now = time.monotonic()
        if now - self._looked_at > GONE / 2:
            self._heard_at = now  # this process itself was stopped or busy, and has not listened
        self._looked_at = now
        silence = now - self._heard_at
        if silence > GONE:  # asking it anything would wait for minutes
            self._lose(f"it has said nothing for {silence:.0f} s")
        return self._why or ("" if self._connection.is_alive else "Ray was shut down")

    def order(self, order: Order) -> None:
        """Leave `order` where the workers ask for it."""
        self._order = order
        if self._mailbox is not None and self._connection.is_alive and not self._why:
            self._mailbox.give_order.remote(order)

    def abandon(self) -> None:
        """Cancel every task; the workers see the order to stop, or that the mailbox is gone."""
        references, self._references = list(self._references.values()), {}
        if self._connection.is_alive and not self._why:
            for reference in references:
                with contextlib.suppress(Exception):
                    self._ray.cancel(reference)

    def _dismiss(self) -> None:
        self._visit = ""
        if self._mailbox is not None and self._connection.is_alive and not self._why:
            self._mailbox.end.remote()
        if self._listener is not None and not self._why:
            self._listener.join(2 * LONG_POLL)
        self._mailbox = self._listener = None

    def close(self) -> None:
        """End the mailbox, and the Ray that was started here."""
        self._dismiss()
        self._connection.close()


def _memory_words(said: str) -> str:
    """Return what Ray says of a worker that it ended for want of memory, without its pages of advice."""
    first = said.strip().splitlines()[0].rstrip(". ") if said.strip() else "OutOfMemoryError"
    return f"Ray ended the worker because its node ran out of memory ({first})"


def _run_on_worker(packed: bytes, mailbox: Any) -> bytes:
    """On a worker: run a batch, telling how it goes."""
    batch: Batch = pickle.loads(packed)

    def orders() -> Orders:
        return Orders(mailbox, passing_errors())

    def tell(message: tuple[Any, ...]) -> None:
        mailbox.put.remote(pickle.dumps((batch.number, *message)))

    together = max(1, usable_cpus() // max(1, batch.tasks[0].cpus))
    answer = run_batch(batch, tell, orders(), slots=together)
    heed_while_idle(batch.visit, orders, ASK)
    return pickle.dumps(answer)
