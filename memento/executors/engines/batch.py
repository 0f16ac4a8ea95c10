"""What goes to an engine and comes back from it, and what an engine has to be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from memento.executors.elsewhere.orders import Order
from memento.heads import Frame
from memento.protocols import Lost
from memento.task import Failure, Status, Task

File = tuple[bytes, str, bytes]
"""The key it belongs to, where it lies in the store's folder, and what is in it."""


class Batch(NamedTuple):
    """What one task of the engine has to do; `job` is left out where a worker that knows it may be met.

    `visit` names this start of an executor, which no other has, on any machine.
    """

    number: int
    visit: str
    run: bytes
    tasks: tuple[Task, ...]
    files: tuple[File, ...]
    job: bytes | None
    shared: bool
    python: tuple[int, int]


class Answer(NamedTuple):
    """What came of a batch: `left` are the keys that were not begun, `broken` why no worker could run them."""

    frames: tuple[Frame, ...] = ()
    files: tuple[File, ...] = ()
    left: tuple[bytes, ...] = ()
    elapsed: float = 0.0
    broken: str = ""
    unwritable: str = ""
    needs_job: bool = False


class Death(NamedTuple):
    """Why a worker died, in words and as the cause by which it is retried: "node" or "memory"."""

    why: str
    cause: str = "node"


class Kind(StrEnum):
    """What is heard of a batch, and what comes with it: the first five from its worker, while it runs."""

    BEGUN = "begun"
    """(key,): its experiment runs."""
    ADVANCED = "advanced"
    """(key, done, total): its experiment reports progress."""
    METRICS = "metrics"
    """(key, packed): what its running experiment has recorded so far."""
    FRAMES = "frames"
    """(frames,): outcomes ahead of the answer."""
    LEFT = "left"
    """(keys,): they were not begun and will not be."""
    ANSWER = "answer"
    """The pickled `Answer`."""
    DIED = "died"
    """A `Death`."""
    UNBEGUN = "unbegun"
    """None: no worker took it up, and none will."""
    BROKEN = "broken"
    """What makes going on impossible, in words."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something about batch `number`."""

    number: int
    kind: Kind
    body: Any = None


class Sent:
    """A batch on its way: which of its tasks is running, since when, and what that has recorded so far."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.running: Task | None = None
        self.since = time.time()
        self.metrics = b""

    def lost(self, task: Task, death: Death) -> Lost:
        """Return the end of `task`, whose worker died."""
        name = "OutOfMemory" if death.cause == "memory" else "WorkerLost"
        # Whoever asked for retries of "killed" means this as well, where nothing is said of the cause itself.
        lineage = (name, death.cause, "killed")
        failure = Failure(type=name, message=death.why, cause=death.cause, lineage=lineage)
        return Lost(
            task=task,
            status=Status.KILLED,
            failure=failure,
            started=self.since,
            runtime=max(0.0, time.time() - self.since),
            metrics=self.metrics,
        )


class Engine(Protocol):
    """What runs batches: Dask or Ray. One thread calls it; what it hears it puts into the inbox, from any thread."""

    @property
    def name(self) -> str:
        """What users call it."""
        ...

    @property
    def slots(self) -> int:
        """How many experiments run at once on the workers there are now."""
        ...

    @property
    def reach(self) -> int:
        """How many are to run at once: more than `slots` where the cluster would make room for more next."""
        ...

    @property
    def grows(self) -> bool:
        """Whether the cluster makes room for more when it has a queue."""
        ...

    def open(self, visit: str, hear: Callable[[Heard], None]) -> None:
        """Connect, and hear of the batches of `visit` from now on."""
        ...

    def send(self, batch: Batch) -> None:
        """Have `batch` run."""
        ...

    def look(self) -> str:
        """Return why the engine cannot go on, empty while it can; called often."""
        ...

    def order(self, order: Order) -> None:
        """Have running batches do as `order` says."""
        ...

    def abandon(self) -> None:
        """Forget every batch and end what runs of them."""
        ...

    def close(self) -> None:
        """Give back what was made here. Idempotent."""
        ...
