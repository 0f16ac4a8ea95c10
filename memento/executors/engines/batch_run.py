"""What a worker of another engine (Dask, Ray) does: runs a batch of tasks, and gives what came of it as bytes.

    engine's task ──▶ run_batch ──▶ WarmWorker: a ProcessExecutor with one worker ──▶ the experiment, in a process
          ▲              │  └─tell─▶ begun, progress, metrics, while it runs
          └── Answer ◀───┘ frames, and the files that belong to them

Guarantees: an experiment that crashes, hangs beyond its timeout or uses all memory costs itself, and neither the worker
of the engine nor the rest of the batch; what it wrote into the store's folders here (large parts, `context.directory`,
the checkpoint of an unfinished one) travels with its outcome, unless the store is shared; nothing stays behind.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from memento.errors import StoreUnwritable, WorkerStartError
from memento.executors.elsewhere.orders import Obedience, Order
from memento.executors.engines.batch import Answer, Batch, File, Kind
from memento.executors.engines.files_out import bring_along
from memento.executors.engines.warm_worker import WarmWorker, give_back, take_worker
from memento.executors.processes.worker_process import read_spill, spill_path
from memento.files import private_folder
from memento.heads import Frame, frame_of, key_in
from memento.lost_outcomes import outcome_of
from memento.protocols import Advanced, Begun, Delivered, Lost, Report, Returned
from memento.task import Task

TICK = 0.1
# A batch of short experiments that still runs after so many seconds gives back what it has not begun.
LONG = 1.0
# Metrics of a running experiment, and outcomes ahead of their batch, are told up to this size.
LARGEST_TOLD = 64 * 1024
METRICS_INTERVAL = 1.0

Tell = Callable[[tuple[Any, ...]], None]


def run_batch(batch: Batch, tell: Tell, order: Callable[[], Order], *, slots: int = 1) -> Answer:
    """Run `batch` and return what came of it.

    Args:
        batch: what to do.
        tell: hears, while it runs, what a worker may tell by `Kind`, each followed by its body.
        order: returns what the orchestrator wants.
        slots: how many batches this process runs side by side.
    """
    if batch.python != sys.version_info[:2]:
        ours, theirs = (".".join(map(str, version)) for version in (sys.version_info[:2], batch.python))
        return Answer(broken=f"a worker has Python {ours} and the orchestrator {theirs}; use one version everywhere")
    if order():
        return Answer(left=tuple(task.key for task in batch.tasks))
    try:
        warm = take_worker(batch, slots)
    except WorkerStartError as error:
        return Answer(broken=str(error))
    if warm is None:
        return Answer(needs_job=True)
    attendance = _Attendance(warm, batch, tell, order)
    try:
        try:
            answer = attendance.run()
        except WorkerStartError as error:
            answer = attendance.given_up()._replace(broken=str(error))
        except StoreUnwritable as error:
            answer = attendance.given_up()._replace(unwritable=str(error))
    except BaseException:
        warm.close()
        raise
    give_back(warm, keep=warm.usable and not answer.broken and not answer.unwritable)
    return answer


class _Attendance:
    """Attends to one batch."""

    def __init__(self, warm: WarmWorker, batch: Batch, tell: Tell, order: Callable[[], Order]) -> None:
        self._warm, self._batch, self._tell, self._order = warm, batch, tell, order
        self._open = {task.key: task for task in batch.tasks}
        self._frames: list[Frame] = []
        self._files: list[File] = []
        self._left: list[bytes] = []
        self._running: Task | None = None
        self._metrics = b""
        self._metrics_at = self._begun = time.monotonic()
        self._obedience = Obedience(warm.executor)

    def run(self) -> Answer:
        """Run it to its end."""
        for _, name, data in self._batch.files:
            path = self._warm.root / name
            private_folder(path.parent)
            path.write_bytes(data)
        executor = self._warm.executor
        # What the engine has leased is all that the process sees: nothing is left to be leased.
        executor.submit([task._replace(gpus=None) for task in self._batch.tasks])
        while self._open:
            self._hear(executor.wait(TICK))
            if self._heed():
                break
            self._tell_metrics()
        return self._answer()

    def given_up(self) -> Answer:
        """End what runs, and return what was finished before."""
        # What it had in its spool comes too; where that cannot be had, what has come so far is better than nothing.
        with contextlib.suppress(WorkerStartError, StoreUnwritable):
            self._end()
        return self._answer()

    def _answer(self) -> Answer:
        elapsed = time.monotonic() - self._begun
        return Answer(tuple(self._frames), tuple(self._files), tuple(self._left), elapsed)

    def _end(self) -> None:
        self._warm.usable = False
        self._warm.executor.stop()
        self._hear(self._warm.executor.wait(0.0))

    def _heed(self) -> bool:
        """Do as the orchestrator wants; return whether everything is to end now."""
        order = self._order()
        if order is Order.STOP:
            self._end()
            return True
        long = len(self._open) > 1 and time.monotonic() - self._begun > LONG
        back = self._obedience.obey(order or (Order.DRAIN if long else Order.NONE))
        if back is not None:
            self._warm.usable = False
            self._hold_up(back)
        return False

    def _hold_up(self, tasks: Iterable[Task]) -> None:
        """Others are to run `tasks`, and to have what is finished already."""
        self._give_back(tasks)
        if self._frames and not self._files and sum(map(_size_of, self._frames)) < LARGEST_TOLD:
            self._tell((Kind.FRAMES, tuple(self._frames)))

    def _give_back(self, tasks: Iterable[Task]) -> None:
        keys = [task.key for task in tasks if self._open.pop(task.key, None) is not None]
        self._left += keys
        if keys:
            self._tell((Kind.LEFT, tuple(keys)))

    def _hear(self, reports: Iterable[Report]) -> None:
        for report in reports:
            if isinstance(report, Delivered):
                for frame in report.frames:
                    self._keep((frame[0], tuple(frame[1])))
            elif isinstance(report, Lost):
                self._keep(frame_of(outcome_of(report, self._warm.root, self._batch.run)))
            elif isinstance(report, Begun):
                self._running, self._metrics = report.task, b""
                self._tell((Kind.BEGUN, report.task.key))
            elif isinstance(report, Advanced):
                self._tell((Kind.ADVANCED, report.task.key, report.done, report.total))
            elif isinstance(report, Returned):
                self._give_back([report.task])

    def _keep(self, frame: Frame) -> None:
        if self._open.pop(key_in(frame[0]), None) is not None:
            if not self._batch.shared:
                frame, files = bring_along(self._warm.root, frame)
                self._files += files
            self._frames.append(frame)

    def _tell_metrics(self) -> None:
        task, now = self._running, time.monotonic()
        if task is None or task.key not in self._open or now - self._metrics_at < METRICS_INTERVAL:
            return
        self._metrics_at = now
        for worker in self._warm.spool.glob("*.metrics"):
            metrics = read_spill(spill_path(self._warm.spool, worker.stem), task)
            if metrics and metrics != self._metrics and len(metrics) <= LARGEST_TOLD:
                self._metrics = metrics
                self._tell((Kind.METRICS, task.key, metrics))


def _size_of(frame: Frame) -> int:
    return len(frame[0]) + sum(len(body) for body in frame[1] if body)
