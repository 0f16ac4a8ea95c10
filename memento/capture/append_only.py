"""Appending whole lines to a file that other threads, processes and programs append to at the same time.

Guarantees: a line is in the file whole or not at all, and it is in the kernel's hands when `append` returns, so no
kill of any process loses it. What a kill, a crash or a full disk has torn off is repaired before the next line: a last
line that lacks only its newline gets it, any other moves to `<file>.torn`, because readers stop at half a line.

Assumptions: every writer takes the file's lock, as this module does. A file system without locks (some network file
systems) still appends each line in one `write`; nothing is repaired there.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import weakref
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_UN, flock
from os import fstat, write
from pathlib import Path
from time import monotonic

_TAIL = 1 << 16
LOOK_EVERY = 0.05  # seconds
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
_appenders: weakref.WeakSet[Appender] = weakref.WeakSet()


class Appender:
    """Appends lines to the file at `path`, which it makes where it is missing, also when it goes away later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = str(path)
        self._descriptor = -1
        self._reset()
        _appenders.add(self)

    def _reset(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._look_at = 0.0
        self._end = -1  # where the file ended after our own last line
        self._lock = threading.Lock()
        self._locks = True

    def append(self, line: bytes) -> int:
        """Append `line`, which ends in its newline, and return the offset where it begins.

        Raises:
            OSError: the disk is full or failing; the file ends where it ended before.
        """
        with self._lock:
            descriptor = self._descriptor
            if descriptor < 0:
                descriptor = self._open()
            if not self._locks:
                return self._write(descriptor, line, os.lseek(descriptor, 0, os.SEEK_END))
            flock(descriptor, LOCK_EX)
            try:
                status = fstat(descriptor)
                while status.st_nlink == 0 or (monotonic() > self._look_at and not self._is_at_path()):
                    descriptor = self._open()  # moved or deleted: the line belongs into the file of that name
                    flock(descriptor, LOCK_EX)
                    status = fstat(descriptor)
                end = status.st_size
                if end != self._end:
                    end = self._whole_end(descriptor, end)
                return self._write(descriptor, line, end)
            finally:
                flock(self._descriptor, LOCK_UN)

    def _write(self, descriptor: int, line: bytes, end: int) -> int:
        try:
            if write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._text)
        except BaseException:
            if self._locks:  # else somebody may have appended meanwhile
                os.ftruncate(descriptor, end)
            raise
        self._end = end + len(line)
        return end

    def _open(self) -> int:
        """Open the file that is at `path` now, and return its descriptor."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        before, descriptor = self._descriptor, os.open(self._text, flags, 0o666)
        self._descriptor = descriptor
        if before >= 0:
            os.close(before)  # only now: where no other can be opened, `append` gives up the lock of this one
        self._end, self._look_at = -1, 0.0
        try:
            flock(descriptor, LOCK_EX)
            flock(descriptor, LOCK_UN)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            self._locks = False
        return descriptor

    def _is_at_path(self) -> bool:
        """Return whether the open file is still the one at `path`; asked now and then, as it costs a microsecond."""
        self._look_at = monotonic() + LOOK_EVERY
        try:
            return os.path.samestat(os.stat(self._text), fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _whole_end(self, descriptor: int, end: int) -> int:
        """Return where the file ends, after having made its last line whole."""
        if end == 0 or os.pread(descriptor, 1, end - 1) == b"\n":
            return end
        start = _last_line(descriptor, end)
        torn = os.pread(descriptor, end - start, start)
        if not _is_json(torn):
            with open(f"{self._text}.torn", "ab") as aside:
                aside.write(torn + b"\n")
            os.ftruncate(descriptor, start)
            return start
        return end + write(descriptor, b"\n")

    def close(self) -> None:
        """Close the file; another line opens it again."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def _last_line(descriptor: int, end: int) -> int:
    """Return where the last line begins of a file that ends at `end` without a newline."""
    while end > 0:
        start = max(0, end - _TAIL)
        place = os.pread(descriptor, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def _is_json(line: bytes) -> bool:
    """Return whether nothing of `line` is missing, which no beginning of an object of JSON can say."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _forget_inherited() -> None:
    # A lock belongs to the open file, which a forked child shares with its parent: it would lock out neither.
    for appender in list(_appenders):
        with contextlib.suppress(OSError):
            appender._reset()


os.register_at_fork(after_in_child=_forget_inherited)


def new_lines(path: Path, offset: int, *, unended: bool = False) -> Iterator[tuple[int, bytes]]:
    """Yield the whole lines of the file at `path` from `offset` on, each with the offset where it begins.

    Args:
        path: the file, which may be missing.
        offset: where a line begins.
        unended: a last line that lacks only its newline is one of them. What follows it, when it has got one, is an
            empty line.
    """
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n") and not (unended and _is_json(line)):
                    return  # somebody is writing it
                yield offset, line
                offset += len(line)
    except FileNotFoundError:
        return


def line_at(path: Path, offset: int) -> bytes:
    """Return the line of the file at `path` that begins at `offset`; nothing when the file has gone."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.readline()
    except FileNotFoundError:
        return b""
