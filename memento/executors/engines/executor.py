"""The orchestrator's side of an engine that runs batches of tasks elsewhere (Dask, Ray).

    submit ──▶ queue ──batches──▶ engine ──▶ run_batch, on a worker
                 ▲                  │ │ └─ while it runs: begun, progress, metrics ──▶ inbox
                 │                  │ └─── an answer ─▶ files into the store, frames into a spool ─▶ Delivered
                 └── not begun ◀────┴───── a death ───▶ what it was running: Lost

Guarantees: an outcome is in a spool of this machine, and its files in the store, before anybody is told; a death costs
the experiment that was running; where none is known, each of the batch is run again alone, so that the next death has
a name; an outcome that comes twice counts once.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import secrets
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from memento.errors import EngineLost, StoreUnwritable, WorkerStartError
from memento.executors.elsewhere.orders import Order
from memento.executors.elsewhere.sealed import seal
from memento.executors.engines.batch import Answer, Batch, Death, Engine, File, Heard, Kind, Sent
from memento.executors.engines.batch_sizes import GROWING, BatchSizes
from memento.executors.engines.files_in import Landing
from memento.heads import Frame, key_in
from memento.job import Job
from memento.protocols import Advanced, Begun, Lost, Report, Returned
from memento.task import Task

# What a worker was running is known for certain so many seconds after it said so: it may have finished that and begun
# another, and died before it could say that.
SETTLED = 0.75
# A packed job up to this size goes with every batch, a larger one to each worker once.
SMALL_JOB = 16 * 1024


class BatchExecutor:
    """Runs experiments in the workers of `engine`, each in a process of its own there."""

    isolates = True
    inline = False

    def __init__(self, engine: Engine, *, shared: bool) -> None:
        self._engine = engine
        self._shared = shared
        self._landing: Landing | None = None
        # Counted on from job to job: the end of a batch may be heard, by another thread, when the next job has begun.
        self._number = 0
        self._reset()

    def _reset(self) -> None:
        self._queue: deque[Task] = deque()
        # Not a SimpleQueue: a signal that comes when its timeout is over makes CPython 3.11 wait in `get` for ever.
        self._inbox: queue.Queue[Heard] = queue.Queue()
        self._reports: list[Report] = []
        self._out: dict[bytes, int] = {}
        self._sent: dict[int, Sent] = {}
        self._suspects: set[bytes] = set()
        self._cancelled = self._ending = False

    @property
    def slots(self) -> int:
        """How many experiments run at once; before `start` what is known, at least one.

        Of a cluster that grows with its queue, those included that it would make room for next.
        """
        return max(1, self._engine.reach)

    @property
    def ahead(self) -> float:
        """How many seconds of work are submitted ahead; with less, batches are small, and small batches are slow."""
        return GROWING if self._engine.grows else 2.0

    def start(self, job: Job) -> None:
        """Connect to the engine.

        Raises:
            WorkerStartError: it cannot be reached, or the experiment cannot be sent.
        """
        self._reset()
        self._job, self._packed = job, seal(job)
        self._portions = BatchSizes(job.pace)
        self._close_landing()
        spool = Path(job.spool) / f"{self._engine.name.lower()}.spool"
        self._landing = Landing(Path(job.store), spool, shared=self._shared)
        self._visit = f"memento-{job.run.hex()}-{secrets.token_hex(4)}"
        self._engine.open(self._visit, self._inbox.put)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue `tasks`."""
        self._queue.extend(tasks)

    def wait(self, timeout: float) -> Iterable[Report]:
        """Hand out work and return what has happened.

        Raises:
            EngineLost: the engine is gone; what was delivered is kept.
            WorkerStartError: workers cannot run anything.
            StoreUnwritable: what came could not be kept.
        """
        if self._landing is None:
            return []
        self._assign()
        self._listen(0.0 if self._reports else timeout)
        self._assign()
        why = "" if self._ending or not (self._out or self._queue) else self._engine.look()
        if why and not self._reports:  # else that comes first
            raise EngineLost(f"{why}; what was delivered is stored, run the same again for the rest")
        reports, self._reports = self._reports, []
        return reports

    def _listen(self, timeout: float) -> None:
        """Hear what has arrived; what comes after something that raises is heard the next time."""
        with contextlib.suppress(queue.Empty):
            self._hear(self._inbox.get(timeout=timeout) if timeout > 0 else self._inbox.get_nowait())
            while True:
                self._hear(self._inbox.get_nowait())

    # Handing out work

    def _assign(self) -> None:
        if self._cancelled or not self._queue:
            return
        slots = self.slots
        most = self._portions.most(slots, grows=self._engine.grows)
        while self._queue and len(self._sent) < most:
            self._send(self._next(slots))

    def _next(self, slots: int) -> tuple[Task, ...]:
        """Take the tasks of the next batch off the queue: of one shape, and suspects alone."""
        first = self._queue.popleft()
        batch = [first]
        size = self._portions.size(len(self._queue), slots)
        while self._queue and len(batch) < size and not self._suspects:
            if (self._queue[0].cpus, self._queue[0].gpus) != (first.cpus, first.gpus):
                break
            batch.append(self._queue.popleft())
        return tuple(batch)

    def _send(self, tasks: tuple[Task, ...], *, with_job: bool = False) -> None:
        self._number += 1
        batch = Batch(
            number=self._number,
            visit=self._visit,
            run=self._job.run,
            tasks=tasks,
            files=self._landing.checkpoints(tasks) if self._landing else (),
            job=self._packed if with_job or len(self._packed) <= SMALL_JOB else None,
            shared=self._shared,
            python=sys.version_info[:2],
        )
        self._sent[batch.number] = Sent(batch)
        self._out.update((task.key, batch.number) for task in tasks)
        self._engine.send(batch)

    # Hearing

    def _hear(self, heard: Heard) -> None:
        sent = self._sent.get(heard.number)
        if sent is None:
            return  # of a batch that is over, or of another job
        if heard.kind is Kind.ANSWER:
            self._finish(sent, pickle.loads(heard.body))
        elif heard.kind is Kind.DIED:
            self._bury(sent, heard.body)
        elif heard.kind is Kind.UNBEGUN:
            del self._sent[heard.number]
            self._take_back([task for task in sent.batch.tasks if self._is_out(sent, task.key)])
        elif heard.kind is Kind.BROKEN:
            self._give_up(heard.body)
        else:
            self._hear_of(sent, heard.kind, *heard.body)

    def _hear_of(self, sent: Sent, kind: Kind, what: Any, *more: Any) -> None:
        if kind is Kind.FRAMES:
            self._deliver(sent, what, ())
        elif kind is Kind.LEFT:
            self._take_back(self._own(sent, what))
        else:
            for task in self._own(sent, [what]):
                if kind is Kind.BEGUN:
                    sent.running, sent.since, sent.metrics = task, time.time(), b""
                    self._reports.append(Begun(task=task))
                elif kind is Kind.ADVANCED:
                    self._reports.append(Advanced(task=task, done=more[0], total=more[1]))
                elif task == sent.running:
                    (sent.metrics,) = more

    def _own(self, sent: Sent, keys: Iterable[bytes]) -> list[Task]:
        """Return the tasks of the batch among `keys` that are still its to deliver."""
        wanted = set(keys)
        return [task for task in sent.batch.tasks if task.key in wanted and self._is_out(sent, task.key)]

    def _is_out(self, sent: Sent, key: bytes) -> bool:
        return self._out.get(key) == sent.batch.number

    def _finish(self, sent: Sent, answer: Answer) -> None:
        if answer.frames:
            self._portions.learn(answer.elapsed, len(answer.frames))
        self._deliver(sent, answer.frames, answer.files)
        if answer.broken:
            self._give_up(answer.broken)
        if answer.unwritable and not self._ending:
            raise StoreUnwritable(f"a worker's disk cannot be written: {answer.unwritable}")
        del self._sent[sent.batch.number]
        if answer.needs_job and not self._cancelled:
            self._send(sent.batch.tasks, with_job=True)
            return
        self._take_back([task for task in sent.batch.tasks if self._is_out(sent, task.key)])

    def _give_up(self, why: str) -> None:
        if not self._ending:
            raise WorkerStartError(f"{self._engine.name} workers cannot run the experiment: {why}", details=why)

    def _deliver(self, sent: Sent, frames: Sequence[Frame], files: Sequence[File]) -> None:
        fresh = [frame for frame in frames if self._is_out(sent, key_in(frame[0]))]
        if fresh and self._landing is not None:
            self._reports.append(self._landing.take(fresh, files))
        for head, _ in fresh:
            del self._out[key_in(head)]
            self._suspects.discard(key_in(head))

    def _bury(self, sent: Sent, death: Death) -> None:
        """Take note that a worker died: what it was running is lost, the rest of its batch is run elsewhere."""
        del self._sent[sent.batch.number]
        left = [task for task in sent.batch.tasks if self._is_out(sent, task.key)]
        lost = sent.running if sent.running in left else None
        if len(left) > 1 and time.time() - sent.since < SETTLED:
            lost = None
        if lost is None and len(left) == 1 and left[0].key in self._suspects:
            lost = left[0]
        if lost is None:
            self._suspects.update(task.key for task in left)
        else:
            self._lose(sent, lost, death)
        self._take_back([task for task in left if task is not lost])

    def _lose(self, sent: Sent, task: Task, death: Death) -> None:
        self._out.pop(task.key)
        self._suspects.discard(task.key)
        self._reports.append(sent.lost(task, death))

    def _take_back(self, tasks: Sequence[Task]) -> None:
        """Queue `tasks`, which were sent and not begun, again."""
        for task in tasks:
            self._out.pop(task.key, None)
        if self._cancelled:
            self._reports.extend(Returned(task=task) for task in tasks)
        else:
            self._queue.extendleft(reversed(tasks))

    # Coming to an end

    def drain(self) -> Sequence[Task]:
        """Begin nothing more, and let running experiments go on."""
        return self._hold_up(Order.DRAIN)

    def cancel(self) -> Sequence[Task]:
        """Begin nothing more, and let running experiments see `context.should_stop`."""
        return self._hold_up(Order.CANCEL)

    def _hold_up(self, order: Order) -> list[Task]:
        self._cancelled = True
        left, self._queue = list(self._queue), deque()
        if self._sent:
            self._engine.order(order)
        return left

    def stop(self) -> Sequence[Task]:
        """End every experiment, and hand back what delivered nothing."""
        if self._landing is None:
            return []
        self._cancelled = self._ending = True
        with contextlib.suppress(StoreUnwritable):  # which has been said before, or will be by the store
            self._listen(0.0)
        left, self._queue = list(self._queue), deque()
        for sent in self._sent.values():
            left += [task for task in sent.batch.tasks if self._is_out(sent, task.key)]
        left += [report.task for report in self._reports if isinstance(report, Lost | Returned)]
        self._reports = [report for report in self._reports if not isinstance(report, Lost | Returned)]
        self._engine.order(Order.STOP)
        self._engine.abandon()
        self._sent, self._out = {}, {}
        return left

    def close(self) -> None:
        """End what runs, and give back what was made here; what was passed in stays open."""
        self.stop()
        self._close_landing()
        self._engine.close()

    def _close_landing(self) -> None:
        if self._landing is not None:
            self._landing.close()
            self._landing = None
