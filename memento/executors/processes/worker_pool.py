"""The workers of one executor: making them within the CPUs and devices there are, hearing them, and letting them go.

supervisor's channel ─┐
worker's channel ─────┼─ selector ──▶ messages of workers, and who has ended
worker's channel ─────┘
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from memento.errors import WorkerStartError
from memento.executors.processes.devices import DevicePool, environment_for
from memento.executors.processes.messages import Kind
from memento.executors.processes.supervisor_client import SupervisorClient
from memento.executors.processes.worker_handle import WorkerHandle

Shape = tuple[int, float | None]
"""How many CPUs an experiment occupies, and how many devices, or which share of one."""
Message = tuple[WorkerHandle, Kind, bytes]
# So many workers that die before they are ready, one after another, mean that none will ever be.
STARTS = 3
# So many seconds no worker is made after one could not be: what another program uses up may be free again by then.
PAUSE = 1.0


class WorkerPool:
    """Up to `slots` worker processes and the supervisor that makes them, for one job after another.

    Attributes:
        workers: the workers by their numbers, those that have ended until `bury` is called.
        running: whether there is a supervisor.
    """

    def __init__(self, slots: int, *, method: str, environment: Mapping[str, str]) -> None:
        self.slots = slots
        self.workers: dict[int, WorkerHandle] = {}
        self._method = method
        self._environment = dict(environment)
        self._devices = DevicePool()
        self._control: SupervisorClient | None = None
        self._selector: selectors.BaseSelector | None = None
        self._failed_starts = 0
        self._paused_until = 0.0

    def start(self, spool: Path, home: str) -> None:
        """Begin another job, whose files are in the folder `spool`; `home` is where its experiment is defined."""
        self._spool, self._home = spool, home
        self.workers = {}
        self._failed_starts = 0
        self._paused_until = 0.0
        self.prepare()

    def prepare(self) -> None:
        """Start the supervisor, if there is none yet; it is not waited for."""
        if self._selector is None:
            self._selector = selectors.DefaultSelector()
        if self._control is None:
            self._start_control()

    @property
    def running(self) -> bool:
        """Whether there is a supervisor."""
        return self._control is not None

    def _start_control(self) -> None:
        assert self._selector is not None
        self._control = SupervisorClient(self._method)
        self._selector.register(self._control.channel, selectors.EVENT_READ, None)

    def check(self, gpus: float | None) -> None:
        """Raise OptionError if there are fewer devices than `gpus`."""
        self._devices.check(gpus)

    # Making workers and letting them go

    def fits(self, shape: Shape) -> bool:
        """Return whether another experiment of `shape` can run beside those that do."""
        busy = sum(worker.shape[0] for worker in self.workers.values() if worker.tasks)
        return busy == 0 or busy + shape[0] <= self.slots

    def has_room(self, shape: Shape) -> bool:
        """Return whether a further worker of `shape` may be made, ending an idle one of another shape if that helps."""
        if not self.fits(shape):
            return False
        if len(self.workers) >= self.slots:
            self._dismiss_idle(shape)
        return self.may_grow

    @property
    def may_grow(self) -> bool:
        """Whether there may be more workers now."""
        return len(self.workers) < self.slots and time.monotonic() >= self._paused_until

    def _dismiss_idle(self, but: Shape) -> None:
        for worker in [worker for worker in self.workers.values() if not worker.tasks and worker.shape != but]:
            self.dismiss(worker)

    def make(self, shape: Shape) -> bool:
        """Make a worker of `shape`; return False if its devices are all leased."""
        devices = self._devices.lease(shape[1])
        if devices is None:
            for worker in [worker for worker in self.workers.values() if not worker.tasks and worker.devices]:
                self.dismiss(worker)
            devices = self._devices.lease(shape[1])
            if devices is None:
                return False
        assert self._control is not None
        assert self._selector is not None
        ours, theirs = socket.socketpair()
        threads = max(shape[0], usable_cpus() // self.slots, 1)
        number = self._control.make(
            theirs,
            spool=str(self._spool),
            environment={**environment_for(devices, shape[1], threads), **self._environment},
        )
        theirs.close()
        worker = WorkerHandle(
            number=number, name=f"worker-{number}", folder=self._spool, channel=ours, shape=shape, devices=devices,
            home=self._home,
        )  # fmt: skip
        self.workers[number] = worker
        self._selector.register(ours, selectors.EVENT_READ, worker)
        return True

    def end(self, worker: WorkerHandle) -> None:
        """Have `worker` and everything it started killed; it is buried when the supervisor says so."""
        assert self._control is not None
        self._control.end(worker.number)

    def dismiss(self, worker: WorkerHandle) -> None:
        """Let an idle worker go; it ends when its channel closes. Idempotent: what it said before is heard after it."""
        self.bury(worker.number)

    def bury(self, number: int) -> WorkerHandle | None:
        """Return the worker that has ended, which is of the pool no longer; None if it was not before."""
        worker = self.workers.pop(number, None)
        if worker is not None:
            self._forget(worker)
        return worker

    def _forget(self, worker: WorkerHandle) -> None:
        assert self._selector is not None
        if worker.channel.fileno() in self._selector.get_map():
            self._selector.unregister(worker.channel)
        worker.channel.close()
        self._devices.release(worker.devices, worker.shape[1])

    # Hearing

    def listen(self, timeout: float) -> tuple[list[Message], dict[int, int | str]]:
        """Return what workers have said within `timeout` seconds, and who has ended: exit status, or why none was made.

        Raises:
            WorkerStartError: the supervisor was killed too often.
        """
        assert self._selector is not None
        said: list[Message] = []
        exited: dict[int, int | str] = {}
        for ready, _ in self._selector.select(timeout):
            if ready.data is None:
                exited.update(self._exits())
            else:
                said += self._heard(ready.data)
        return said, exited

    def _exits(self) -> dict[int, int | str]:
        assert self._control is not None
        assert self._selector is not None
        try:
            return self._control.exits()
        except ConnectionError:
            # The supervisor was killed, and the kernel has killed its children with it; `close` kills what they left.
            self._selector.unregister(self._control.channel)
            self._control.close()
            self._control = None  # so that whoever winds up after a failed start talks to nobody
            self.failed_start("the supervisor of the workers was killed")
            self._start_control()
            for worker in self.workers.values():
                worker.orphaned = True
            return dict.fromkeys(self.workers, -9)

    def _heard(self, worker: WorkerHandle) -> Iterator[Message]:
        try:
            data = worker.channel.recv(65536)
        except ConnectionError:
            data = b""
        if not data:  # its end is near; the supervisor will say how it ended
            assert self._selector is not None
            self._selector.unregister(worker.channel)
            return
        for kind, body in worker.inbox.feed(data):
            if kind is Kind.READY:
                self._failed_starts = 0
            yield worker, kind, body

    def failed_start(self, what: str, worker: WorkerHandle | None = None) -> None:
        """Take note of a start that failed.

        Raises:
            WorkerStartError: too many did, one after another.
        """
        self._failed_starts += 1
        if self._failed_starts >= STARTS:
            details = worker.last_words() if worker else ""
            raise WorkerStartError(f"{what}, {STARTS} times in a row\n{details}".rstrip(), details=details)

    def hold_back(self, why: str, worker: WorkerHandle) -> None:
        """Make no workers for a moment, because `worker` could not be made; those that there are go on.

        Raises:
            WorkerStartError: there are none, time and again.
        """
        self._paused_until = time.monotonic() + PAUSE
        self._dismiss_idle(worker.shape)
        if not self.workers:
            self.failed_start(
                f"no worker process could be made: {why} (see `ulimit -a`, and what its container or service may use)"
            )

    def close(self) -> None:
        """End the supervisor, and with it everything below it. Idempotent."""
        for worker in list(self.workers.values()):
            self.dismiss(worker)
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._selector is not None:
            self._selector.close()
            self._selector = None


def usable_cpus() -> int:
    """Return how many CPUs this process may use, which a container or a batch system may have limited."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))
