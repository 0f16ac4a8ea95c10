"""Who computes a combination: of the processes that use one file, one at a time, told by locks on `<file>.lock`.

    a combination ──first bytes of its key──▶ one byte of the lock file, locked while a process computes it

The bytes need not exist: the lock file stays empty. It is not removed either, as somebody may be about to lock it.

Guarantees: a claim is held by one process at a time, and ends with it, however it ends.
Assumptions: the file system has locks, and the lock file can be made. Where not, every process computes for itself.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, lockf
from pathlib import Path

from memento.flights import growing_pauses

logger = logging.getLogger(__name__)

SAID_AFTER = (
    10.0  # seconds: the other process may also be a stopped one, and nothing else would tell what is waited for
)

_OF_ANOTHER = (errno.EAGAIN, errno.EACCES)
_BYTES_OF_KEY = 7  # offsets in a file have 63 bits

_guard = threading.Lock()
_open: dict[Path, int] = {}
"""Lock files, each open once in a process: to close any descriptor of one gives up all locks on it."""


class Claims:
    """What this process computes for the file at `path`; threads of one process have to agree among themselves."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + ".lock")
        self._said = False

    def take(self, key: bytes) -> bool:
        """Return whether the combination `key` is now this process's to compute."""
        try:
            descriptor = _opened(self.path)
        except OSError:
            return True
        try:
            lockf(descriptor, LOCK_EX | LOCK_NB, 1, _place_of(key))
        except OSError as error:
            return error.errno not in _OF_ANOTHER
        return True

    def taking(self, key: bytes) -> Iterator[float]:
        """Take the combination `key`, yielding how many seconds to wait before another look; say once what for."""
        begun = time.monotonic()
        for pause in growing_pauses():
            if self.take(key):
                return
            if not self._said and time.monotonic() - begun >= SAID_AFTER:
                self._said = True
                logger.warning(
                    "memfile: waiting for a result that another process computes; it holds a lock on %s", self.path
                )
            yield pause

    def release(self, key: bytes) -> None:
        """Give the claim on `key` up."""
        with contextlib.suppress(OSError):
            lockf(_opened(self.path), LOCK_UN, 1, _place_of(key))


def _place_of(key: bytes) -> int:
    return int.from_bytes(key[:_BYTES_OF_KEY], "big")


def _opened(path: Path) -> int:
    with _guard:
        descriptor = _open.get(path, -1)
        if descriptor >= 0 and os.fstat(descriptor).st_nlink == 0:  # others lock the one that was made since
            os.close(_open.pop(path))
            descriptor = -1
        if descriptor < 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = _open[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return descriptor


def _forget_threads() -> None:
    # A forked child has none of its parent's locks on files, but it would have those of its threads.
    global _guard
    _guard = threading.Lock()


os.register_at_fork(after_in_child=_forget_threads)
