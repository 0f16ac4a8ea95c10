"""What whoever has submitted tasks wants of who runs them elsewhere, and how an executor there does it.

An order comes by a file on the disk that a cluster shares, by a call that Dask passes on, or from an actor of Ray's.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from memento.protocols import Executor
from memento.task import Task


class Order(StrEnum):
    """What is wanted; the words lie in files that running jobs read."""

    NONE = ""
    """Go on."""
    DRAIN = "drain"
    """Begin nothing more, and let running experiments go on."""
    CANCEL = "cancel"
    """Begin nothing more, and let running experiments see `context.should_stop`."""
    STOP = "stop"
    """End everything now."""


class Obedience:
    """Has `executor` do as it is ordered, once for each order."""

    def __init__(self, executor: Executor) -> None:
        self._ways = {Order.DRAIN: executor.drain, Order.CANCEL: executor.cancel, Order.STOP: executor.stop}
        self.last = Order.NONE
        """The order that was obeyed last."""

    def obey(self, order: Order) -> Sequence[Task] | None:
        """Do as `order` says and return the tasks that come back; None where there is nothing new to do."""
        if order in (Order.NONE, self.last):
            return None
        self.last = order
        return self._ways[order]()
