"""Files of records that wait to be sent, each with a marker of how far that has got."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from memento.capture.appending import new_lines
from memento.files import write_all

LARGEST_SENT = 1 << 20  # bytes that were sent before another file is begun


class Spool:
    """A file of records, of which the first `sent` bytes have been sent; whoever has it open holds its lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._marker = os.open(f"{path}.sent", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        marked = os.pread(self._marker, 20, 0)
        self.sent = int(marked) if marked.isdigit() else 0
        if self.sent > os.fstat(descriptor).st_size:
            self.sent = 0  # an older version emptied it, and could not say so

    @classmethod
    def make(cls, path: Path) -> Spool | None:
        """Make the file, which is missing so far, and lock it; None when another took it for left over first."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return cls._locked(path, descriptor)

    @classmethod
    def adopt(cls, path: Path) -> Spool | None:
        """Return the file that a process left over, None when that process lives or another one adopts it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return cls._locked(path, descriptor)

    @classmethod
    def _locked(cls, path: Path, descriptor: int) -> Spool | None:
        if os.fstat(descriptor).st_nlink == 0:  # removed by whoever had it locked before
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def append(self, line: bytes) -> None:
        """Append a line.

        Raises:
            OSError: the disk is full or failing; the file ends where it ended before.
        """
        end = os.fstat(self._descriptor).st_size
        try:
            write_all(self._descriptor, (line,))
        except BaseException:
            os.ftruncate(self._descriptor, end)
            raise

    def mark(self, sent: int) -> None:
        """Note that the first `sent` bytes have been sent."""
        self.sent = sent
        os.pwrite(self._marker, b"%020d" % sent, 0)

    @property
    def unsent(self) -> int:
        """How many records wait."""
        return sum(1 for _ in new_lines(self.path, self.sent))

    @property
    def is_spent(self) -> bool:
        """Whether all of the file was sent, and it is large; good for as long as nobody appends."""
        return self.sent > LARGEST_SENT and self.sent == os.fstat(self._descriptor).st_size

    def remove(self) -> None:
        """Delete the file and its marker."""
        for path in (Path(f"{self.path}.sent"), self.path):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the lock up. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            os.close(self._marker)
            self._descriptor = -1
