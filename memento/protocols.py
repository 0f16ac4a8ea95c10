"""The seams: what an executor and a listener have to be.

Another implementation is any object with these methods; nothing is inherited.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from memento.events import Event
from memento.job import Job
from memento.task import Failure, Status, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """Outcomes that workers have written: `frames` are verified spool frames, unopened, in the order of writing.

    `spool` is the name of the file they were read from and `end` the offset up to which it has been read, so that the
    store need not read it again; left out, it reads the file again when the run ends.
    """

    frames: Sequence[tuple[bytes, tuple[bytes | None, ...]]]
    spool: str = ""
    end: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Interrupted:
    """Attempts that ended with the batch job they ran in, and go on in the next: `frames` are kept, nothing is over."""

    frames: Sequence[tuple[bytes, tuple[bytes | None, ...]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """A worker has taken up `task`; left out for short experiments whose outcome follows at once."""

    task: Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Advanced:
    """The experiment of `task` reports progress: `done` of `total` (None: not known)."""

    task: Task
    done: float
    total: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """`task` ended without delivering an outcome: its worker died, or was ended for running too long.

    `log` is what the experiment had printed, `metrics` the packed metrics that it had flushed; `started` is seconds
    since the epoch, `runtime` seconds, `host` where it ran (empty: on this machine). `final` is whether every further
    attempt would end in the same way, so that there is none.
    """

    task: Task
    status: Status
    failure: Failure
    started: float
    runtime: float
    log: bytes = b""
    metrics: bytes = b""
    host: str = ""
    final: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """`task` had been handed to a worker when the run was cancelled, was not begun, and will not be."""

    task: Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted:
    """Something that whoever watches the run should know, as why nothing happens; no task is over by it."""

    message: str


Report = Delivered | Interrupted | Begun | Advanced | Lost | Returned | Noted


@runtime_checkable
class Executor(Protocol):
    """Something that runs tasks.

    The contract, which `tests/executors/test_contract.py` tries on every one of them:

    - One thread calls it, always the same.
    - Every submitted task comes back exactly once: in a `Delivered` frame, as `Lost` or `Returned`, or in what `drain`,
      `cancel` or `stop` return.
    - An outcome is in a spool in the job's folder before it is reported as `Delivered`: from then on no kill loses it.
    - What an experiment raises is an outcome. What ends its worker costs it an attempt, and no other task: one whose
      worker died before it was begun is run elsewhere by the executor itself and costs nothing.
    - It never runs a task twice unasked: retries are the run's.
    - After `stop` another job may follow, and nothing of the first reaches it.
    - An executor passed in as an object is closed by whoever made it; `close` may be called twice, and without `start`.

    One whose workers are far away may have an attribute `ahead`: worth how many seconds work is to be submitted ahead.
    One whose workers are all on this machine may have `beside`, which is true: then they need not wait for the disk
    after a large result, because the store syncs its file before it tells of it. One that takes a while to start may
    have `prepare()`, which begins with what needs no job: it is called, once or more, as soon as a run is likely to
    have something to do, by the thread that calls the rest. `start` may never follow; `close` does.
    """

    @property
    def slots(self) -> int:
        """How many experiments run at once."""
        ...

    @property
    def isolates(self) -> bool:
        """Whether an experiment can be ended from outside, which `timeout` needs."""
        ...

    @property
    def inline(self) -> bool:
        """Whether experiments run inside `wait`, in the caller's thread."""
        ...

    def start(self, job: Job) -> None:
        """Begin to make workers for `job`; returns at once.

        Raises:
            WorkerStartError: no worker can be made.
        """
        ...

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take `tasks` over, to be begun in this order as workers become free; never blocks on an experiment."""
        ...

    def wait(self, timeout: float) -> Iterable[Report]:
        """Return what has happened, waiting up to `timeout` seconds when nothing has.

        Raises:
            WorkerStartError: workers die before they can take up any task, or cannot load the experiment.
        """
        ...

    def drain(self) -> Sequence[Task]:
        """Begin nothing more: return the tasks not handed to workers, and let running experiments go on."""
        ...

    def cancel(self) -> Sequence[Task]:
        """Begin nothing more: return the tasks not handed to workers, and ask running experiments to stop."""
        ...

    def stop(self) -> Sequence[Task]:
        """End every experiment now and return the tasks that delivered nothing. Idempotent.

        What was delivered meanwhile comes with the next `wait`. Afterwards another job may be started.
        """
        ...

    def close(self) -> None:
        """Leave no process, thread or file behind. Idempotent, called also after errors."""
        ...


@runtime_checkable
class RemoteExecutor(Executor, Protocol):
    """An executor whose work goes on when its process is gone, in the queue of a cluster.

    Tasks are handed over all at once; `runtime["time"]` is the time of a job, after which it goes on in another, not
    the end of an experiment. It leaves `memento.layout.REMOTE` in the run's folder before anything is submitted, with
    the name of its engine, whose `Watch` follows what was left.
    """

    @property
    def cancels(self) -> bool:
        """Whether an interrupt ends what was submitted, rather than leaving it to a later run."""
        ...

    @property
    def is_submitted(self) -> bool:
        """Whether every task that was taken over is in the queue."""
        ...

    def preview(self, job: Job, tasks: Sequence[Task], *, script: bool = False) -> str:
        """Return, as text, what would be submitted for `tasks` of `job`, and with `script` how; nothing is."""
        ...

    def learn(self, key: bytes, failure: Failure) -> None:
        """Take note of why the last attempt at `key` failed, in another run: the next may need more of something."""
        ...

    def leave(self) -> str:
        """Let everything go on without this process, and return what the user should know of it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStanding:
    """How a batch job stands.

    `job` is its id as its engine writes it ("" before it has one); `node`, `state` and `exit` are its engine's words;
    `running` and `waiting` are tasks in it, `done` counts those that have delivered.
    """

    job: str
    node: str
    state: str
    exit: str
    running: Sequence[Task]
    waiting: Sequence[Task]
    done: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStanding:
    """How a remote run stands; where its engine was not `asked`, only what the run's folder tells is known."""

    asked: bool
    jobs: Sequence[JobStanding]


class Watch(Protocol):
    """Follows the work that a dead process has left in a run's folder, as the executor that left it would have."""

    @property
    def keys(self) -> set[bytes]:
        """The keys that may still be delivered."""
        ...

    def look(self) -> Sequence[Report]:
        """Return what has happened since the last look; `Returned` tasks will not be run by what was left."""
        ...

    def cancel(self, keys: set[bytes]) -> None:
        """End what was submitted for any of `keys`."""
        ...


@runtime_checkable
class Listener(Protocol):
    """Something that is told what happens in a run.

    `handle` is called from the run's own thread with events of the types in `hears`, and must return at once; a
    listener that has slow work to do (a network) does it on a thread of its own and finishes it in `close`. What it
    raises is reported once and never reaches the run.
    """

    @property
    def hears(self) -> tuple[type[Event], ...]:
        """The types of events it wants."""
        ...

    def handle(self, event: Event) -> None:
        """Take note of `event`."""
        ...

    def close(self) -> None:
        """Finish; called once, after the last event, within a bounded time."""
        ...
