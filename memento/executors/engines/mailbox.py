"""Between Ray's workers and the orchestrator: an actor that keeps what they tell, and the orders they ask for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from memento.executors.elsewhere.orders import Order

# A worker asks so often whether it is to stop.
ASK = 0.5
# The mailbox answers at the latest after so many seconds, and counts as gone after `GONE`: longer than a busy machine
# or a network may take, because a run ends with it.
LONG_POLL = 1.0
GONE = 30.0


class Mailbox:
    """An actor between the workers and the orchestrator; `leave` ends it."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._messages: list[bytes] = []
        self._arrived = asyncio.Event()
        self._order = Order.NONE

    async def put(self, message: bytes) -> None:
        """Take a message of a worker in."""
        self._messages.append(message)
        self._arrived.set()

    async def take(self, order: Order) -> list[bytes]:
        """Return the messages that have come, after a while also none; one that was begun again learns `order`."""
        self._order = self._order or order
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), LONG_POLL)
        self._arrived.clear()
        messages, self._messages = self._messages, []
        return messages

    async def give_order(self, order: Order) -> None:
        """Let workers know what the orchestrator wants."""
        self._order = order

    async def order(self) -> Order:
        """Return what the orchestrator wants."""
        return self._order

    async def end(self) -> None:
        """Leave, once the last order has had time to be heard."""
        self._arrived.set()
        await asyncio.sleep(3 * ASK)
        self._leave()


class Orders:
    """What the orchestrator wants, asked for now and then without waiting for the answer.

    Nothing here calls `ray.get` or `ray.wait`: Ray lends the CPUs of a task that waits in them to another, and would
    run two experiments on one of them. Errors that are `passing` say that the mailbox is begun again.
    """

    def __init__(self, mailbox: Any, passing: tuple[type[Exception], ...]) -> None:
        self._mailbox, self._passing = mailbox, passing
        self.last = Order.NONE
        self._ask()
        with contextlib.suppress(Exception):  # which is looked into below
            self._asked.result(GONE)
        self._look()

    def __call__(self) -> Order:
        """Return the last that has been heard."""
        self._look()
        if self._heard and time.monotonic() - self._at > ASK:
            self._ask()
        return self.last

    def _ask(self) -> None:
        self._asked: Future[Order] = self._mailbox.order.remote().future()
        self._at, self._heard = time.monotonic(), False

    def _look(self) -> None:
        if self._heard:
            return
        if not self._asked.done():
            self.last = Order.STOP if time.monotonic() - self._at >= GONE else self.last
            return
        self._heard = True
        try:
            self.last = self._asked.result() or self.last
        except self._passing:
            pass
        except Exception:
            self.last = Order.STOP  # the mailbox is gone, and with it whoever wanted this
