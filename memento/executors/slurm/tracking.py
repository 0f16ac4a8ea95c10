"""What became of the batches of a run: read from the files in its folder first, then asked of Slurm.

    spools, logs ──every look──▶ Tracker ──▶ Delivered, Interrupted, Begun, Advanced
    Polling: squeue, sacct ────▶    └──────▶ Lost, Returned

Truth, in this order: a delivered outcome; squeue; sacct with every requeue; what squeue said before it forgot; what the
job, or the daemon that watched over it, wrote down when it was ended; and time. A command that fails means that nothing
is known, and time does not pass then. A part of a batch is over when Slurm says so of its job, or when its job has been
missing for `grace` seconds; even then its files are read once more before anything counts as lost.

It is made from the folder alone, so whoever comes next goes on where the one that died was.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from memento.errors import SlurmError, WorkerStartError
from memento.executors.slurm import commands
from memento.executors.slurm.batch import Batch, id_of, job_name, output_of
from memento.executors.slurm.cancelling import jobs_of
from memento.executors.slurm.commands import JobState
from memento.executors.slurm.escalation import limit_of
from memento.executors.slurm.failed_starts import FailedStarts
from memento.executors.slurm.job_parts import JobPart, JobParts
from memento.executors.slurm.polling import FIRST, Polling
from memento.executors.slurm.store_visibility import unseen
from memento.executors.slurm.verdict import (
    MAY_COME_BACK,
    VANISHED,
    failure_of,
    is_over,
    lost_unbegun,
    named,
    never_begun,
    told_by_itself,
    verdict_of,
    waits_for_ever,
    word_of,
)
from memento.protocols import Delivered, Interrupted, Lost, Report, Returned
from memento.task import Failure, Status, Task
from memento.wording import in_job

# A job that has ended gets this long for its last words to come through a network file system.
SETTLE = 3.0
# So much of a job's output is shown where nothing else tells what went wrong.
LAST_WORDS = 2000
# So many job ids are named to the user.
SHOWN = 5


class Tracker:
    """Follows the batches of `run` in `folder`; `grace` is how long a job may be missing before it counts as lost."""

    def __init__(self, folder: Path, run: bytes, *, grace: float = 60.0) -> None:
        self._folder, self._run, self._grace = folder, run.hex(), grace
        self._parts = JobParts(folder)
        self._questions = Polling(folder, run.hex())
        self._misfortunes = FailedStarts()
        self._has_begun = False  # anything, in any job: not yet an experiment
        self._unsaid: list[Report] = []  # what was read on another occasion
        self.granted = self._parts.granted
        self.returning = False
        """Whether what is cancelled before it has begun comes back, rather than being told as cancelled."""

    def follow(self, batch: Batch) -> None:
        """Take note of a batch that was written into the folder; earlier ones have nothing more to say of its keys."""
        self._parts.follow(batch)
        self._questions.hurry()

    @property
    def open(self) -> int:
        """How many configurations are still awaited."""
        return sum(len(part.open) for part in self._parts.values())

    @property
    def alive(self) -> int:
        """How many jobs are not over, as far as is known."""
        return sum(bool(part.open) for part in self._parts.values())

    @property
    def keys(self) -> set[bytes]:
        """The keys of what is still awaited."""
        return {key for part in self._parts.values() for key in part.open}

    def jobs(self, *, keys: set[bytes] | None = None) -> list[str]:
        """Return the ids of jobs that may still do something, as Slurm writes them; of `keys` only, if given."""
        return [
            job
            for part in self._parts.values()
            if part.open and (keys is None or keys & part.open.keys()) and (job := part.job(self._folder)) is not None
        ]

    def described(self) -> str:
        """Return how much goes on, in which jobs."""
        jobs = self.jobs()
        ids = sorted({job.partition("_")[0] for job in jobs})
        some = ", ".join(ids[:SHOWN]) + (" …" if len(ids) > SHOWN else "")
        return f"{self.open:,} configurations go on in {len(jobs):,} Slurm jobs ({some})"

    def give_up(self) -> tuple[list[Task], list[Report]]:
        """Await nothing more: return what was awaited in vain, and what has come meanwhile."""
        self._refresh()
        late, self._unsaid = [*self._unsaid, *self._read()], []
        left = [task for part in self._parts.values() for task in part.open.values()]
        self._parts.clear()
        return left, late

    def cancel(self, keys: set[bytes]) -> None:
        """Cancel the jobs that hold any of `keys`."""
        mine = set(jobs_of(self._run))
        commands.cancel([job for job in self.jobs(keys=keys) if job.partition("_")[0] in mine])

    def look(self) -> list[Report]:
        """Return what has happened since the last look.

        Raises:
            WorkerStartError: jobs end before they can begin anything.
            SlurmError: their nodes do not see the store, or they wait for ever.
        """
        self._unsaid += self._read()
        if not (self._misfortunes.has_run or self.returning):
            self._require_that_jobs_begin()
        reports, self._unsaid = self._unsaid, []
        if self._parts and self._questions.are_due():
            reports += self._ask()
        self._parts.forget_the_done()
        return reports

    # Files

    def _read(self) -> list[Report]:
        news = self._parts.read()
        self._has_begun = self._has_begun or news.spoken
        reports = news.reports
        if news.attempts:
            reports.append(Interrupted(frames=news.attempts))
        if news.frames:
            reports.append(Delivered(frames=news.frames))
        if reports:
            self._questions.hurry(2 * FIRST)
        self._misfortunes.hear(reports)
        return reports

    def _require_that_jobs_begin(self) -> None:
        """Raise WorkerStartError where a job says that it could not, and no other may yet show that others can."""
        parts = [part for part in self._parts.values() if part.open]
        if any(part.node and not part.broken for part in parts):
            return
        for part in parts:
            if part.broken:
                job = part.job(self._folder) or job_name("?", part.index)
                raise WorkerStartError(f"Slurm job {job} could not begin: {part.broken}", details=part.broken)

    # Slurm

    def _ask(self) -> list[Report]:
        seen = self._questions.ask(self._parts)
        if seen is None:
            return []
        return [
            report for place, part in self._parts.items() if part.open for report in self._judge(part, seen.get(place))
        ]

    def _judge(self, part: JobPart, state: JobState | None) -> list[Report]:
        """Return what follows from what Slurm says of a part; None: it says nothing."""
        now = time.monotonic()
        if state is not None and not is_over(state):
            part.ended_at = part.missing_since = part.over = None
            return self._refuse(part, state) if waits_for_ever(state) and not self.returning else []
        if state is not None:
            part.over = state
        if part.over is not None:  # and it may be forgotten by now
            part.ended_at = part.ended_at or now
            self._questions.hurry()
            if now - part.ended_at < (2 if part.over.state in MAY_COME_BACK else 1) * SETTLE:
                return []
        else:
            part.missing_since = part.missing_since or now
            if now - part.missing_since < self._grace_for(part) or (not part.node and self._has_begun_meanwhile(part)):
                return []
        self._refresh()
        reports = self._read()
        if part.open:
            over = part.over or self._vanished(part)
            reports += self._close(part, replace(over, node=over.node or part.node))
        return reports

    def _refuse(self, part: JobPart, state: JobState) -> list[Report]:
        """Cancel a job that would wait in the queue for ever; where no experiment has begun, all may be like it."""
        message = (
            f"Slurm job {named(state)} waits in the queue for ever ({state.reason}): it asks for more than a job may "
            "have (sinfo -o '%P %l' lists the time that partitions grant)"
        )
        if not self._misfortunes.has_run:
            raise SlurmError(message, command="squeue")
        part.void(self._folder).touch()
        with suppress(SlurmError):  # should it begin one day, it ends at once
            commands.cancel([named(state)])
        failure = never_begun(message)
        lost = [
            lost_unbegun(task._replace(attempt=part.following.get(key, task.attempt)), failure)
            for key, task in part.open.items()
        ]
        part.open.clear()
        return list(lost)

    def _grace_for(self, part: JobPart) -> float:
        """Return for how long a job that nobody knows may be missing."""
        # What was cancelled before it began is no riddle, nor what has said itself that it was ended, or is over.
        return SETTLE if part.terminated or part.broken or (self.returning and not part.node) else self._grace

    def _vanished(self, part: JobPart) -> JobState:
        """Return how a job ended that Slurm has forgotten, as far as it and its daemon have written that down."""
        word = word_of(self._output_of(part)) or (told_by_itself(part.left) if part.terminated else VANISHED)
        return JobState(job=id_of(self._folder, part.batch.number) or "?", index=part.index, state=word)

    def _has_begun_meanwhile(self, part: JobPart) -> bool:
        """Keep a part that nobody knows from beginning; return whether it was too late for that."""
        void = part.void(self._folder)
        void.touch()
        self._refresh()
        self._unsaid += self._read()
        if part.node:
            void.unlink()
            part.missing_since = None
        return bool(part.node)

    def _refresh(self) -> None:
        """Have the file system look again: it may remember for a minute which files there were."""
        mark = self._folder / f".look-{os.getpid()}"
        mark.touch()
        mark.unlink(missing_ok=True)

    def _close(self, part: JobPart, state: JobState) -> list[Report]:
        """Say what became of the configurations that `part` will not deliver any more, whatever runs on of it."""
        part.void(self._folder).touch()
        output = self._output_of(part)
        verdict = verdict_of(state, output)
        hopeless: dict[bytes, Failure] = {}
        is_fate = verdict.status is Status.CANCELLED or not verdict.blames
        if not (part.begun or part.following or self.returning or is_fate):
            hopeless = self._count_misfortune(part, state, output)
        reports: list[Report] = []
        host = in_job(state.node, named(state))
        for key, task in part.open.items():
            attempt = part.begun.get(key)
            cancelled = verdict.status is Status.CANCELLED and not self.returning
            if key not in hopeless and ((attempt is None and not cancelled) or not verdict.blames):
                reports.append(Returned(task=task._replace(attempt=part.following.get(key, task.attempt))))
                continue
            lost = task._replace(attempt=part.following.get(key, task.attempt) if attempt is None else attempt)
            started = part.started.get(key, time.time())
            runtime = max(0.0, time.time() - started)
            failure = hopeless.get(key) or failure_of(verdict, state, output, part.broken)
            memory, limit = part.limits.get("memory_of_one"), part.limits.get("time")
            failure = failure._replace(limit=limit_of(task, failure.cause, memory=memory, time=limit))
            status = Status.FAILED if key in hopeless else verdict.status
            reports.append(Lost(task=lost, status=status, failure=failure, started=started, runtime=runtime, host=host))
        part.open.clear()
        return reports

    def _count_misfortune(self, part: JobPart, state: JobState, output: str) -> dict[bytes, Failure]:
        own = output_of(self._folder, part.batch, part.index) if part.batch.output is None else None
        return self._misfortunes.count(
            part,
            state,
            part.broken or output.strip(),
            unseen=unseen(self._folder, own, state),
            is_first=not self._has_begun,
            goes_on=any(other.begun.keys() & other.open.keys() for other in self._parts.values()),
        )

    def _output_of(self, part: JobPart) -> str:
        try:
            place = output_of(self._folder, part.batch, part.index)
            data = place.read_bytes() if place is not None and place.is_file() else b""
        except OSError:
            return ""
        return data[-LAST_WORDS:].decode("utf-8", "replace")


def watch(folder: Path) -> Tracker | None:
    """Return a tracker of the jobs that a dead process left in the run's `folder`; None on a machine without Slurm."""
    return Tracker(folder, bytes.fromhex(folder.name)) if shutil.which("squeue") else None
