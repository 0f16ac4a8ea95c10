"""The file of an experiment that is running: what has been recorded is in it a twentieth of a second later.

    add_record ──▶ buffer ──4096 rows──▶ frame ──write──▶ file
                     └── every 0.05 s, by a thread ──▲

Guarantee: a record is handed to the kernel at most a tenth of a second after `add_record` has returned, so that a kill
loses no older ones; a frame torn by the kill is recognised by its checksum. Assumed is that the thread gets to run: C
code that keeps the interpreter's lock for longer delays it for as long. When the experiment ends the file is synced.

The writer holds an exclusive lock on its file while it lives, and the kernel drops it when the process ends, however it
ends: who gets the lock knows that nobody will append any more.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
import weakref
from pathlib import Path
from typing import cast

from memento.errors import RecordingError, StoreUnwritable
from memento.files import sync_folder, write_all, write_atomically
from memento.recording.buffer import Buffer
from memento.recording.chunks import Chunk, merged
from memento.recording.keeper import RecordKeeper
from memento.recording.segments import MAGIC, pack_frame, unpack

INTERVAL = 0.05
MANY_FRAMES, FEW_ROWS = 300, 100
"""A file of more frames, with fewer rows each, is written anew when its experiment ends: each keeper in one piece."""

_open_journals: weakref.WeakSet[FileJournal] = weakref.WeakSet()


class FileJournal:
    """Writes what a tree of keepers records to one file, which it makes and locks; `root` is the top of the tree."""

    def __init__(self, path: Path, root: RecordKeeper) -> None:
        self.path = path
        self.lock = threading.RLock()
        self._frames = self._rows = 0
        self._pid = os.getpid()
        self._numbers: dict[RecordKeeper, int] = {}
        self._changed: dict[RecordKeeper, None] = {}
        self._dirty: dict[Buffer, None] = {}
        self._waiting: list[Chunk] = []
        self._unwritten: list[bytes] = [MAGIC]
        self._refusal = ""
        self._trouble: OSError | None = None
        self._failure: Exception | None = None
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._end = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_flushing, name="memento records", daemon=True)
        root._join(self)
        self.flush()
        try:
            self._raise_trouble()
        except StoreUnwritable:
            os.close(self._descriptor)  # and the lock with it, or the experiment would seem to be running
            path.unlink()
            raise
        _open_journals.add(self)
        self._thread.start()

    def _keep_flushing(self) -> None:
        while not self._stop.wait(INTERVAL):
            try:
                self.flush()
            except Exception as error:  # told to who records next: nobody hears a thread
                self._failure = error

    # ── what keepers tell ───────────────────────────────────────────────────────────────────────────────────────────

    def attach(self, keeper: RecordKeeper) -> None:
        """Take `keeper` in, with what it has recorded so far."""
        with self.lock:
            self._refuse_if_ended()
            self._numbers[keeper] = len(self._numbers)
            self._changed[keeper] = None
            self._waiting += keeper._take_all()

    def note(self, keeper: RecordKeeper) -> None:
        """Take note that the data or the parent of `keeper` has changed."""
        with self.lock:
            self._refuse_if_ended()
            self._changed[keeper] = None

    def attend(self, buffer: Buffer) -> None:
        """Take note that values are waiting in `buffer`; when there are many, write them.

        Raises:
            RecordingError: the experiment has ended, or this is another process than the one it began in.
            StoreUnwritable: the disk is full or failing.
        """
        with self.lock:
            if self._refusal:
                buffer.values.clear()
            self._refuse_if_ended()
            self._raise_trouble()
            if buffer.bound and len(buffer.values) >= buffer.limit:
                self._take(buffer)
                self._write(self._frame())
                self._raise_trouble()
            elif not buffer.bound:
                self._dirty[buffer] = None
                buffer.bound = buffer.limit

    def _take(self, buffer: Buffer) -> None:
        chunk = buffer.keeper._take(buffer)
        if chunk is not None:
            self._waiting.append(chunk)

    def _refuse_if_ended(self) -> None:
        if self._refusal:
            raise RecordingError(self._refusal)

    def _raise_trouble(self) -> None:
        if self._failure is not None:
            raise RecordingError(
                f"some records could not be written to {self.path}: {type(self._failure).__name__}: {self._failure}"
            ) from self._failure
        if self._trouble is not None:
            raise StoreUnwritable(
                f"{self._trouble.strerror} while writing {self.path}; what was written stays, make room and run again",
                path=str(self.path),
            ) from self._trouble

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def flush(self) -> None:
        """Hand all that was recorded to the kernel; what cannot be written is tried again and told to who adds next."""
        with self.lock:
            if self._descriptor < 0:
                return
            dirty, self._dirty = self._dirty, {}
            for buffer in dirty:
                self._take(buffer)
            if self._changed or self._waiting or self._unwritten:
                self._write(self._frame())

    def _frame(self) -> bytes:
        changed, self._changed = self._changed, {}
        waiting, self._waiting = self._waiting, []
        if not changed and not waiting:
            return b""
        levels = [(self._numbers[keeper], self._number(keeper.parent), keeper.data.copy()) for keeper in changed]
        self._frames += 1
        self._rows += sum(chunk.length for chunk in waiting)
        return pack_frame(
            time.time(), levels, [(self._numbers[cast(RecordKeeper, chunk.level)], chunk) for chunk in waiting]
        )

    def _number(self, keeper: RecordKeeper | None) -> int:
        return -1 if keeper is None else self._numbers[keeper]

    def _write(self, frame: bytes) -> None:
        self._unwritten.append(frame)
        try:
            while self._unwritten:
                write_all(self._descriptor, self._unwritten[:1])
                self._end += len(self._unwritten.pop(0))
            self._trouble = None
        except OSError as error:
            os.ftruncate(self._descriptor, self._end)  # a torn frame is for kills alone
            self._trouble = error

    # ── reading and ending ──────────────────────────────────────────────────────────────────────────────────────────

    def chunks_of(self, keepers: list[RecordKeeper]) -> list[Chunk]:
        """Return all that these keepers have recorded; they know the living keepers, whose data may yet change."""
        with self.lock:
            self.flush()
            known = {number: keeper for keeper, number in self._numbers.items()}
            data = self.path.read_bytes()
        wanted = set(keepers)
        return [chunk for chunk in unpack(data, known).chunks if chunk.level in wanted]

    def end(self, path: Path, refusal: str) -> None:
        """Write the rest, sync, give the file its final name and the lock up; afterwards adding raises `refusal`."""
        self._stop.set()
        self._thread.join()
        with self.lock:
            for keeper in self._numbers:  # also what was changed inside of a value, which nobody was told of
                self._changed[keeper] = None
            self.flush()
            self._refuse(refusal)
            try:
                self._raise_trouble()
                if self._frames > MANY_FRAMES and self._rows < FEW_ROWS * self._frames:
                    self._write_compactly(path)
                else:
                    os.fsync(self._descriptor)
                    os.rename(self.path, path)
                    sync_folder(path.parent)
                self.path = path
            finally:
                self._close()

    def _write_compactly(self, path: Path) -> None:
        # Hours of a record now and then are many frames of a row, which take long to read and much room.
        segment = unpack(self.path.read_bytes())
        numbers = {id(level): number for number, level in segment.levels.items()}
        levels = [
            (number, numbers.get(id(level.parent), -1), level.data) for number, level in sorted(segment.levels.items())
        ]
        chunks = [(numbers[id(chunk.level)], chunk) for chunk in merged(segment.chunks)]
        write_atomically(path, (MAGIC, pack_frame(segment.at, levels, chunks)))
        os.unlink(self.path)

    def _refuse(self, refusal: str) -> None:
        self._refusal = refusal
        for keeper in self._numbers:
            for buffer in keeper._own_buffers():
                buffer.bound = 0

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
        _open_journals.discard(self)

    @property
    def is_here(self) -> bool:
        """Whether this is the process that writes."""
        return self._pid == os.getpid()

    def forsake(self) -> None:
        """Have nothing to do with the file any more, in a forked process: it, and its lock, are the parent's."""
        self.lock = threading.RLock()
        self._close()
        self._refuse(
            f"this process was forked from the experiment, whose records process {self._pid} writes; "
            "return the values and record them there, or begin an experiment here with new_experiment()"
        )


def flush_all(folder: Path) -> None:
    """Write what experiments of this process have recorded into `folder` until now."""
    for journal in list(_open_journals):
        if journal.path.parent == folder:
            journal.flush()


def _forsake_all() -> None:
    for journal in list(_open_journals):
        journal.forsake()


os.register_at_fork(after_in_child=_forsake_all)
