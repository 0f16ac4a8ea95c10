"""One job's share of a batch, as it is known to who follows it: what is awaited of it, and which attempts it is at."""

from __future__ import annotations

from collections.abc import Iterable

from memento.executors.slurm.batch import Batch
from memento.executors.slurm.commands import JobState
from memento.protocols import Advanced, Begun, Report
from memento.spool import Frame, is_final
from memento.task import KEY_IN_HEAD, Outcome, Task


class Followed:
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
        self.node = ""
        self.terminated = False
        """Whether the process that runs it, or ran it last, was sent SIGTERM."""
        self.left: float | None = None
        """How many seconds it would have had then, None: not known."""
        self.over: JobState | None = None
        """How its job ended, by the last that Slurm said of it."""
        self.ended_at: float | None = None
        self.missing_since: float | None = None

    def hear(self, lines: Iterable[dict[str, object]], granted: dict[str, float]) -> list[Report]:
        """Take note of what a process of this part has logged, and of what its job was granted."""
        reports: list[Report] = []
        for line in lines:
            if "node" in line:  # a process begins
                self.node, self.terminated = str(line["node"]), False
            if "terminated" in line:
                left = line.get("left")
                self.terminated, self.left = True, None if left is None else float(str(left))
            granted.update({name: float(str(line[name])) for name in ("memory", "time") if line.get(name) is not None})
            for word in ("begun", "advanced"):
                task = self.open.get(bytes.fromhex(str(line.get(word, ""))))
                if task is not None and word == "begun":
                    attempt = int(str(line["attempt"]))
                    if self.told.get(task.key, 0) < attempt:
                        self.begun[task.key], self.following[task.key] = attempt, attempt + 1
                        self.started[task.key] = float(str(line["at"]))
                        reports.append(Begun(task=task))
                elif task is not None:
                    total = line["total"]
                    reports.append(
                        Advanced(
                            task=task, done=float(str(line["done"])), total=None if total is None else float(str(total))
                        )
                    )
        return reports

    def take(self, frame: Frame) -> bool:
        """Cross the configuration of `frame` off, if nothing more comes of it; return whether that is so."""
        key = frame[0][KEY_IN_HEAD]
        if not is_final(frame[0]):
            attempt = Outcome.unpack_head(frame[0]).attempt
            if self.begun.get(key, attempt) == attempt:
                self.begun.pop(key, None)  # the attempt is told; what comes next is another
            self.told[key], self.following[key] = attempt, attempt + 1
            return False
        del self.open[key]
        return True
