"""What an experiment can do while it runs: checkpoint, restore, record, report progress, and know its limits."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memento import checkpoints, payload
from memento.errors import NotStored
from memento.files import private_folder
from memento.layout import artifact_path, checkpoint_path
from memento.recorded import Recorded

if TYPE_CHECKING:
    import logging

PROGRESS_INTERVAL = 0.1

_MISSING: Any = object()


class Context(Recorded):
    """What the experiment that is running can do; made by the worker, one for each attempt.

    Attributes:
        key: the key of the configuration, 32 hex digits; its result is stored under it.
        attempt: 1 for the first try in this run, 2 for the first retry, and so on.

    Example:
        >>> from memento import Memento
        >>> def train(context, config):
        ...     weight, epochs = context.restore(default=(0.0, 0))
        ...     for epoch in range(epochs, config.epochs):
        ...         weight += 0.5
        ...         context.record({"weight": weight})
        ...         context.checkpoint((weight, epoch + 1))
        ...     return weight
        >>> results = Memento(train, executor="serial").run({"parameters": {"epochs": [2, 4]}})
        >>> [result.inner for result in results]
        [1.0, 2.0]
    """

    # What most experiments never change is not set for each of a million of them.
    _reported = 0.0
    _done: float = 0.0
    _total: float | None = None
    _log: logging.Logger | None = None

    def __init__(
        self,
        *,
        key: bytes,
        attempt: int = 1,
        run: bytes = bytes(8),
        root: Path = Path(".memento"),
        timeout: float | None = None,
        ends: float | None = None,
        stopping: Callable[[], bool] = lambda: False,
        report: Callable[[float, float | None], None] = lambda done, total: None,
        spill: Callable[[bytes], None] | None = None,
        origin: str = "",
    ) -> None:
        super().__init__(key=key, attempt=attempt, run=run, spill=spill)
        self._root = root
        self._begun_by = run
        self._deadline = None if timeout is None and ends is None else _deadline(timeout, ends)
        self._stopping = stopping
        self._report = report
        self._origin = origin

    @cached_property
    def seed(self) -> int:
        """An integer below 2**32, derived from the key: the same at every attempt and in every run.

        Each configuration and each replicate has another.
        """
        return int.from_bytes(sha256(b"seed" + self._key).digest()[:4], "little")

    def checkpoint(self, state: Any) -> None:
        """Store `state` for `restore`; afterwards it is on the disk, whatever happens next.

        A kill in the middle leaves the checkpoint before. It belongs to the configuration: the next attempt and
        the next run find it, and it goes when the experiment has succeeded. What was recorded so far is kept with it,
        so that a curve has no hole where the experiment was killed.
        """
        encoded = payload.encode(state)
        metrics = b"".join(self.collect_metrics())
        checkpoints.write(checkpoint_path(self._root, self._key), encoded, metrics, self._origin, self._begun_by)

    def checkpoint_exist(self) -> bool:
        """Return whether there is a checkpoint to go on from."""
        return checkpoint_path(self._root, self._key).exists()

    def restore(self, default: Any = _MISSING) -> Any:
        """Return the last checkpoint, or `default` where there is none.

        The metrics and records are then those that there were when the checkpoint was made, in their order, and what
        is recorded from now on comes after them. What was recorded since then, or before this call by another attempt,
        does not count: so `restore` also rolls back, and calling it twice changes nothing. Without a checkpoint, all
        that was recorded stays.

        Raises:
            NotStored: there is no checkpoint, and no default was given.
            DamagedEntry: the checkpoint does not match its checksum.
        """
        try:
            found = checkpoints.read(checkpoint_path(self._root, self._key))
        except FileNotFoundError:
            if default is not _MISSING:
                return default
            raise NotStored(
                f"there is no checkpoint for {self.key}; ask checkpoint_exist() first, or give restore a default"
            ) from None
        if found.run != checkpoints.UNKNOWN:
            self._begun_by = found.run  # what comes of it is still that run's code's, however far this one takes it
        state = payload.decode(found.codec, found.state, found.summary)  # where this fails, what was recorded stays
        self._record_again(found.metrics)
        return state

    def progress(self, delta: float, total: float | None = None) -> None:
        """Add `delta` to the steps done, out of `total` (once known); shown in the progress bar."""
        self._done += delta
        if total is not None:
            self._total = total
        now = time.monotonic()
        if now - self._reported >= PROGRESS_INTERVAL or self._done == self._total:
            self._reported = now
            self._report(self._done, self._total)

    @property
    def directory(self) -> Path:
        """A folder of this attempt's own for files, made when first asked for, kept with the result.

        It begins empty, also after `restore`: what earlier attempts wrote stays in the folders of those.
        """
        return private_folder(artifact_path(self._root, self._key, self._run, self.attempt))

    @property
    def should_stop(self) -> bool:
        """Whether the run is being stopped or the time is up: checkpoint and return or raise soon."""
        return self._stopping() or (self._deadline is not None and time.monotonic() >= self._deadline)

    def time_left(self) -> float:
        """Return the seconds until this experiment, or the job it runs in, is ended; `math.inf` without a limit."""
        return math.inf if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    @property
    def log(self) -> logging.Logger:
        """A logger whose lines are kept, with their time, in this attempt's log."""
        if self._log is None:
            self._log = _logger(self.key)
        return self._log


def _deadline(timeout: float | None, ends: float | None) -> float:
    limits = (timeout, None if ends is None else ends - time.time())
    return time.monotonic() + min(limit for limit in limits if limit is not None)


def _logger(key: str) -> logging.Logger:
    import logging
    import sys

    class Printing(logging.StreamHandler[Any]):
        """Writes to whatever `sys.stderr` is at the moment: a worker's stream outlives no experiment."""

        def emit(self, record: logging.LogRecord) -> None:
            self.stream = sys.stderr
            super().emit(record)

    # Not by getLogger: its registry keeps every logger for ever, one for each of a million configurations.
    logger = logging.Logger(f"memento.{key[:8]}", logging.INFO)
    handler = Printing()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    return logger
