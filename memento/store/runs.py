"""Runs that go on: who is alive, shown by a lock that the kernel drops when the process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

from memento.files import private_folder
from memento.spool import Frame, read_frames
from memento.task import RUN_BYTES

ALIVE = "alive"

_locked: weakref.WeakSet[Run] = weakref.WeakSet()


class Run:
    """One run: its id, its spool folder, and the lock that says it lives."""

    def __init__(self, spools: Path) -> None:
        self.id = secrets.token_bytes(RUN_BYTES)
        self.spool = private_folder(spools / self.id.hex())
        self._lock = os.open(self.spool / ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        _locked.add(self)

    def unlock(self) -> None:
        """Count as dead from now on. Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        _locked.discard(self)


def _drop_inherited_locks() -> None:
    # A forked child would keep the run alive beyond its parent.
    for run in list(_locked):
        run.unlock()


os.register_at_fork(after_in_child=_drop_inherited_locks)


@contextlib.contextmanager
def dead(folder: Path) -> Iterator[bool]:
    """Say whether nobody of the run in `folder` lives, neither its orchestrator nor a worker; keep it so while entered."""
    held: list[int] = []
    try:
        yield all(_lock(path, held) for path in (folder / ALIVE, *sorted(folder.glob("*.spool"))))
    finally:
        for descriptor in held:
            os.close(descriptor)


def _lock(path: Path, held: list[int]) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    held.append(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def spooled(folder: Path) -> list[Frame]:
    """Return every whole outcome in the spools of the run in `folder`."""
    return [frame for path in sorted(folder.glob("*.spool")) for frame in read_frames(path)[0]]


def remove(folder: Path) -> None:
    """Remove the folder of a run that is over."""
    shutil.rmtree(folder, ignore_errors=True)
