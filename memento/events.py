"""What a listener can hear while a run goes on.

An event is made only when some listener's `hears` names its type, so a run of a million trivial experiments costs
nothing for events that nobody wants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memento.task import Failure, Status

if TYPE_CHECKING:
    from memento.config import Config


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How far a run is, in configurations."""

    total: int = 0
    stored: int = 0
    """Taken from the store, not run."""
    succeeded: int = 0
    failed: int = 0
    """Ended for good without a result; a failed attempt that is tried again does not count."""
    cancelled: int = 0
    """Left for another run, because this one was stopped or interrupted."""
    running: int = 0

    @property
    def done(self) -> int:
        """How many need nothing more in this run; those that it gave up are not among them."""
        return self.stored + self.succeeded + self.failed

    @property
    def waiting(self) -> int:
        """How many have not begun."""
        return self.total - self.done - self.cancelled - self.running


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Base of every event. `elapsed` is seconds since the run began, `left` the estimate of seconds to its end."""

    counts: Counts = field(default_factory=Counts)
    elapsed: float = 0.0
    left: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted(Event):
    """A run begins. `name` is the experiment's, `failed_before` how many of those to run had failed in earlier runs."""

    name: str
    workers: int
    failed_before: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRegistered(Event):
    """The store knows the run under the id `run` (hex); told before it computes anything, and not if it need not."""

    run: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What one worker is doing: `done` of `total` steps where the experiment reports progress."""

    label: str
    since: float
    """Seconds since the run began."""
    done: float = 0.0
    total: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunProgressed(Event):
    """Told about ten times a second while a run goes on; `running` is what the workers are doing."""

    running: Sequence[Activity] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Started(Event):
    """An attempt at a configuration was handed to a worker."""

    config: Config
    key: str
    attempt: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Succeeded(Event):
    """An experiment returned and its result is stored; `duration` is in seconds."""

    config: Config
    key: str
    duration: float
    attempt: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed(Event):
    """An attempt ended without a result; `will_retry` says whether another follows. `log` is the end of its output."""

    config: Config
    key: str
    status: Status
    failure: Failure
    duration: float
    attempt: int = 1
    will_retry: bool = False
    log: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFinished(Event):
    """A run is over. `interrupted` names the signal that ended it, `stopped` says why it stopped early, if it did.

    `resume` says how to go on where something is left to do.
    """

    name: str = ""
    interrupted: str | None = None
    stopped: str | None = None
    resume: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice(Event):
    """Something the user should read once: a warning about code, a damaged entry, a listener that failed."""

    message: str
