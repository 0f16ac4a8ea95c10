"""What a Slurm job runs: one part of a batch, by workers of its own, delivered into the folder that all hosts share.

    batch, job ──read──▶ this process ──tasks──▶ ProcessExecutor ──▶ a worker process for each experiment
                              ▲   │                    │
         USR1, TERM, the clock┘   └──spool, log◀───────┘ outcomes, deaths

Guarantees: an experiment that crashes, runs out of memory or hangs costs itself and none of its neighbours; before the
job's time is up experiments are told (`context.should_stop`), then ended, and the job is requeued; it is never
requeued because of SIGTERM, which may be the user's scancel; what an earlier process of this part delivered is not run
again; a process that was replaced delivers nothing more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from memento.errors import SlurmError, StoreUnwritable, WorkerStartError
from memento.executors.elsewhere.orders import Obedience
from memento.executors.elsewhere.scratch import Scratch
from memento.executors.elsewhere.sealed import sealed_job
from memento.executors.processes.executor import ProcessExecutor
from memento.executors.slurm import commands
from memento.executors.slurm.batch import JOB, Batch, broken_of, id_of, job_name, order_in
from memento.executors.slurm.incarnation import Incarnation
from memento.executors.slurm.memory import granted, kills, of_one
from memento.executors.slurm.part_run import PartRun
from memento.executors.slurm.script import NOT_SHARED
from memento.executors.slurm.shutdown import Shutdown
from memento.heads import unpack_head
from memento.protocols import Advanced, Begun, Delivered, Lost, Report, Returned
from memento.task import Outcome

TICK = 0.25
# The shared folder is asked so often whether this process has been replaced, or is to stop.
LOOK = 2.0
# After SIGTERM there is KillWait, half a minute by default, before SIGKILL.
AFTER_TERM = 20.0
# Where Slurm sends SIGTERM to all processes of a job, a worker may have died of it this long before we hear of our own.
TOGETHER = 1.0
REQUEUE_PATIENCE = 30.0


def main(folder: str, number: str) -> NoReturn:
    """Be the job; never returns."""
    ending = Shutdown()
    place, part, node = Path(folder), int(os.environ["SLURM_ARRAY_TASK_ID"]), os.environ.get("SLURMD_NODENAME", "")
    try:
        batch = Batch.read(place, int(number))
    except FileNotFoundError:
        print(
            f"memento: {place} cannot be seen on {node}: either its run is over, or the store is not on a file system "
            "that all nodes share",
            file=sys.stderr,
        )
        sys.exit(NOT_SHARED)
    broken = broken_of(place, int(number), part)
    status = 1
    try:
        broken.unlink(missing_ok=True)  # of a process before this one
        Leader(place, batch, part, ending, node).lead()
        status = 0
    except (WorkerStartError, StoreUnwritable) as error:
        broken.write_text(f"{node}: {error}")
    except BaseException:
        broken.write_text(f"{node}: {traceback.format_exc()}")
    # Not sys.exit: no thread may keep the job, and with it the node, from ending.
    sys.stdout.flush()
    os._exit(status)


class Leader:
    """The process that leads a job."""

    def __init__(self, folder: Path, batch: Batch, part: int, ending: Shutdown, node: str) -> None:
        self._folder, self._batch, self._ending, self._node = folder, batch, ending, node
        self._array = os.environ["SLURM_ARRAY_JOB_ID"]
        # Never SLURM_JOB_ID: that of one task of an array is the id of the whole array.
        self._shown = job_name(self._array, part)
        self._packed = (folder / JOB).read_bytes()
        self._incarnation = Incarnation(folder, batch.number, part)
        self._part = PartRun(
            batch,
            batch.parts[part],
            self._incarnation,
            store=Path(sealed_job(self._packed).store),
            node=node,
            job=self._shown,
        )
        ending.when_terminated(self._note_termination)
        self._kills = kills()
        self._looked = time.monotonic()

    @property
    def _slots(self) -> int:
        """How many CPUs experiments may hold at once: those asked for, which are alike for all of a batch.

        Slurm gives more where the memory of one is beyond MaxMemPerCPU, and then no more memory than was asked for.
        """
        return self._batch.together * max(task.cpus for task in self._part.open.values())

    def lead(self) -> None:
        """Run the part to its end, to the job's end, or until another process has its place."""
        self._part.memory = of_one(self._batch.together)
        limits = {"memory": granted(), "memory_of_one": self._part.memory}
        self._incarnation.note({"job": self._shown, "node": self._node, "pid": os.getpid(), **limits})
        known = id_of(self._folder, self._batch.number)
        if self._incarnation.is_replaced() or known not in (None, self._array):
            return
        self._part.account_for_the_past()
        if self._part.open:
            self._ending.know_the_end(self._shown, self._batch.warning)
            if self._ending.at is not None:
                self._part.time = self._ending.at - time.time()
                self._incarnation.note({"time": self._part.time})
            scratch = Scratch()
            executor = ProcessExecutor(self._slots)
            self._obedience = Obedience(executor)
            try:
                executor.start(sealed_job(self._packed, spool=str(scratch.path), deadline=self._ending.at))
                executor.submit(self._part.in_order())
                self._loop(executor)
            finally:
                executor.close()
                scratch.remove()
        self._part.flush(now=True)

    def _note_termination(self, left: float | None) -> None:
        """Say at once that somebody ends this job: where there is no accounting, nobody else will remember."""
        with contextlib.suppress(OSError):
            self._incarnation.note({"terminated": True, "left": left})

    def _loop(self, executor: ProcessExecutor) -> None:
        while self._part.open:
            self._hear(executor.wait(TICK), self._ended)
            if not self._part.flush() or self._is_replaced():
                executor.stop()
                return
            if self._ending.terminated is not None:
                self._wind_down(executor, self._ending.terminated + AFTER_TERM, self._ended)
                return  # whoever ended the job decides whether it comes back
            if self._ending.is_due():
                self._wind_down(executor, self._ending.last_moment(), self._interrupted)
                self._part.end(self._part.running & self._part.open.keys())
                if self._part.flush(now=True) and self._part.open:
                    self._requeue()
                return
            self._heed()
            if self._obedience.last and not self._part.running:
                return

    def _is_replaced(self) -> bool:
        if time.monotonic() - self._looked < LOOK:
            return False
        self._looked = time.monotonic()
        return self._incarnation.is_replaced()

    def _heed(self) -> None:
        """Stop beginning where the run was stopped or cancelled."""
        if self._looked >= time.monotonic() - TICK:
            self._part.give_back(self._obedience.obey(order_in(self._folder)) or ())

    def _wind_down(self, executor: ProcessExecutor, until: float, ended: Callable[[Outcome], None]) -> None:
        """Let experiments see that they are to stop, and take what they give until the moment `until`."""
        executor.cancel()
        while self._part.running and time.time() < until:
            self._hear(executor.wait(TICK), ended)
            if not self._part.flush():
                break
        executor.stop()
        self._hear(executor.wait(0.0), ended)
        self._part.flush(now=True)

    def _hear(self, reports: Iterable[Report], ended: Callable[[Outcome], None]) -> None:
        for report in reports:
            if isinstance(report, Delivered):
                for frame in report.frames:
                    ended(unpack_head(*frame))
            elif isinstance(report, Lost):
                if self._was_terminated(report):
                    self._part.leave(report.task.key)
                else:
                    self._part.lose(self._with_cause(report))
            elif isinstance(report, Begun):
                self._part.begin(report.task)
            elif isinstance(report, Advanced):
                self._part.advance(report)
            elif isinstance(report, Returned) and self._obedience.last:
                self._part.give_back([report.task])

    def _ended(self, outcome: Outcome) -> None:
        """What an experiment raises because its job is ended is no failure of its own: the job's end says what was."""
        if outcome.status.ok or self._ending.terminated is None:
            self._part.finish(outcome)
        else:
            self._part.leave(outcome.key)

    def _was_terminated(self, lost: Lost) -> bool:
        """Return whether a worker died because the whole job is ended, which the job's end tells better."""
        until = time.monotonic() + TOGETHER
        while lost.failure.signal == signal.SIGTERM and self._ending.terminated is None and time.monotonic() < until:
            time.sleep(0.05)
        return self._ending.terminated is not None

    def _interrupted(self, outcome: Outcome) -> None:
        """An experiment that returns has its result, also when it was told to stop; one that raises is to go on."""
        if outcome.status.ok:
            self._part.finish(outcome)
        else:
            self._part.interrupt(outcome)

    def _with_cause(self, lost: Lost) -> Lost:
        now = kills()
        if lost.failure.signal != signal.SIGKILL or now == self._kills:
            return lost
        self._kills = now
        message = f"it used more memory than its Slurm job {self._shown} on {self._node} had asked for, and was killed"
        return replace(
            lost,
            failure=lost.failure._replace(
                type="OutOfMemory",
                message=message,
                cause="memory",
                lineage=("OutOfMemory", "MemoryError"),
            ),
        )

    def _requeue(self) -> None:
        try:
            commands.run("scontrol", "requeue", self._shown, patience=REQUEUE_PATIENCE)
        except (commands.CommandFailed, SlurmError) as error:
            self._part.cannot_go_on(str(error))
