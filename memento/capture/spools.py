"""Files of records that wait to be sent, each with a marker of how far that has got.

<file>.sent: where the first line begins that waits, in 20 digits; then, of each line behind it that does not, where
             it begins and ends
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from memento.capture.append_only import new_lines
from memento.files import write_all

LARGEST_SENT = 1 << 20  # bytes that were sent before another file is begun
_DIGITS = 20


class Spool:
    """A file of records, some of which have been sent; whoever has it open holds its lock."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._marker = os.open(f"{path}.sent", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        numbers = _numbers(os.pread(self._marker, os.fstat(self._marker).st_size, 0))
        self._sent = numbers[0] if numbers else 0
        self._ahead = dict(zip(numbers[1::2], numbers[2::2], strict=False))  # a kill may have torn the last pair
        self._noted = len(numbers[2::2])
        if self._sent > os.fstat(descriptor).st_size:
            self._sent, self._ahead = 0, {}  # an older version emptied it, and could not say so

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

    def waiting(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that have not been sent, each with the offset where it begins."""
        return ((offset, line) for offset, line in new_lines(self.path, self._sent) if offset not in self._ahead)

    def mark(self, begin: int, end: int) -> None:
        """Note that the line from `begin` to `end` has been sent."""
        if begin == self._sent:
            self._sent = end
            while self._sent in self._ahead:  # which keeps it: `waiting` may be anywhere
                self._sent = self._ahead[self._sent]
        else:
            self._ahead[begin] = end
            os.pwrite(self._marker, b"%020d%020d" % (begin, end), _DIGITS * (1 + 2 * self._noted))
            self._noted += 1
        os.pwrite(self._marker, b"%020d" % self._sent, 0)

    @property
    def unsent(self) -> int:
        """How many records wait."""
        return sum(1 for _ in self.waiting())

    @property
    def is_spent(self) -> bool:
        """Whether so much of it was sent that another file should be begun."""
        return self._sent + sum(end - begin for begin, end in self._ahead.items() if begin > self._sent) > LARGEST_SENT

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


def _numbers(marked: bytes) -> list[int]:
    numbers = []
    for at in range(0, len(marked) - _DIGITS + 1, _DIGITS):
        digits = marked[at : at + _DIGITS]
        if not digits.isdigit():  # as after a crash of the machine: what is behind is sent again
            break
        numbers.append(int(digits))
    return numbers
