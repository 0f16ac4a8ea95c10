"""When a job has to stop: its time is nearly up, somebody warns it, or Slurm ends it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType

from memento.executors.slurm import commands

# `--signal` is sent up to so many seconds too early; before that it is not about time, but about preemption.
IMPRECISION = 65.0
# What is left of the warning when experiments that did not stop by themselves are ended.
LEAST = 3.0
# Asking the controller when a job ends has to be quick: it may be busy starting a thousand of them.
PATIENCE = 20.0


class Shutdown:
    """Listens for signals from now on, and knows the clock once `know_the_end` was called.

    SIGUSR1 is the early warning and may be followed by a requeue; SIGTERM is the end, and may be the user's wish.
    """

    def __init__(self) -> None:
        self.at: float | None = None
        """When the job is ended, seconds since the epoch; None: not known."""
        self.terminated: float | None = None
        """When SIGTERM came."""
        self._tell: Callable[[float | None], None] = lambda left: None
        self._warned: float | None = None
        self._warning = 0.0
        self._stop_at: float | None = None
        signal.signal(signal.SIGUSR1, self._warn)
        signal.signal(signal.SIGTERM, self._terminate)

    def _warn(self, number: int, frame: FrameType | None) -> None:
        self._warned = self._warned or time.time()

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        if self.terminated is None:
            self.terminated = time.time()
            self._tell(self._left())

    def _left(self) -> float | None:
        return None if self.at is None else self.at - time.time()

    def when_terminated(self, tell: Callable[[float | None], None]) -> None:
        """Have `tell` called when SIGTERM comes, or now if it has come, with the seconds to the end, None: unknown.

        It is called by the signal itself, whatever this process is waiting for: SIGKILL may follow soon.
        """
        self._tell = tell
        if self.terminated is not None:
            tell(self._left())

    def know_the_end(self, job: str, warning: float) -> None:
        """Ask Slurm when the job ends; `warning` is how many seconds before that it is to stop."""
        self._warning = warning
        said = commands.field_of_job(job, "EndTime") if job else None
        self.at = float(said) if said is not None and said.isdecimal() else None
        self._stop_at = None if self.at is None else self.at - warning

    def is_due(self) -> bool:
        """Return whether it is time to stop, so that there is time left to be requeued in."""
        now = time.time()
        if self._stop_at is not None and now >= self._stop_at:
            return True
        if self._warned is None:
            return False
        # Earlier than the clock's moment it is only obeyed where it cannot be Slurm's imprecision.
        return self.at is None or self.at - now > self._warning + IMPRECISION or now >= self.at - self._warning

    def last_moment(self) -> float:
        """Return until when experiments may go on that were told to stop, seconds since the epoch."""
        grace = max(1.0, self._warning - LEAST)
        return time.time() + grace if self.at is None else min(time.time() + grace, max(time.time(), self.at - LEAST))
