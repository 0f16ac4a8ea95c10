"""One experiment after another in this process: a debugger works, nothing is isolated."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from memento.heads import Frame
from memento.job import Job
from memento.output import StreamOutput
from memento.protocols import Advanced, Begun, Delivered, Report
from memento.spool import SpoolWriter, read_frames
from memento.task import Status, Task
from memento.worker import Worker

# How long `wait` goes on with short experiments before it hands back what they gave.
TURN = 0.05


class SerialExecutor:
    """Runs each experiment inside `wait`, in the calling thread.

    An experiment that ends or crashes the process ends the run with it; what was finished is in the spool.

    Example:
        >>> from memento import Memento
        >>> def double(context, config):
        ...     return 2 * config.x
        >>> results = Memento(double, executor=SerialExecutor()).run({"parameters": {"x": [1, 2]}})
        >>> [result.inner for result in results]
        [2, 4]
    """

    slots = 1
    isolates = False
    inline = True
    beside = True

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._spool: SpoolWriter | None = None
        self._reset()

    def _reset(self) -> None:
        self._tasks: deque[Task] = deque()
        self._stopping = False
        self._reports: list[Report] = []
        self._begun: set[bytes] = set()
        self._read = 0

    def start(self, job: Job) -> None:
        """Make the one worker, in place of that of an earlier job."""
        self._let_go()
        self._reset()
        self._spool = SpoolWriter(Path(job.spool) / "serial.spool")
        self._worker = Worker(
            job,
            StreamOutput(echo=True),
            stopping=lambda: self._stopping,
            inline=True,
            report=lambda task, done, total: self._reports.append(Advanced(task=task, done=done, total=total)),
        )

    def submit(self, tasks: Sequence[Task]) -> None:
        """Take `tasks` over."""
        self._tasks.extend(tasks)

    def wait(self, timeout: float) -> Iterable[Report]:
        """Run what is queued for up to a turn, at least one experiment, and return what came of it.

        An experiment is announced by one call and run by the next, so that listeners hear of it before it begins.
        """
        if not self._tasks or self._worker is None or self._spool is None:
            if not self._reports:
                time.sleep(timeout)
            return self._drain([])
        if self._tasks[0].key not in self._begun:
            self._begun.add(self._tasks[0].key)
            return self._drain([Begun(task=self._tasks[0])])
        until = time.monotonic() + TURN
        while self._tasks:
            task = self._tasks[0]
            outcome = self._worker.run(task)
            self._spool.append(outcome)
            # Only now: an interrupt before this line leaves the task queued, and `stop` hands it back.
            self._tasks.popleft()
            self._begun.discard(task.key)
            self._worker.finish(outcome)
            # An interrupt that reached the experiment is known to nobody else yet: nothing is begun after it.
            if time.monotonic() > until or self._stopping or outcome.status is Status.CANCELLED:
                break
        return self._drain(self._delivered())

    def _delivered(self) -> list[Report]:
        assert self._spool is not None
        frames: list[Frame]
        frames, self._read = read_frames(self._spool.path, self._read)
        return [Delivered(frames=frames, spool=self._spool.path.name, end=self._read)] if frames else []

    def _drain(self, reports: list[Report]) -> list[Report]:
        before, self._reports = self._reports, []
        return before + reports

    def cancel(self) -> Sequence[Task]:
        """Begin nothing more; between two calls nothing is running that could be asked to stop."""
        self._stopping = True
        return self.drain()

    def drain(self) -> Sequence[Task]:
        """Begin nothing more."""
        left, self._tasks = list(self._tasks), deque()
        self._begun.clear()
        return left

    def stop(self) -> Sequence[Task]:
        """Hand back what was not run; nothing is running outside `wait`."""
        return self.cancel()

    def close(self) -> None:
        """Give back the streams and the spool."""
        self._let_go()

    def _let_go(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None
