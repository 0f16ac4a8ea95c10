"""ExperimentCollection: experiments one after another in a folder, each a file that is never written again.

::

    <path>/lock                      held while an experiment gets its number
    <path>/<number>.<try>.running    locked by the process that writes it; if nobody does, that process is dead
    <path>/<number>.<try>.succeeded  … it has ended
    <path>/<number>.<try>.failed     … it has raised, or its process has died

An experiment gets the smallest number that no experiment has succeeded with or is running under.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from memento.errors import DamagedEntry
from memento.files import private_folder
from memento.recording.chunks import Chunk, StoredLevel
from memento.recording.journal import FileJournal, flush_all
from memento.recording.keeper import RecordKeeper
from memento.recording.records import Records
from memento.recording.segments import MAGIC, Segment, unpack
from memento.user_warnings import warn

if TYPE_CHECKING:
    import pandas as pd

    from memento.recording.groups import Groups

_Seen = TypeVar("_Seen")

RUNNING, SUCCEEDED, FAILED = "running", "succeeded", "failed"
_NAME = re.compile(r"(\d+)\.(\d+)\.(running|succeeded|failed)")


@dataclass(frozen=True, order=True, slots=True)
class _File:
    """One try at an experiment, as its file's name tells."""

    number: int
    attempt: int
    state: str
    path: Path


class ExperimentCollection:
    """Experiments in the folder `path`: each run of `new_experiment` adds one, and all that was recorded stays.

    Every record of an experiment has `experiment_number` (from 1), `had_error`, `error_number` (how many tries in a
    row at this number have failed, this one included; 0 once it has succeeded), `experiment_start_time`,
    `experiment_end_time` (seconds since the epoch) and `experiment_duration` (seconds). While an experiment runs,
    `had_error` is True, as it will be if its process is killed; its end is then when it was last heard of.

    Several processes may record into one collection and read it at once. A kill loses at most what was recorded in
    the last tenth of a second. Nothing is written, not even the folder, before the first experiment begins.

    Example::

        collection = ExperimentCollection("records/my_study")
        with collection.new_experiment() as record_keeper:
            losses = record_keeper.sub_record_keeper(model="svm", training=True)
            for index in range(1000):
                losses.push(index=index, loss=0.1)
        print(collection.where(model="svm").mean("loss"))
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._read: dict[str, tuple[tuple[int, int], list[Chunk]]] = {}

    @contextlib.contextmanager
    def new_experiment(self, **data: Any) -> Iterator[RecordKeeper]:
        """Begin an experiment: afterwards all that was recorded below its keeper is on the disk, whatever was raised.

        Args:
            data: what all records of the experiment have in common, beside the six names above.

        Raises:
            OSError: the folder cannot be written.
            StoreUnwritable: the disk became full or failed; what was written before stays.
        """
        about = RecordKeeper()
        keeper = about.sub_record_keeper(**data)
        journal, number, attempt = self._begin(about)
        begun = time.perf_counter()
        state = FAILED
        try:
            yield keeper
            state = SUCCEEDED
        finally:
            if journal.is_here:
                duration = time.perf_counter() - begun
                about.data.update(
                    experiment_end_time=about["experiment_start_time"] + duration, experiment_duration=duration
                )
                if state == SUCCEEDED:
                    about.data.update(had_error=False, error_number=0)
                journal.end(
                    self.path / f"{number}.{attempt}.{state}",
                    f"experiment {number} of {self.path} has ended; "
                    "record inside of its with block, or begin another with new_experiment()",
                )

    def _begin(self, about: RecordKeeper) -> tuple[FileJournal, int, int]:
        private_folder(self.path)
        with self._locked():
            number, attempt = self._next()
            about.data.update(
                experiment_number=number,
                error_number=attempt,
                had_error=True,
                experiment_start_time=time.time(),
                experiment_end_time=None,
                experiment_duration=None,
            )
            return FileJournal(self.path / f"{number}.{attempt}.{RUNNING}", about), number, attempt

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _next(self) -> tuple[int, int]:
        """Return the number of the next experiment and which try at it this is; the folder is locked."""
        tries: dict[int, list[_File]] = {}
        for file in self._steady(lambda: [_settled(each) for each in self._files()]):
            tries.setdefault(file.number, []).append(file)
        for number, files in tries.items():
            if all(file.state == FAILED for file in files):
                return number, 1 + max(file.attempt for file in files)
        return 1 + max(tries, default=0), 1

    def _files(self) -> list[_File]:
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return []
        found = (match for name in names if (match := _NAME.fullmatch(name)))
        return sorted(_File(int(one[1]), int(one[2]), one[3], self.path / one[0]) for one in found)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def records(self) -> Records:
        """All records of all experiments until now, in the order of the experiments; failed ones are among them."""
        flush_all(self.path)
        parts = self._steady(lambda: [(file.path.name, self._chunks(file)) for file in self._readable_files()])
        self._read = {name: self._read[name] for name, _ in parts}
        return Records([chunk for _, chunks in parts for chunk in chunks])

    def _steady(self, look: Callable[[], list[_Seen]]) -> list[_Seen]:
        """Return what `look` sees, which is done again if an experiment ends meanwhile: its file gets another name."""
        while True:
            try:
                return look()
            except FileNotFoundError:
                continue

    def _readable_files(self) -> list[_File]:
        """Return one file for each try: a kill may leave the running one beside that which has ended."""
        files = self._files()
        ended = {(file.number, file.attempt) for file in files if file.state != RUNNING}
        return [file for file in files if file.state != RUNNING or (file.number, file.attempt) not in ended]

    def _chunks(self, file: _File) -> Sequence[Chunk]:
        status = file.path.stat()
        version = status.st_size, status.st_mtime_ns
        known = self._read.get(file.path.name)
        if known is None or known[0] != version:
            known = self._read[file.path.name] = version, _read_file(file.path).chunks
        return known[1]

    def where(self, **conditions: Any) -> Records:
        """Return the records that meet all `conditions`: see `Records.where`."""
        return self.records.where(**conditions)

    def groupby(self, *names: str) -> Groups:
        """Return the records by the values of `names`: see `Records.groupby`."""
        return self.records.groupby(*names)

    def to_frame(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each record: see `Records.to_frame`."""
        return self.records.to_frame()

    def to_parquet(self, folder: str | PathLike[str], partition_by: Sequence[str] | None = None) -> None:
        """Write the records as Parquet files below `folder`: see `Records.to_parquet`."""
        self.records.to_parquet(folder, partition_by)

    def __repr__(self) -> str:
        numbers = {file.number for file in self._files()}
        return f"ExperimentCollection({str(self.path)!r}: {len(numbers)} experiments)"


def _settled(file: _File) -> _File:
    """Return what became of an experiment; a running one whose process is dead gets its name for good."""
    if file.state != RUNNING:
        return file
    descriptor = os.open(file.path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fsync(descriptor)  # its own process did not come to do it
        about = _read_file(file.path).levels.get(0)
        state = SUCCEEDED if about is not None and about.data.get("had_error") is False else FAILED
        os.rename(file.path, path := file.path.with_suffix(f".{state}"))
        return _File(file.number, file.attempt, state, path)
    except BlockingIOError:
        return file
    finally:
        os.close(descriptor)


def _read_file(path: Path) -> Segment:
    data = path.read_bytes()
    if data and not data.startswith(MAGIC):
        raise DamagedEntry(f"{path} is no file of records; move it out of the way", path=str(path))
    segment = unpack(data)
    if segment.damaged:
        warn(
            f"{segment.damaged:,} bytes of {path} do not match their checksum: the records in them are left out",
            RuntimeWarning,
        )
    about = segment.levels.get(0)
    if isinstance(about, StoredLevel) and about.data.get("experiment_end_time") is None:
        duration = max(0.0, segment.at - about.data["experiment_start_time"])
        about.data = {**about.data, "experiment_end_time": segment.at, "experiment_duration": duration}
    return segment
