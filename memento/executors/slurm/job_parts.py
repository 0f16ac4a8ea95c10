"""The jobs of a run as its folder tells of them: what is awaited of each, and which attempts it is at."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from memento.executors.slurm.batch import Batch, batches_in, id_of, job_name, parse_name, part_of_broken, void_of
from memento.executors.slurm.commands import JobState
from memento.executors.slurm.incarnation import read_log
from memento.heads import Frame, is_final, key_in, unpack_head
from memento.protocols import Advanced, Begun, Report
from memento.spool import read_frames
from memento.task import Task

LIMITS = ("memory", "memory_of_one", "time")
Place = tuple[int, int]
"""The number of a batch, and of a part of it."""


class JobPart:
    """The part `index` of `batch`; `open` are the configurations that are awaited of it."""

    def __init__(self, batch: Batch, index: int, tasks: Iterable[Task]) -> None:
        self.batch, self.index = batch, index
        self.open = {task.key: task for task in tasks}
        self.offsets: dict[str, int] = {}
        self.begun: dict[bytes, int] = {}
        """Which attempt is running, by key."""
        self.following: dict[bytes, int] = {}
        """Which attempt comes next, where one was begun."""
        self.told: dict[bytes, int] = {}
        """Which attempt was delivered last, and was not the end."""
        self.started: dict[bytes, float] = {}
        self.limits: dict[str, float] = {}
        """What its job was granted: bytes of memory for each CPU and for each configuration, seconds of time."""
        self.node = ""
        self.broken = ""
        """Why its process could not begin, or go on."""
        self.terminated = False
        """Whether the process that runs it, or ran it last, was sent SIGTERM."""
        self.left: float | None = None
        """How many seconds it would have had then, None: not known."""
        self.over: JobState | None = None
        """How its job ended, by the last that Slurm said of it."""
        self.ended_at: float | None = None
        self.missing_since: float | None = None

    def void(self, folder: Path) -> Path:
        """Return the file in the run's `folder` whose existence says that this was given up."""
        return void_of(folder, self.batch.number, self.index)

    def job(self, folder: Path) -> str | None:
        """Return the id of its job as Slurm writes it, None while the run's `folder` does not say it."""
        job = id_of(folder, self.batch.number)
        return None if job is None else job_name(job, self.index)

    def hear(self, lines: Iterable[dict[str, object]], granted: dict[str, float]) -> list[Report]:
        """Take note of what a process of this part has logged, and of what its job was granted."""
        reports: list[Report] = []
        for line in lines:
            if "node" in line:  # a process begins
                self.node, self.terminated, self.broken = str(line["node"]), False, ""
            if "terminated" in line:
                left = line.get("left")
                self.terminated, self.left = True, None if left is None else float(str(left))
            limits = {name: float(str(line[name])) for name in LIMITS if line.get(name) is not None}
            self.limits.update(limits)
            granted.update(limits)
            for word in ("begun", "returned", "advanced"):
                task = self.open.get(bytes.fromhex(str(line.get(word, ""))))
                if task is None:
                    continue
                if word == "begun":
                    attempt = int(str(line["attempt"]))
                    if self.told.get(task.key, 0) < attempt:
                        self.begun[task.key], self.following[task.key] = attempt, attempt + 1
                        self.started[task.key] = float(str(line["at"]))
                        reports.append(Begun(task=task))
                elif word == "returned":
                    self.begun.pop(task.key, None)
                    self.following[task.key] = int(str(line["attempt"]))
                else:
                    total = line["total"]
                    reports.append(
                        Advanced(
                            task=task, done=float(str(line["done"])), total=None if total is None else float(str(total))
                        )
                    )
        return reports

    def take(self, frame: Frame) -> bool:
        """Cross the configuration of `frame` off, if nothing more comes of it; return whether that is so."""
        key = key_in(frame[0])
        if not is_final(frame[0]):
            attempt = unpack_head(frame[0]).attempt
            if self.begun.get(key, attempt) == attempt:
                self.begun.pop(key, None)  # the attempt is told; what comes next is another
            self.told[key], self.following[key] = attempt, attempt + 1
            return False
        del self.open[key]
        return True


@dataclass(kw_only=True, slots=True)
class News:
    """What was read.

    `frames` are outcomes after which nothing more comes of their configurations, `attempts` those that go on elsewhere,
    `reports` what was logged; `spoken` is whether any process has logged.
    """

    frames: list[Frame] = field(default_factory=list)
    attempts: list[Frame] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    spoken: bool = False


class JobParts(dict[Place, JobPart]):
    """The parts of all batches in the run's `folder`, by their places."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.granted: dict[str, float] = {}
        """What jobs had that did not ask: bytes of memory for each CPU, seconds of time."""
        for number in batches_in(folder):
            self.follow(Batch.read(folder, number))

    def follow(self, batch: Batch) -> None:
        """Take note of a batch that was written into the folder; earlier ones have nothing more to say of its keys."""
        again = {task.key for tasks in batch.parts for task in tasks}
        for part in self.values():
            part.open = {key: task for key, task in part.open.items() if key not in again}
        for index, tasks in enumerate(batch.parts):
            if not void_of(self._folder, batch.number, index).exists():
                self[batch.number, index] = JobPart(batch, index, tasks)

    def forget_the_done(self) -> None:
        """Leave out those of which nothing is awaited."""
        for place in [place for place, part in self.items() if not part.open]:
            del self[place]

    def read(self) -> News:
        """Take note of what was written since this was called last, and return it; nothing is changed on the disk."""
        news = News()
        # What a process has begun is read before what it delivered, and one process after the other.
        for entry in sorted(os.scandir(self._folder), key=lambda entry: parse_name(entry.name) or ()):
            place = parse_name(entry.name)
            part = self.get(place[:2]) if place else None
            if part is None or place is None:
                said = part_of_broken(entry.name)
                if said is not None and (ended := self.get(said)) is not None:
                    ended.broken = Path(entry.path).read_text(errors="replace").strip()
                continue
            size = entry.stat().st_size
            start = part.offsets.get(entry.name, 0)
            if size <= start:
                continue
            if place[3] == "log":
                lines, part.offsets[entry.name] = read_log(Path(entry.path), start)
                news.spoken = True
                news.reports += part.hear(lines, self.granted)
                continue
            found, part.offsets[entry.name] = read_frames(Path(entry.path), start)
            for frame in found:
                if key_in(frame[0]) in part.open:
                    (news.frames if part.take(frame) else news.attempts).append(frame)
        return news
