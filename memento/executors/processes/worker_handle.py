"""What the executor knows of one worker process."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from memento.executors.processes import worker_process
from memento.executors.processes.messages import Inbox, Kind, message, pack_tasks
from memento.executors.processes.worker_process import read_spill, seen_path, spill_path
from memento.failures import WORKER_FILE
from memento.heads import Frame, key_in
from memento.output import read_capped
from memento.protocols import Lost
from memento.spool import read_frames
from memento.task import Failure, Status, Task

# The pace follows changes of the experiments' length within a few reports.
PACE_WEIGHT = 0.3
# What an experiment may have done to its process where that cannot go on by these errors.
HINTS = {
    errno.EBADF: "; has it closed files that are not its own, as os.closerange does?",
    errno.EMFILE: "; has it, or have those that ran in the process before it, left files open?",
}


@dataclass(kw_only=True, slots=True, eq=False)
class WorkerHandle:
    """One worker: its channel, its files, and the tasks that were sent to it and have not come back."""

    number: int
    name: str
    folder: Path
    channel: socket.socket
    shape: tuple[int, float | None]
    """CPUs and devices it was made for."""
    home: str = ""
    """Where the experiment is defined."""
    devices: tuple[str, ...] = ()
    inbox: Inbox = field(default_factory=Inbox)
    tasks: deque[Task] = field(default_factory=deque)
    offset: int = 0
    ready: bool = False
    retiring: bool = False
    ending: Status | None = None
    """Why it is being ended, if it is."""
    orphaned: bool = False
    """Whether the supervisor was killed, and it with it."""
    overdue_key: bytes = b""
    """Whose running too long it is being ended for."""
    withdrawing: bool = False
    since: float = field(default_factory=time.monotonic)
    """When its first task began, as far as is known here."""
    pace: float | None = None
    """Seconds per task, lately."""
    sent: int = 0
    announced: Task | None = None

    @property
    def spool(self) -> Path:
        """Where it writes its outcomes."""
        return self.folder / f"{self.name}.spool"

    def send(self, tasks: list[Task]) -> None:
        """Give it more to do."""
        if not self.tasks:
            self.since = time.monotonic()
        self.tasks.extend(tasks)
        self.sent += len(tasks)
        self._write(message(Kind.TASKS, pack_tasks(tasks)))

    def withdraw(self) -> None:
        """Ask for what it has not begun."""
        self.withdrawing = True
        self._write(message(Kind.WITHDRAW))

    def _write(self, data: bytes) -> None:
        try:
            self.channel.sendall(data)
        except OSError:
            return  # it has died; the supervisor tells how, and the tasks come back then

    def collect(self) -> list[Frame]:
        """Return the outcomes that are new in its spool, and cross their tasks off."""
        try:
            frames, self.offset = read_frames(self.spool, self.offset)
        except FileNotFoundError:
            return []
        if not frames:
            return frames
        now = time.monotonic()
        self._cross_off([key_in(head) for head, _ in frames])
        pace = (now - self.since) / len(frames)
        self.pace = pace if self.pace is None else self.pace + PACE_WEIGHT * (pace - self.pace)
        self.since = now
        return frames

    def _cross_off(self, keys: list[bytes]) -> None:
        """Forget the tasks of `keys`, which are done, and those before them."""
        done = [self.tasks.popleft() for _ in range(min(len(keys), len(self.tasks)))]
        if [task.key for task in done] == keys:  # one after the other, as they were sent
            return
        self.tasks.extendleft(reversed(done))
        for key in keys:
            while self.tasks and self.tasks.popleft().key != key:
                pass

    def take_back(self, tasks: list[Task]) -> list[Task]:
        """Cross `tasks`, which it returned, off; return them as they were sent."""
        self.withdrawing = False
        keys = {task.key for task in tasks}
        back = [task for task in self.tasks if task.key in keys]
        self.tasks = deque(task for task in self.tasks if task.key not in keys)
        return back

    def overdue(self, now: float) -> bool:
        """Whether its experiment has run longer than it may."""
        if not self.tasks or self.ending is not None or not self.ready:
            return False
        timeout = self.tasks[0].timeout
        return timeout is not None and now - self.since >= timeout

    def lost(self, exit_status: int) -> Lost | None:
        """Return what became of the experiment that was running when it died with `exit_status`, if one was."""
        if not self.tasks or not self.ready:
            return None
        if self.ending is Status.TIMED_OUT and self.tasks[0].key != self.overdue_key:
            return None  # the overdue experiment delivered at the last moment; what came after it has no part in this
        task = self.tasks.popleft()
        runtime = time.monotonic() - self.since
        trace = users_frames(self._text("trace")) or self._last_seen(task)
        if self.ending is Status.TIMED_OUT:
            failure = Failure(
                type="TimedOut", message=f"ran longer than timeout={task.timeout:g} s and was ended", traceback=trace,
                cause="timeout", lineage=("TimedOut", "TimeoutError"),
            )  # fmt: skip
            status = Status.TIMED_OUT
        elif self.ending is Status.CANCELLED:
            failure = Failure(type="Cancelled", message="the run was stopped", traceback=trace, cause="cancelled")
            status = Status.CANCELLED
        else:
            failure, status = _death(exit_status, trace, self._text("raised")), Status.KILLED
        return Lost(
            task=task,
            status=status,
            failure=failure,
            started=time.time() - runtime,
            runtime=runtime,
            log=self._bytes("out"),
            metrics=read_spill(spill_path(self.folder, self.name), task),
        )

    def _last_seen(self, task: Task) -> str:
        """Return where `task` was when it was last looked at, or else where it began."""
        seen = read_spill(seen_path(self.folder, self.name), task).decode("utf-8", "replace")
        if seen:
            return f"Shortly before (most recent call first):\n{seen}\n"
        return f"The line is not known; the experiment is\n{self.home}\n" if self.home else ""

    def last_words(self) -> str:
        """Return what it printed and where it was when it died."""
        return self._text("out") + self._text("trace")

    def _text(self, kind: str) -> str:
        return self._bytes(kind).decode("utf-8", "replace")

    def _bytes(self, kind: str) -> bytes:
        try:
            descriptor = os.open(self.folder / f"{self.name}.{kind}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return read_capped(descriptor)
        finally:
            os.close(descriptor)


def users_frames(trace: str) -> str:
    """Return what `faulthandler` wrote without our own frames, which lie below the user's in every stack."""
    kept: list[str] = []
    ours = False
    for line in trace.splitlines():
        if not line.startswith("  File "):
            ours = False  # the next thread's stack begins
        ours = ours or f'File "{WORKER_FILE}"' in line
        if not ours and f'File "{worker_process.__file__}"' not in line:
            kept.append(line)
    return "\n".join(kept)


def _death(exit_status: int, trace: str, raised: str) -> Failure:
    if raised:
        last = raised.strip().rsplit("\n", 1)[-1]
        hint = next((hint for number, hint in HINTS.items() if f"[Errno {number}]" in last), "")
        return Failure(
            type="WorkerBroken",
            message=f"the experiment's process could not go on: {last}{hint}",
            traceback=f"{trace}{raised}",
            cause="exit",
            exit_code=max(exit_status, 1),
        )
    if exit_status >= 0:
        return Failure(
            type="WorkerExited",
            message=f"the experiment ended its process with exit code {exit_status} (by os._exit or a library)",
            traceback=trace,
            cause="exit",
            exit_code=exit_status,
        )
    number = -exit_status
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = ", as the kernel does when memory runs out" if number == signal.SIGKILL else ""
    return Failure(
        type="WorkerKilled",
        message=f"the experiment's process was ended by {name} ({number}){hint}",
        traceback=trace,
        cause="killed",
        signal=number,
    )
