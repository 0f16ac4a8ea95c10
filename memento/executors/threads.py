"""Several threads of this process: for experiments that wait for something else or leave the GIL."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from memento.executors.processes.worker_pool import usable_cpus
from memento.given import worker_count
from memento.heads import Frame, frame_of
from memento.job import Job
from memento.output import StreamOutput
from memento.protocols import Advanced, Begun, Delivered, Report
from memento.spool import SpoolWriter
from memento.task import Task
from memento.worker import Worker

# How long `close` waits for an experiment that was asked to stop: a thread cannot be ended from outside.
PATIENCE = 0.5


class ThreadExecutor:
    """Runs up to `workers` experiments at once, each in a thread of its own.

    Nothing is isolated: a crash ends the process, a hang cannot be ended. What was finished is in the spools. An
    experiment that does not heed `context.should_stop` goes on after its run has ended, and its outcome is lost.

    Args:
        workers: how many; by default as many as this process may use CPUs.

    Example:
        >>> from memento import Memento
        >>> def double(context, config):
        ...     return 2 * config.x
        >>> results = Memento(double, executor=ThreadExecutor(2)).run({"parameters": {"x": [1, 2]}})
        >>> [result.inner for result in results]
        [2, 4]
    """

    isolates = False
    inline = False
    beside = True

    def __init__(self, workers: int | None = None) -> None:
        self.slots = worker_count(workers) or usable_cpus()
        self._pool: _ThreadPool | None = None

    def start(self, job: Job) -> None:
        """Start the threads."""
        self._pool = _ThreadPool(job, self.slots)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue `tasks` for the threads."""
        if self._pool is not None:
            self._pool.submit(tasks)

    def wait(self, timeout: float) -> Iterable[Report]:
        """Return what has happened.

        Raises:
            StoreError: a thread could not keep its outcome.
        """
        return [] if self._pool is None else self._pool.wait(timeout)

    def drain(self) -> Sequence[Task]:
        """Begin nothing more."""
        return [] if self._pool is None else self._pool.drain()

    def cancel(self) -> Sequence[Task]:
        """Begin nothing more, and let running experiments see `context.should_stop`."""
        if self._pool is None:
            return []
        self._pool.stopping = True
        return self._pool.drain()

    def stop(self) -> Sequence[Task]:
        """Hand back what was not begun and what runs on in threads, which nothing can end."""
        return [] if self._pool is None else self._pool.dismiss()

    def close(self) -> None:
        """Let idle threads end; a thread that an experiment still holds ends with the process."""
        if self._pool is not None:
            self._pool.dismiss()
            self._pool.join()
            self._pool = None


class _ThreadPool:
    """The threads of one job; a later job has another pool, so that none of these can take up its tasks."""

    def __init__(self, job: Job, size: int) -> None:
        self.stopping = False
        self._closing = False
        self._tasks: deque[Task] = deque()
        self._available = threading.Condition()
        # Not a SimpleQueue: a signal that comes when its timeout is over makes CPython 3.11 wait in `get` for ever.
        self._reports: queue.Queue[Report | Frame | Exception] = queue.Queue()
        self._running: dict[int, Task] = {}
        self._threads = [
            threading.Thread(target=self._work, args=(job, number), name=f"memento-{number}", daemon=True)
            for number in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, job: Job, number: int) -> None:
        try:
            worker = Worker(job, StreamOutput(echo=False), stopping=lambda: self.stopping, report=self._advanced)
            with closing(worker), closing(SpoolWriter(Path(job.spool) / f"thread-{number}.spool")) as spool:
                self._run(worker, spool, number)
        except Exception as error:
            self._reports.put(error)  # the disk: raised by `wait`, which ends the run

    def _run(self, worker: Worker, spool: SpoolWriter, number: int) -> None:
        while (task := self._next(number)) is not None:
            outcome = worker.run(task)
            spool.append(outcome)
            if not self._closing:  # else its run is over, and the checkpoint may be another's by now
                worker.finish(outcome)
            with self._available:
                self._running.pop(number, None)
            self._reports.put(frame_of(outcome))

    def _next(self, number: int) -> Task | None:
        with self._available:
            while not self._tasks and not self._closing:
                self._available.wait()
            if self._closing:
                return None
            task = self._tasks.popleft()
            self._running[number] = task
            self._reports.put(Begun(task=task))
            return task

    def _advanced(self, task: Task, done: float, total: float | None) -> None:
        self._reports.put(Advanced(task=task, done=done, total=total))

    def submit(self, tasks: Sequence[Task]) -> None:
        with self._available:
            self._tasks.extend(tasks)
            self._available.notify(len(tasks))

    def wait(self, timeout: float) -> list[Report]:
        items: list[Report | Frame | Exception] = []
        try:
            items.append(self._reports.get(timeout=timeout))
            while True:
                items.append(self._reports.get_nowait())
        except queue.Empty:
            pass
        for item in items:
            if isinstance(item, Exception) and not self._closing:
                raise item
        frames = [item for item in items if isinstance(item, tuple)]
        reports: list[Report] = [item for item in items if isinstance(item, Begun | Advanced)]
        return [*reports, Delivered(frames=frames)] if frames else reports

    def drain(self) -> list[Task]:
        with self._available:
            left, self._tasks = list(self._tasks), deque()
        return left

    def dismiss(self) -> list[Task]:
        self.stopping = True
        left = self.drain()
        with self._available:
            self._closing = True
            self._available.notify_all()
            return left + list(self._running.values())

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE / max(1, len(self._threads)))
