"""From tasks to job arrays: packed, written down, handed to sbatch, and again where that may not have worked."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memento.executors.slurm import commands
from memento.executors.slurm.batch import Batch, batch_of, batches_in, id_of, keep_id
from memento.executors.slurm.packing import arrays_of, parts_of, per_job, throttles
from memento.executors.slurm.refusal import Refusal, advice, passes
from memento.executors.slurm.resources import Resources
from memento.executors.slurm.script import batch_script, literal
from memento.executors.slurm.submission import Submission
from memento.task import Task
from memento.wording import plural

RETRY = 10.0
# Of a job whose sbatch did not answer nothing may be seen at first.
CERTAIN = 5.0


@dataclass(kw_only=True, slots=True)
class _Waiting:
    batch: Batch
    resources: Resources
    throttle: int | None
    after: int | None
    """The batch whose job has to end first."""
    again_at: float = 0.0
    unknown: bool = False


class Submitter:
    """Submits the tasks of one run; see `SlurmExecutor` for what they are made by."""

    def __init__(self, folder: Path, run: bytes, how: Submission, *, pace: float | None) -> None:
        self._folder, self._run, self._how, self._pace = folder, run, how, pace
        self._waiting: deque[_Waiting] = deque()
        self._next = max(batches_in(folder), default=0) + 1
        self.held = ""
        """Why what is waiting is not submitted now, empty where nothing keeps it."""

    @property
    def is_done(self) -> bool:
        """Whether everything was submitted."""
        return not self._waiting

    def measured(self, pace: float) -> None:
        """Take note of how many seconds one configuration takes."""
        self._pace = pace

    def room(self, alive: int) -> int | None:
        """Return how many jobs more may go out while `alive` ones are not over; None where all may, as they wait."""
        waiting = sum(len(waiting.batch.parts) for waiting in self._waiting)
        most = self._how.max_jobs
        return max(0, most - alive - waiting) if most is not None and alive + waiting else None

    def make(self, tasks: Mapping[Resources, Sequence[Task]], room: int | None = None) -> list[tuple[Resources, Task]]:
        """Form `tasks`, by what they need, into batches, to be submitted by `push`; return those beyond `room` jobs.

        Arrays that are made at once share `max_jobs` among them. What comes later, such as retries, cannot: Slurm knows
        no limit for several arrays, so that of those no more jobs are made than there is room for.
        """
        planned = [(resources, array) for resources, some in tasks.items() for array in self._arrays(resources, some)]
        left: list[tuple[Resources, Task]] = []
        if room is not None:
            planned, left = _within(planned, room)
        throttle, width = throttles(len(planned), self._how.max_jobs if room is None else None)
        for place, (resources, parts) in enumerate(planned):
            number = self._next
            self._next += 1
            batch = Batch(
                run=self._run,
                number=number,
                parts=parts,
                together=self._how.workers,
                warning=self._margin(resources),
                requeues=self._how.max_requeues,
                output=None if resources.output is None else str(Path(literal(self._how.directory)) / resources.output),
            )
            after = number - width if place >= width else None
            self._waiting.append(_Waiting(batch=batch, resources=resources, throttle=throttle, after=after))
        return left

    def _arrays(self, resources: Resources, tasks: Sequence[Task]) -> list[Sequence[list[Task]]]:
        size = per_job(
            len(tasks), pack=self._how.pack, pace=self._pace, together=self._how.workers, time=resources.time
        )
        return list(arrays_of(parts_of(tasks, size), commands.largest_array()))

    def _margin(self, resources: Resources) -> float:
        """Return how long before its end a job stops: never more than a quarter of its time."""
        return self._how.warning if resources.time is None else min(self._how.warning, resources.time / 4)

    def preview(self, *, script: bool) -> str:
        """Return what would be submitted, as text, with the batch scripts if wanted; nothing is."""
        jobs = sum(len(waiting.batch.parts) for waiting in self._waiting)
        lines = [f"{jobs:,} Slurm job{'s' if jobs != 1 else ''} would be submitted by {len(self._waiting):,} sbatch:"]
        for waiting in self._waiting:
            parts = waiting.batch.parts
            lines.append(
                f"  {len(parts):,} of up to {max(map(len, parts)):,} configurations, {self._how.workers} at once, "
                f"each with {waiting.resources.shown(self._how.workers)}"
            )
        if script:
            lines += [self._script(waiting, after=None) for waiting in self._waiting]
        return "\n".join(lines)

    @property
    def is_uncertain(self) -> bool:
        """Whether a job may be in the queue of which sbatch has not said so."""
        return any(waiting.unknown for waiting in self._waiting)

    def push(self) -> Iterator[Batch | Refusal]:
        """Submit what is waiting; yield each batch as soon as its jobs are in the queue, and what is refused for good.

        What was refused is waiting until the next is asked for: who raises over it has it handed back by `take_back`.
        """
        while self._waiting and self._waiting[0].again_at <= time.monotonic():
            waiting = self._waiting[0]
            came: str | Refusal | None = self._known(waiting) if waiting.unknown else None
            if came is None and waiting.again_at <= time.monotonic():
                came = self._submit(waiting)
            if came is None:
                return
            self.held = ""
            if isinstance(came, Refusal):
                yield came
                self._leave_out(waiting)
            else:
                keep_id(self._folder, waiting.batch.number, came)
                self._waiting.popleft()
                yield waiting.batch

    def _leave_out(self, refused: _Waiting) -> None:
        self._waiting.remove(refused)
        batch_of(self._folder, refused.batch.number).unlink(missing_ok=True)  # nobody need look for its job
        for waiting in self._waiting:
            if waiting.after == refused.batch.number:
                waiting.after = refused.after

    def _script(self, waiting: _Waiting, after: str | None) -> str:
        return batch_script(
            waiting.batch, waiting.resources, self._how, folder=self._folder, throttle=waiting.throttle, after=after
        )

    def _submit(self, waiting: _Waiting) -> str | Refusal | None:
        """Return the id of the job, or that it is refused for good; None: it may be taken later, or has been."""
        waiting.batch.write(self._folder)
        after = None if waiting.after is None else id_of(self._folder, waiting.after)
        try:
            return commands.submit(self._script(waiting, after))
        except commands.CommandFailed as error:
            if not error.timed_out and not passes(error.said):
                asked = waiting.resources.shown(self._how.workers)
                return Refusal(
                    batch=waiting.batch,
                    message=f"sbatch refused a job with {asked}: {error.said}{advice(error.said)}",
                )
            count = sum(len(part) for one in self._waiting for part in one.batch.parts)
            self.held = f"{plural(count, 'configuration')} cannot be submitted yet, which is tried again: {error.said}"
            waiting.unknown = True
            waiting.again_at = time.monotonic() + (CERTAIN if error.timed_out else RETRY)
            return None

    def _known(self, waiting: _Waiting) -> str | None:
        """Return the id of a job that may have been submitted; None: it was not, or that is not known yet."""
        queue = commands.queue()
        if queue is None:
            waiting.again_at = time.monotonic() + RETRY
            return None
        return next((state.job for state in queue if state.tag == waiting.batch.tag), None)

    def take_back(self) -> list[Task]:
        """Return what was not submitted, and will not be."""
        back = [task for waiting in self._waiting for part in waiting.batch.parts for task in part]
        self._waiting.clear()
        return back


_Planned = list[tuple[Resources, Sequence[list[Task]]]]


def _within(planned: _Planned, room: int) -> tuple[_Planned, list[tuple[Resources, Task]]]:
    """Return the first `room` jobs of what is planned, and the tasks of all others."""
    kept: _Planned = []
    left: list[tuple[Resources, Task]] = []
    for resources, parts in planned:
        if parts[:room]:
            kept.append((resources, parts[:room]))
        left += [(resources, task) for part in parts[room:] for task in part]
        room -= len(parts[:room])
    return kept, left
