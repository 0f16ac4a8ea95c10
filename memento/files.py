"""Writing files so that a reader finds the old one or the new one, never a part of either."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_lasting: set[Path] = set()
"""Folders whose names this process has synced: the same few hundred are asked for again and again."""
MOST_LASTING = 10_000

# What a disk says that is full or failing, whoever was writing to it and what.
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})


def private_folder(path: Path) -> Path:
    """Make `path` and its parents where missing, open to this user alone whatever the umask; return it.

    Afterwards their names are on the disk: what is synced in a folder is lost with the folder's name. That of a folder
    that is there already is synced as well, once: whoever made it may have been killed before that.
    """
    missing = []
    folder = path
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    _make_last(folder)
    for folder in reversed(missing):
        try:
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)
            _lasting.discard(folder)  # one of that name may have been removed
        except FileExistsError:  # another process was first, or there is a file
            if not folder.is_dir():
                raise
        _make_last(folder)
    return path


def _make_last(folder: Path) -> None:
    """Have the name of `folder` on the disk, as it is known to be if that was asked before."""
    if folder in _lasting:
        return
    with suppress(PermissionError):  # what lies above the store may be closed to us, and was made by somebody else
        sync_folder(folder.parent)
    if len(_lasting) >= MOST_LASTING:
        _lasting.clear()
    _lasting.add(folder)


def write_atomically(path: Path, chunks: Iterable[Buffer], *, synced: bool = True, lasting: bool = True) -> None:
    """Write `chunks` to `path`; afterwards the file is complete and on the disk, or it is as it was before.

    The bytes go to a file beside it, are synced, and are renamed over it; then the folder is synced, because a rename
    that only the page cache knows is undone by a power cut. Whoever does that later, for many files at once, writes
    without `lasting`; and whoever syncs the file itself later, by `sync`, without `synced`: the disk is begun to be
    written to, and nobody waits for it.

    Raises:
        OSError: the disk is full or failing; nothing is left beside `path`.
    """
    # Two machines may write into one folder: the process id alone does not tell them apart.
    aside = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(descriptor, chunks)
            if synced:
                os.fsync(descriptor)
            else:
                _begin_syncing(descriptor)
        finally:
            os.close(descriptor)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    if lasting:
        sync_folder(path.parent)


def _begin_syncing(descriptor: int) -> None:
    # Linux then starts to write what is dirty, and lets go only of what is not: the file stays in memory.
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def sync(path: Path) -> None:
    """Put what is in the file `path` on the disk, whoever has written it on this machine."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, chunks: Iterable[Buffer]) -> None:
    """Write every byte of `chunks`; `os.write` may take fewer than it is given."""
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        while view:
            view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Put the names in folder `path` on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a folder, and need not
            raise
    finally:
        os.close(descriptor)
