"""What one configuration gave: its value, metrics, log, times and attempts, each loaded when it is read."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memento import payload
from memento.entry import Entry, Row
from memento.errors import NotStored
from memento.heads import STATUS_IN_HEAD, status_in, value_in
from memento.results.metrics import Metrics
from memento.results.reading import Reader
from memento.task import STATUS_FROM_CODE, Failure, Outcome, Status
from memento.wording import one_line

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from memento.config import Config
    from memento.recording import Records

_UNREAD: Any = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryUsage:
    """The most memory that one experiment used, in bytes; 0 where it was not measured."""

    virtual_peak: int = 0
    hardware_peak: int = 0


def status_of(row: Row | None) -> Status:
    """Return how what was stored as `row` ended; what was not never began."""
    return Status.CANCELLED if row is None else status_in(row[1])


class _Ended:
    """What an attempt that ended tells about itself."""

    __slots__ = ("_outcome", "_row", "_store")

    def __init__(self, row: Row | None, store: Reader) -> None:
        self._row = row
        self._store = store
        self._outcome: Outcome | None = None

    @property
    def _entry(self) -> Entry | None:
        return None if self._row is None else Entry(*self._row)

    @property
    def outcome(self) -> Outcome | None:
        """All that is known of this result, as it is stored; None if the experiment was never started."""
        if self._outcome is None and self._entry is not None:
            self._outcome = self._entry.outcome
        return self._outcome

    @property
    def status(self) -> Status:
        """How it ended."""
        row = self._row  # as `status_of` says, without a call: there may be a million
        return Status.CANCELLED if row is None else STATUS_FROM_CODE[row[1][STATUS_IN_HEAD]]

    @property
    def ok(self) -> bool:
        """Whether there is a value to use."""
        return self.status.ok

    @property
    def error(self) -> Failure | None:
        """Why it failed, as data; None if it succeeded."""
        return self.outcome.failure if self.outcome else self._why_absent()

    def _why_absent(self) -> Failure:
        return _NEVER_STARTED

    @property
    def traceback(self) -> str:
        """The text of the traceback; empty if nothing was raised."""
        return self.error.traceback if self.error else ""

    @property
    def start_time(self) -> datetime | None:
        """When it started, in UTC; None if it never did."""
        return datetime.fromtimestamp(self.outcome.started, UTC) if self.outcome else None

    @property
    def runtime(self) -> timedelta:
        """How long it ran."""
        return timedelta(seconds=self.outcome.runtime if self.outcome else 0)

    @property
    def cpu_time(self) -> timedelta:
        """How much processor time it used."""
        return timedelta(seconds=self.outcome.cpu_time if self.outcome else 0)

    @property
    def memory(self) -> MemoryUsage:
        """The most memory it used."""
        if self.outcome is None:
            return MemoryUsage()
        return MemoryUsage(virtual_peak=self.outcome.virtual_peak, hardware_peak=self.outcome.hardware_peak)

    @property
    def host(self) -> str:
        """The name of the machine it ran on; empty if it never did."""
        return self.outcome.host if self.outcome else ""

    @property
    def log(self) -> str:
        """What it printed."""
        return bytes(self._part("log")).decode(errors="replace")

    @property
    def directory(self) -> Path | None:
        """The folder of what it wrote into `context.directory`; None if it wrote nothing."""
        if self._entry is None:
            return None
        folder = self._store.artifact_path(self._entry.key, self._entry.run, self._entry.attempt)
        return folder if folder.is_dir() else None

    def _part(self, name: str) -> Buffer:
        if self._entry is None or not getattr(self.outcome, name).size:
            return b""
        return self._store.load(self._entry, name)


_NEVER_STARTED = Failure(
    type="Cancelled", message="it was never started, because the run stopped early", cause="cancelled"
)


class Attempt(_Ended):
    """One attempt at a configuration, and how it went.

    Attributes:
        attempt: 1 for the first try of a run, 2 for the first retry, and so on.
    """

    __slots__ = ("attempt",)

    def __init__(self, entry: Entry, store: Reader) -> None:
        super().__init__(entry, store)
        self.attempt = entry.attempt

    def __repr__(self) -> str:
        return f"Attempt({self.attempt}, {_told(self)}, {_duration(self.runtime)})"


class Result(_Ended):
    """What one configuration gave.

    Made by a run, never by hand. Reading `inner`, `metrics` or `log` loads them from the store; the rest is at hand.

    Attributes:
        config: the configuration.
        was_cached: whether it was taken from the store rather than computed by this run.

    Example:
        ``for result in results.succeeded: print(result.config.model, result.inner, result.runtime)``
    """

    __slots__ = ("_inner", "_metrics", "_unfinished", "config", "was_cached")

    def __init__(
        self, config: Config, row: Row | None, store: Reader, was_cached: bool = False, unfinished: str | None = None
    ) -> None:
        self._row, self._store, self._outcome = row, store, None  # without a call: there may be a million
        self.config = config
        self.was_cached = was_cached
        self._unfinished = unfinished
        self._inner = _UNREAD
        self._metrics: Metrics | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        return (self.key, None) if self._entry is None else (self.key, self._entry.run, self._entry.attempt)

    def __reduce__(self) -> tuple[Any, ...]:
        # Without what was loaded: the copy loads it itself when it is asked.
        return _restored, (self.config, self._row, self._store, self.was_cached, self._unfinished)

    def _why_absent(self) -> Failure:
        if self._unfinished is None:
            return super()._why_absent()
        return Failure(
            type="Unfinished", message=f"there is no result of it yet: {self._unfinished}", cause="cancelled"
        )

    @property
    def inner(self) -> Any:
        """What the experiment returned.

        Raises:
            NotStored: it returned nothing, because it failed or was cancelled.
            UnreadableResult: it was stored, but unpickling it fails.
        """
        if self._inner is _UNREAD:
            # Ten thousand plain values are read without unpacking ten thousand heads; only successes have a codec.
            codec, summary = value_in(self._row[1]) if self._row is not None else (payload.NOTHING, b"")
            self._inner = payload.decode_plain(summary) if codec == payload.JSON else self._load_inner()
        return self._inner

    def _load_inner(self) -> Any:
        if self.outcome is None or not self.ok:
            raise NotStored(
                f"there is no value for {self.config}: {_told(self)}; see .traceback and .log, "
                "and use results.succeeded to leave out what failed"
            )
        return payload.decode(self.outcome.value.codec, self._part("value"), self.outcome.summary)

    @property
    def summary(self) -> Any:
        """What tables show of `inner`, without loading it: a plain value, a dict's plain entries, or None."""
        return payload.summary_of(self.outcome.summary) if self.outcome and self.ok else None

    @property
    def has_metrics(self) -> bool:
        """Whether any metric was recorded, known without loading them."""
        return self.outcome is not None and self.outcome.metrics.size > 0

    @property
    def metrics(self) -> Metrics:
        """The metrics recorded; those of a failed experiment reach as far as it came."""
        if self._metrics is None:
            self._metrics = Metrics(payload.unpack_metrics(self._part("metrics")), self.config)
        return self._metrics

    def metric_points(self, name: str) -> tuple[array[float], array[float]]:
        """Return the columns x and y of one metric as arrays, which needs no pandas.

        Raises:
            UnknownMetric: no metric of that name was recorded.
        """
        return self.metrics.points(name)

    @property
    def records(self) -> Records:
        """The records kept by `context.recorder`; those of a failed experiment reach as far as it came."""
        from memento.recording import Records
        from memento.recording.packing import known_above, unpack_chunks

        data = payload.records_in(self._part("metrics"))
        if self._entry is None or not data:
            return Records([])
        run, parameters = self._entry.run.hex(), self.config.asdict()
        run_level, own = known_above(run, self.key, self._entry.attempt, parameters, self.config.replicate)
        return Records(unpack_chunks(data, [{**run_level, "status": self.status.value}, own]))

    @property
    def key(self) -> str:
        """The key the result is stored under, 32 hex digits."""
        return self._entry.key.hex() if self._entry else self.config.key

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt that the run which gave this result made at this configuration, the first one first."""
        if self._entry is None:
            return []
        run = self._entry.run
        entries = [entry for entry in self._store.history(self._entry.key) if entry.run == run]
        return [Attempt(entry, self._store) for entry in sorted(entries, key=lambda entry: entry.attempt)]

    def __repr__(self) -> str:
        shown = "" if self.summary is None else f", {self.summary!r}"
        cached = ", from the store" if self.was_cached else ""
        return f"Result({self.config}, {_told(self)}{shown}, {_duration(self.runtime)}{cached})"


def _told(ended: _Ended) -> str:
    error, status = ended.error, ended.status.value
    return status if error is None else f"{status} ({one_line(error.title)})"


def _duration(time: timedelta) -> str:
    return f"{time.total_seconds():.3g} s"


def _restored(
    config: Config, row: Row | None, store: Reader, was_cached: bool, unfinished: str | None = None
) -> Result:
    return Result(config, row, store, was_cached, unfinished)
