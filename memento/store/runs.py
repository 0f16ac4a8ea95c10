"""Runs that go on: who is alive, shown by locks that the kernel drops when a process ends, however it ends.

    spool/<run>/alive      locked by the orchestrator while it lives
    spool/<run>/*.spool    each locked by its worker while that one lives
    spool/<run>/remote     its work goes on in batch jobs, beyond the end of its process: see `is_remote`
    spool/.<...>           a folder that is being made or removed: nobody's run

A run is dead when nobody holds any of its locks. Its folder appears with its lock held, and is taken over by renaming
it: so no run is taken for dead while it begins, and no worker can begin to write where nobody will read.

A remote run is over only when nothing is claimed for it any more. Until then whoever gets its lock may adopt it, take
in what has arrived, and leave it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import os
import secrets
import shutil
import socket
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from memento import __version__
from memento.files import private_folder
from memento.heads import Frame, run_in
from memento.layout import REMOTE
from memento.store.claims import Claimed
from memento.store.migrations import frames_of_any_format
from memento.task import RUN_BYTES

ALIVE = "alive"
ASIDE = "."
OVER = ".over"
NEW = ".new"
DIED = "died"
"""What is noted about a run that somebody else had to end."""

_locked: weakref.WeakSet[Run] = weakref.WeakSet()


class Run:
    """One run: its id, its spool folder, the lock that says it lives, and what it knows of the ledger.

    Attributes:
        claimed: the keys it has claimed.
        written: what the ledger says that it has claimed.
        stored_by_others: keys of successes that other runs stored since this one began to look.
        seen: up to which number it has looked at what is stored.
    """

    def __init__(self, spools: Path, *, since: int = 0) -> None:
        self.claimed = self.written = Claimed()
        self.stored_by_others: set[bytes] = set()
        self.seen = since
        self.id = secrets.token_bytes(RUN_BYTES)
        self.spool = spools / self.id.hex()
        aside = private_folder(spools / f"{ASIDE}{self.id.hex()}{NEW}")
        self._lock = os.open(aside / ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        _locked.add(self)
        os.rename(aside, self.spool)

    @classmethod
    def adopt(cls, spools: Path, run: bytes) -> Run | None:
        """Return `run`, whose process is gone and whose work goes on elsewhere; None when somebody else has it."""
        adopted = cls.__new__(cls)
        adopted.id, adopted.spool = run, spools / run.hex()
        adopted.claimed = adopted.written = Claimed()
        adopted.stored_by_others, adopted.seen = set(), 0
        try:
            adopted._lock = os.open(adopted.spool / ALIVE, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(adopted._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(adopted._lock)
            return None
        _locked.add(adopted)
        if not (adopted.spool / ALIVE).exists():  # it was over a moment ago
            adopted.unlock()
            return None
        return adopted

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


def facts(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is worth knowing later about a run that begins here and now."""
    known = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "python": sys.version.partition(" ")[0],
        "memento": __version__,
    }
    with contextlib.suppress(KeyError, OSError):
        known["user"] = getpass.getuser()
    return {**known, **about}


def run_of(folder: Path) -> bytes | None:
    """Return the run whose folder is `folder`, also if somebody was taking it over; None if it is no run's."""
    try:
        run = bytes.fromhex(folder.name.removeprefix(ASIDE).removesuffix(OVER))
    except ValueError:
        return None
    return run if len(run) == RUN_BYTES else None


def is_alive(folder: Path) -> bool:
    """Return whether the process of the run in `folder` lives, as far as its lock can be tried.

    It is tried for a moment, shared with others who look; who wants it for himself in that moment has to try again.
    """
    try:
        descriptor = os.open(folder / ALIVE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def last_sign(folder: Path) -> float:
    """Return when the run in `folder` or a worker of it last wrote there, in seconds since the epoch.

    Raises:
        OSError: somebody takes it over.
    """
    return max((path.stat().st_mtime for path in folder.iterdir()), default=folder.stat().st_mtime)


def is_remote(folder: Path) -> bool:
    """Return whether the work of the run in `folder` goes on elsewhere when its process is gone."""
    return (folder / REMOTE).exists()


def has_folder(spools: Path, run: bytes) -> bool:
    """Return whether `run` lives, or may have left something."""
    folder = spools / run.hex()
    # Between the first two questions it may have been put back.
    return folder.exists() or _over(folder).exists() or folder.exists()


@contextlib.contextmanager
def taken(folder: Path) -> Iterator[Path | None]:
    """Enter with where the folder of a dead run now lies, out of reach of all others; with None while anybody lives.

    If what is done inside fails, the folder is left for the next who tries; otherwise it is removed.
    """
    held: list[int] = []
    try:
        aside = _take(folder, held)
        yield aside
        if aside is not None:
            remove(aside)
    finally:
        for descriptor in held:
            os.close(descriptor)


def _take(folder: Path, held: list[int]) -> Path | None:
    if not folder.is_dir() or not _all_free(folder, held):
        return None
    if folder.name.startswith(ASIDE):  # who was taking it over died over it
        return folder
    aside = _over(folder)
    try:
        os.rename(folder, aside)
    except FileNotFoundError:  # another process was first
        return None
    if not _all_free(aside, held):  # a worker began just before
        os.rename(aside, folder)
        return None
    return aside


def _over(folder: Path) -> Path:
    return folder.with_name(f"{ASIDE}{folder.name}{OVER}")


def _all_free(folder: Path, held: list[int]) -> bool:
    known = {(state.st_dev, state.st_ino) for state in map(os.fstat, held)}
    return all(_lock(path, held, known) for path in (folder / ALIVE, *sorted(folder.glob("*.spool"))))


def _lock(path: Path, held: list[int], known: set[tuple[int, int]]) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    state = os.fstat(descriptor)
    if (state.st_dev, state.st_ino) in known:
        os.close(descriptor)
        return True
    held.append(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def spooled(run: bytes, folder: Path, taken: Mapping[str, int] = MappingProxyType({})) -> Iterator[Frame]:
    """Yield every whole outcome of `run` in the spools in `folder`, except up to the offsets that are `taken`."""
    for path in sorted(folder.glob("*.spool")):
        for frame in frames_of_any_format(path, taken.get(path.name, 0)):
            if run_in(frame[0]) == run:
                yield frame


def remove(folder: Path) -> None:
    """Remove the folder of a run that is over."""
    shutil.rmtree(folder, ignore_errors=True)
