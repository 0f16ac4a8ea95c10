"""What an experiment records: metrics and records, kept with its result, and spilled meanwhile in case it is killed."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from memento import payload
from memento.series import Series, point_of

if TYPE_CHECKING:
    from memento.config import Config
    from memento.recording import RecordKeeper

SPILL_INTERVAL = 1.0
# Spilling may take this share of the time: each writes everything anew.
SPILL_PAUSE = 20.0
# How often `record` looks whether anything is due.
LOOK_INTERVAL = 0.005

_NOTHING: dict[str, list[float]] = {}


class Recorded:
    """The part of a `Context` that takes in metrics and records; `spill` writes down all of them so far."""

    # What most experiments never change is not set for each of a million of them.
    _spilled = 0
    _look_at = 0.0
    _series: Series | None = None
    _recent = _NOTHING  # that of the series, once there is one
    _config: Config | None = None  # set by the worker, who can make it only after this
    _recorder: RecordKeeper | None = None
    _stop_spilling: Callable[[], None] | None = None

    def __init__(self, *, key: bytes, attempt: int, run: bytes, spill: Callable[[bytes], None] | None) -> None:
        self.key = key.hex()
        self.attempt = attempt
        self._key, self._run = key, run
        self._spill = spill
        self._spill_at = math.inf if spill is None else time.monotonic() + SPILL_INTERVAL
        self._spilling = threading.Lock()

    def record(self, values: Mapping[str, Any]) -> None:
        """Record one point of each named metric; they are kept with the result, also when the experiment fails.

        A value is any real number (Python's, numpy's, a one-element tensor), recorded against the time of the call, the
        same for all of one call; or a pair ``(x, y)`` for an x of one's own.

        Raises:
            TypeError: a value is not a real number; none of this call's values after it is recorded.

        Example:
            >>> from memento import Context
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
            >>> from memento import Context
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

    def _record_again(self, metrics: memoryview) -> None:
        """Have the metrics and records that there were when the checkpoint was made, and no others."""
        columns, records = payload.unpack_metrics(metrics), payload.records_in(metrics)
        series = self._begin_series()
        recorder = self.recorder if records else self._recorder
        with self._spilling:  # what is spilled is as it was before, or as it is afterwards
            series.begin_with(columns)
            if recorder is not None:
                from memento.recording.packing import begin_with

                begin_with(recorder, records)
            self._spilled = -1  # there may be as many points as before, and yet others
