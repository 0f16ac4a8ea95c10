"""What a tracker is, and what it is told."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from memento.errors import OptionError
from memento.payload import Points
from memento.task import Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedRun:
    """One run of a matrix; `run` is its id in the store, `started` is seconds since the epoch.

    `code` is a digest of the experiment's code, `commit` that of git, "" where there is none; `script` is the program.
    """

    run: str
    experiment: str
    started: float
    code: str = ""
    commit: str = ""
    script: str = ""
    user: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedConfiguration:
    """What one configuration of a run gave, its values as texts.

    `series` are the metrics by name, `result` the numbers that it returned, `directory` the folder of what it wrote
    (None: nothing).
    """

    key: str
    name: str
    outcome: Outcome
    parameters: Mapping[str, str] = field(default_factory=dict)
    replicate: str | None = None
    series: Mapping[str, Points] = field(default_factory=dict)
    result: Mapping[str, float] = field(default_factory=dict)
    directory: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedEnd:
    """How a run ended: "finished", "failed" (some experiments did) or "killed"; `ended` is seconds since the epoch."""

    status: str
    ended: float
    counts: Mapping[str, float] = field(default_factory=dict)


class TrackerRefusal(Exception):
    """The server took a configuration but not all that belongs to it, and never will; the rest was told."""


@runtime_checkable
class Tracker(Protocol):
    """Something that is told of runs, by a process that may be another than the one in which it was made.

    Each call either succeeds, or raises and may be made again, by this object or another made from `address`; `again`
    then says that an earlier call may have got through, so that what it made has to be looked for first.
    """

    @property
    def patience(self) -> float:
        """How many seconds the end of a run waits for what is still to be told."""
        ...

    def address(self) -> Mapping[str, Any]:
        """Return, as plain data, the `maker` ("module:name") and the `arguments` that make an equal tracker."""
        ...

    def open_run(self, run: TrackedRun, *, again: bool) -> str:
        """Make the run of a whole matrix; return its id at the server."""
        ...

    def deliver(self, parent: str, run: TrackedRun, configuration: TrackedConfiguration, *, again: bool) -> None:
        """Make a run below `parent` with everything about one configuration.

        Raises:
            TrackerRefusal: a part of it can never be taken; the rest was.
        """
        ...

    def close_run(self, parent: str, end: TrackedEnd) -> None:
        """End the run of a whole matrix."""
        ...


def check_tracker(tracker: Any) -> None:
    """Refuse what is no tracker.

    Raises:
        OptionError: it lacks a tracker's methods.
    """
    if isinstance(tracker, type) or not isinstance(tracker, Tracker):
        raise OptionError(
            f"trackers: {tracker!r} is no tracker; write trackers=[MlflowTracker(experiment_name, mlflow_uri)], or "
            "give an object with the methods of memento.tracking.base.Tracker",
            option="trackers",
            value=tracker,
        )


def tracker_at(address: Mapping[str, Any]) -> Tracker:
    """Return a tracker made from what another one's `address` returned."""
    module, _, name = address["maker"].partition(":")
    tracker: Tracker = getattr(importlib.import_module(module), name)(**address["arguments"])
    return tracker
