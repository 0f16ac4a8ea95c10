"""What an experiment can do while it runs: checkpoint, restore, record, report progress, and know its limits."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memento import checkpoints, payload
from memento.errors import NotStored
from memento.files import private_folder
from memento.layout import artifact_path, checkpoint_path
from memento.series import Series, point_of

if TYPE_CHECKING:
    import logging

    from memento.config import Config
    from memento.recording import RecordKeeper

PROGRESS_INTERVAL = 0.1
SPILL_INTERVAL = 1.0
# Spilling may take this share of the time: each writes everything anew.
SPILL_PAUSE = 20.0
# How often `record` looks whether anything is due.
LOOK_INTERVAL = 0.005

_MISSING: Any = object()
_NOTHING: dict[str, list[float]] = {}


class Context:
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
    _spilled = 0
    _look_at = 0.0
    _series: Series | None = None
    _recent = _NOTHING  # that of the series, once there is one
    _config: Config | None = None  # set by the worker, who can make it only after this
    _recorder: RecordKeeper | None = None
    _stop_spilling: Callable[[], None] | None = None
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
        self.key = key.hex()
        self.attempt = attempt
        self._key, self._run, self._root = key, run, root
        self._begun_by = run
        self._deadline = None if timeout is None and ends is None else _deadline(timeout, ends)
        self._stopping = stopping
        self._report = report
        self._spill = spill
        self._origin = origin
        self._spill_at = math.inf if spill is None else time.monotonic() + SPILL_INTERVAL
        self._spilling = threading.Lock()

    @cached_property
    def seed(self) -> int:
        """An integer below 2**32, derived from the key: the same at every attempt and in every run.

        Each configuration and each replicate has another.
        """
        return int.from_bytes(sha256(b"seed" + self._key).digest()[:4], "little")

    def record(self, values: Mapping[str, Any]) -> None:
        """Record one point of each named metric; they are kept with the result, also when the experiment fails.

        A value is any real number (Python's, numpy's, a one-element tensor), recorded against the time of the call, the
        same for all of one call; or a pair ``(x, y)`` for an x of one's own.

        Raises:
            TypeError: a value is not a real number; none of this call's values after it is recorded.

        Example:
            >>> context = Context(key=bytes(16))
            >>> context.record({"loss": 0.3, "accuracy": (4, 0.9)})
        """
        now = time.time()
        recent = self._recent
        for name in values:
            value = values[name]
            try:
                points = recent[name]
            except KeyError:
                points = self._begin(name, value)
            points += (now, value) if type(value) is float else point_of(name, value, now)
        if now >= self._look_at:
            self._look(now)

    def _begin(self, name: str, value: Any) -> list[float]:
        """Return the list for the first points of a metric, which is made only if `value` can be one."""
        point_of(name, value, 0.0)
        series = self._begin_series()
        self._recent = series.recent
        return series.begin(name)

    def _look(self, now: float) -> None:
        self._look_at = now + LOOK_INTERVAL
        if self._series is not None:
            self._series.settle()
        if time.monotonic() >= self._spill_at:
            self._spill_all()

    @property
    def recorder(self) -> RecordKeeper:
        """A keeper of records, which are kept with the result, also when the experiment fails.

        Above it are the keepers of the run and of the configuration, so that each record has `run`, `key`, `attempt`
        and the parameters beside its own values. `Results.records` is the flat table of all configurations. When the
        experiment is killed, what it recorded in the last second or so is lost.

        Example:
            >>> losses = Context(key=bytes(16)).recorder.sub_record_keeper(training=True)
            >>> losses.push(index=0, loss=0.3)
        """
        if self._recorder is None:
            self._recorder = self._new_recorder()
        return self._recorder

    def _new_recorder(self) -> RecordKeeper:
        from memento.config import labelled_parameters
        from memento.recording import RecordKeeper
        from memento.recording.packing import known_above

        config = self._config
        parameters, replicate = ({}, None) if config is None else (labelled_parameters(config), config.replicate)
        run, configuration = known_above(self._run.hex(), self.key, self.attempt, parameters, replicate)
        if self._spill is not None:
            # Unlike metrics, records come in too fast to look at the clock for each.
            self._stop_spilling = self._begin_spilling()
        return RecordKeeper(run).sub_record_keeper(**configuration).sub_record_keeper()

    def _begin_spilling(self) -> Callable[[], None]:
        ended = threading.Event()
        spiller = threading.Thread(target=self._keep_spilling, args=(ended,), name="memento records", daemon=True)
        spiller.start()

        def stop() -> None:
            ended.set()
            spiller.join()

        return stop

    def _keep_spilling(self, ended: threading.Event) -> None:
        while not ended.wait(max(SPILL_INTERVAL, self._spill_at - time.monotonic())):
            self._spill_all()

    def keep_up(self) -> None:
        """Spill what was recorded and is not spilled yet, if it is time: `record` does, but may not be called again."""
        self._look_at = 0.0  # the clock that `record` reads may have been set back by hours
        if time.monotonic() >= self._spill_at and self._recorded() != self._spilled:
            self._spill_all()

    def _begin_series(self) -> Series:
        with self._spilling:  # two threads of an experiment may record their first points at once
            if self._series is None:
                self._series = Series()
            return self._series

    def _recorded(self) -> int:
        return 0 if self._series is None else len(self._series)

    def _spill_all(self) -> None:
        with self._spilling:
            recorded, begun = self._recorded(), time.monotonic()
            if self._spill is not None:
                # An insurance, which neither fails the experiment nor ends the thread that calls this: where the disk
                # is full, or the memory, it is tried again later.
                with contextlib.suppress(OSError, MemoryError):
                    self._spill(b"".join(self.collect_metrics()))
                    self._spilled = recorded
            ended = time.monotonic()
            self._spill_at = ended + max(SPILL_INTERVAL, SPILL_PAUSE * (ended - begun))

    def collect_metrics(self) -> list[Any]:
        """Return all metrics and records so far in their stored form, as buffers; empty when there is nothing."""
        if self._series is None and self._recorder is None:
            return []
        columns = {} if self._series is None else self._series.columns()
        metrics = payload.pack_metrics(columns) if columns else []
        if self._recorder is not None:
            from memento.recording.packing import pack_tree

            if records := pack_tree(self._recorder):
                return payload.add_records(metrics, records)
        return metrics

    def finish(self) -> list[Any]:
        """Return the same when the experiment has ended; nothing is spilled afterwards."""
        if self._stop_spilling is not None:
            self._stop_spilling()
        return self.collect_metrics()

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
        """Return the last checkpoint, or `default` where there is none; what was recorded before it counts again.

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
        self._record_again(found.metrics)
        return payload.decode(found.codec, found.state, found.summary)

    def _record_again(self, metrics: memoryview) -> None:
        """Begin with the metrics and records that there were when the checkpoint was made."""
        if records := payload.records_in(metrics):
            from memento.recording.packing import unpack_tree

            unpack_tree(records).set_parent(self.recorder)
        if metrics:
            self._begin_series().put_before(payload.unpack_metrics(metrics))

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
        """A folder of this attempt's own for files, made when first asked for, kept with the result."""
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
