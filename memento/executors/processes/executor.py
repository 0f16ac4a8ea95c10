"""Worker processes on this machine, each running one experiment at a time.

    submit ──▶ queue ──assign──▶ worker's channel … its spool ──collect──▶ Delivered
                 ▲                        │ dies
                 └── what it had not begun┴── what it was running ──▶ Lost

Guarantees: a death costs the experiment that was running and nothing else; what a worker had written into its spool
counts, even when it died before it could say so; no process outlives `close`, save those that an experiment has put
into a session of their own when somebody kills the supervisor, which alone knows them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from memento.errors import StoreUnwritable, WorkerStartError
from memento.executors.processes.messages import OFFSET, PROGRESS, Kind, unpack_tasks
from memento.executors.processes.worker_handle import WorkerHandle
from memento.executors.processes.worker_pool import Shape, WorkerPool, usable_cpus
from memento.executors.processes.worker_process import STOP_FILE
from memento.failures import place_of
from memento.given import one_of, variables, whole, worker_count
from memento.heads import Frame
from memento.job import Job
from memento.job_packing import pack_job
from memento.output import shorten
from memento.protocols import Advanced, Begun, Delivered, Lost, Report, Returned
from memento.task import Status, Task

START_METHODS = ("forkserver", "spawn", "fork")
# Short experiments are sent in batches worth this many seconds, two batches ahead; longer ones one at a time, the next
# while one runs where that takes less than `AHEAD`, so that the worker need not wait for it.
BATCH_TIME = 0.02
AHEAD = 1.0
LARGEST_BATCH = 2000
# A worker that has said nothing for so long gives back what it has not begun, when others are idle.
QUIET = 0.05
GRACE_OF_STOP = 5.0
_shape_of = attrgetter("cpus", "gpus")


class ProcessExecutor:
    """Runs up to `workers` experiments at once, each in a process of its own kept alive between experiments.

    Args:
        workers: how many; by default as many as this process may use CPUs.
        start_method: "forkserver" (a clean process is forked), "spawn" (a fresh interpreter), or "fork" (this process
            is forked, with everything in its memory but the states of the global random generators of Python, numpy and
            torch, which each worker seeds anew: quick to start, unsafe with threads and CUDA).
        max_tasks_per_worker: replace a worker after so many experiments.
        environment: further variables for the workers, set before anything is imported.

    Example:
        >>> executor = ProcessExecutor(2, start_method="spawn", max_tasks_per_worker=10)
        >>> executor.slots
        2
    """

    isolates = True
    inline = False
    beside = True

    def __init__(
        self,
        workers: int | None = None,
        *,
        start_method: str = "forkserver",
        max_tasks_per_worker: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        one_of("start_method", start_method, START_METHODS)
        self.slots = worker_count(workers) or usable_cpus()
        self._most = None if max_tasks_per_worker is None else whole("max_tasks_per_worker", max_tasks_per_worker, 1)
        self._pool = WorkerPool(self.slots, method=start_method, environment=variables(environment))
        self._reset()

    def _reset(self) -> None:
        self._queue: deque[Task] = deque()
        self._shapes: set[Shape] = set()  # of all tasks of the job so far
        self._reports: list[Report] = []
        self._cancelled = False
        self._ending = False
        self._looked = time.monotonic()

    def prepare(self) -> None:
        """Start the supervisor, which takes a while and needs no job."""
        self._pool.prepare()

    def start(self, job: Job) -> None:
        """Start the supervisor and leave the job where workers find it; workers are made as tasks come."""
        self._reset()
        self._spool = Path(job.spool)
        (self._spool / STOP_FILE).touch()
        self._pool.start(self._spool, place_of(job.experiment))  # which takes a while, and this meanwhile too:
        (self._spool / "job").write_bytes(pack_job(job))

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue `tasks`, and hand out what workers have room for.

        Raises:
            OptionError: one asks for more devices than there are; none is queued.
        """
        shapes = set(map(_shape_of, tasks))
        for _, gpus in shapes:
            self._pool.check(gpus)
        self._shapes |= shapes
        self._queue.extend(tasks)
        if self._pool.running:
            self._assign()  # and not with the next `wait`: the caller may sync a disk before that

    def wait(self, timeout: float) -> Iterable[Report]:
        """Hand out work, listen to the workers, end those that are overdue, and return what has happened."""
        if not self._pool.running:
            return []  # it never started
        self._assign()
        if self._reports:
            timeout = 0.0
        self._listen(self._until_next_deadline(timeout))
        self._look_after()
        self._assign()
        reports, self._reports = self._reports, []
        return reports

    # Handing out work

    def _assign(self) -> None:
        if self._cancelled:
            return
        while self._queue:
            task = self._queue[0]
            shape = _shape_of(task)
            worker = self._with_room(shape)
            if worker is None:
                if not self._pool.has_room(shape) or not self._pool.make(shape):
                    return
                continue
            self._send(worker, shape)
        self._spread()

    def _with_room(self, shape: Shape) -> WorkerHandle | None:
        best: WorkerHandle | None = None
        for worker in self._pool.workers.values():
            if worker.shape != shape or worker.retiring or worker.ending is not None:
                continue
            if not worker.tasks:
                if self._pool.fits(shape):
                    return worker
            elif self._batch(worker) * 2 > len(worker.tasks) and self._is_quick(worker):
                best = worker if best is None or len(worker.tasks) < len(best.tasks) else best
        # Filling up a busy worker comes after using an idle one or making another.
        return best if best is not None and not self._pool.has_room(shape) else None

    def _is_quick(self, worker: WorkerHandle) -> bool:
        return worker.pace is not None and worker.pace < AHEAD

    def _batch(self, worker: WorkerHandle) -> int:
        if worker.pace is None:
            return 1
        fair = len(self._queue) // (2 * self.slots) + 1
        return max(1, min(int(BATCH_TIME / max(worker.pace, 1e-6)), LARGEST_BATCH, fair))

    def _send(self, worker: WorkerHandle, shape: Shape) -> None:
        wanted = self._batch(worker) if self._most is None else min(self._batch(worker), self._most - worker.sent)
        worker.send(self._next(wanted, shape))
        if self._most is not None and worker.sent >= self._most:
            worker.retiring = True
        self._announce(worker)

    def _next(self, most: int, shape: Shape) -> list[Task]:
        """Take up to `most` tasks of one `shape` off the front of the queue."""
        if len(self._shapes) == 1:
            return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
        batch: list[Task] = []
        while self._queue and len(batch) < most and _shape_of(self._queue[0]) == shape:
            batch.append(self._queue.popleft())
        return batch

    def _announce(self, worker: WorkerHandle) -> None:
        if worker.withdrawing:
            return  # until it answers, its first may be among those that it has not begun
        first = worker.tasks[0] if worker.tasks else None
        if first is not None and first is not worker.announced:
            worker.announced = first
            self._reports.append(Begun(task=first))

    def _spread(self) -> None:
        """With nothing left to hand out and somebody idle, ask workers held up by a long experiment for the rest."""
        if all(worker.tasks for worker in self._pool.workers.values()) and not self._pool.may_grow:
            return
        now = time.monotonic()
        for worker in self._pool.workers.values():
            held_up = len(worker.tasks) > 1 and not worker.withdrawing and now - worker.since > QUIET and worker.ready
            # Where nobody else can take them, they would come straight back.
            if held_up and self._pool.fits(worker.shape):
                worker.withdraw()

    # Listening

    def _until_next_deadline(self, timeout: float) -> float:
        now = time.monotonic()
        for worker in self._pool.workers.values():
            if worker.tasks and worker.ending is None and worker.ready:
                if worker.tasks[0].timeout is not None:
                    timeout = min(timeout, worker.since + worker.tasks[0].timeout - now)
                if len(worker.tasks) > 1 and not self._queue:
                    timeout = min(timeout, QUIET)
        return max(0.0, timeout)

    def _listen(self, timeout: float) -> None:
        said, exited = self._pool.listen(timeout)
        for worker, kind, body in said:
            self._hear(worker, kind, body)
        for number, status in exited.items():
            self._bury(number, status)

    def _hear(self, worker: WorkerHandle, kind: Kind, body: bytes) -> None:
        if kind is Kind.DELIVERED:
            if (
                not self._ending and not self._spool.exists()
            ):  # what is delivered went with it: nobody else would say so
                raise StoreUnwritable(
                    f"the store cannot be written: {self._spool} was removed while the run went on",
                    path=str(self._spool),
                )
            self._collect(worker, *OFFSET.unpack(body))
        elif kind is Kind.PROGRESS:
            key, done, total = PROGRESS.unpack(body)
            if worker.tasks and worker.tasks[0].key == key:
                self._reports.append(Advanced(task=worker.tasks[0], done=done, total=None if total < 0 else total))
        elif kind is Kind.READY:
            worker.ready = True
            worker.since = time.monotonic()
        elif kind is Kind.WITHDRAWN:
            self._take_back(worker.take_back(unpack_tasks(body)))
            self._go_on(worker)
        elif kind is Kind.BROKEN and not self._ending:  # or else one of them has said it before
            details = body.decode()
            last = details.strip().rsplit("\n", 1)[-1]
            raise WorkerStartError(f"workers cannot load the experiment: {last}\n{details}", details=details)
        elif kind is Kind.UNWRITABLE and not self._ending:
            raise StoreUnwritable(f"the store cannot be written: {body.decode()}", path=str(self._spool))

    def _collect(self, worker: WorkerHandle, offset: int) -> None:
        if offset > worker.offset:
            self._collect_all(worker)

    def _collect_all(self, worker: WorkerHandle) -> None:
        frames: list[Frame] = worker.collect()
        if frames:
            self._reports.append(Delivered(frames=frames, spool=worker.spool.name, end=worker.offset))
        self._go_on(worker)

    def _go_on(self, worker: WorkerHandle) -> None:
        """Have `worker`, with fewer tasks than before, begin the next; or let it go, if it retires and has none."""
        if worker.retiring and not worker.tasks:
            self._pool.dismiss(worker)
        else:
            self._announce(worker)

    def _bury(self, number: int, status: int | str) -> None:
        worker = self._pool.bury(number)
        if worker is None:
            return
        if isinstance(status, str):  # why there never was such a process
            self._take_back(list(worker.tasks))
            if not self._ending:
                self._pool.hold_back(status, worker)
            return
        frames = worker.collect()
        if frames:
            self._reports.append(Delivered(frames=frames, spool=worker.spool.name, end=worker.offset))
        lost = worker.lost(status)
        if lost is not None:
            self._reports.append(lost)
        elif not (worker.ready or worker.orphaned) and worker.ending is None:
            self._pool.failed_start(f"a worker ended with status {status} before it was ready", worker)
        self._take_back(list(worker.tasks))

    def _take_back(self, tasks: list[Task]) -> None:
        """Queue `tasks`, which a worker had and did not begin, again."""
        if self._cancelled:
            self._reports.extend(Returned(task=task) for task in tasks)
        else:
            self._queue.extendleft(reversed(tasks))

    def _look_after(self) -> None:
        now = time.monotonic()
        for worker in list(self._pool.workers.values()):
            if worker.overdue(now):
                self._collect_all(worker)  # it may have begun another one, and told nothing of that yet
            if worker.overdue(now):
                worker.ending, worker.overdue_key = Status.TIMED_OUT, worker.tasks[0].key
                self._pool.end(worker)
        if now - self._looked > 1.0:
            self._looked = now
            for worker in self._pool.workers.values():
                shorten(self._spool / f"{worker.name}.out")

    # Coming to an end

    def cancel(self) -> Sequence[Task]:
        """Begin nothing more, and let running experiments see `context.should_stop`."""
        (self._spool / STOP_FILE).write_bytes(b"stop")
        return self.drain()

    def drain(self) -> Sequence[Task]:
        """Begin nothing more, and let running experiments go on."""
        self._cancelled = True
        for worker in self._pool.workers.values():
            if len(worker.tasks) > 1 and not worker.withdrawing:
                worker.withdraw()
        left, self._queue = list(self._queue), deque()
        return left

    def stop(self) -> Sequence[Task]:
        """End every worker now; what was delivered meanwhile comes with the next `wait`."""
        self._cancelled = self._ending = True
        if not self._pool.running:
            return []  # it never started
        for worker in list(self._pool.workers.values()):
            if worker.tasks:
                worker.ending = Status.CANCELLED
                self._pool.end(worker)
            else:
                self._pool.dismiss(worker)
        until = time.monotonic() + GRACE_OF_STOP
        while self._pool.workers and time.monotonic() < until:
            self._listen(until - time.monotonic())
        left, self._queue = [*self._queue], deque()
        left += [report.task for report in self._reports if isinstance(report, Lost | Returned)]
        self._reports = [report for report in self._reports if not isinstance(report, Lost | Returned)]
        return left

    def close(self) -> None:
        """End the supervisor, and with it everything below it."""
        self._pool.close()
