"""A journal: a file that says whom to tell of one run, and what was told.

    <store>/tracking/<run>.<number of the tracker>

One JSON object a line, only ever appended: by the run (its beginning, texts that the ledger keeps shortened, its end)
and by whoever delivers and holds the file's lock. The first line has everything to go on from after any death; the file
is removed when all is told. A line that is torn, as a power cut can leave it, counts as not written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memento.files import private_folder, sync_folder, write_all
from memento.layout import tracking_path


def journals_in(root: Path) -> list[Path]:
    """Return the journals in the store at `root`, those of one run side by side."""
    folder = tracking_path(root)
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _is_name(path.name))


def is_free(path: Path) -> bool:
    """Return whether nobody delivers from the journal at `path` at this moment."""
    with locked(path) as free:
        return free


def _is_name(name: str) -> bool:
    run, _, number = name.partition(".")
    return number.isdecimal() and len(run) == 16 and all(digit in "0123456789abcdef" for digit in run)


def run_of(path: Path) -> bytes:
    """Return the id of the run that the journal at `path` is of."""
    return bytes.fromhex(path.name.partition(".")[0])


@contextlib.contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Enter with True, and alone, or with False where another delivers from it or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield path.exists()  # whoever held the lock before may have removed it
    finally:
        os.close(descriptor)


class Journal:
    """The journal at `path`, for appending and for reading what was appended since it was last read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._lock = threading.Lock()

    @classmethod
    def begin(cls, root: Path, run: str, number: int, first: Mapping[str, Any]) -> Journal:
        """Return a new journal in the store at `root` that begins with `first`; it is on the disk."""
        path = private_folder(tracking_path(root)) / f"{run}.{number}"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        journal = cls(path)
        journal.append(first, sync=True)
        sync_folder(path.parent)
        return journal

    def append(self, line: Mapping[str, Any], *, sync: bool = False) -> None:
        """Append one object in one write; with `sync` it is then on the disk.

        Raises:
            OSError: the disk is full or failing, or the journal is gone.
        """
        # It begins with a newline too, so that it stands alone even after a line that was torn.
        data = b"\n" + json.dumps(line).encode() + b"\n"
        with self._lock:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                write_all(descriptor, [data])
                if sync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the objects appended since the last time, whoever appended them."""
        with self.path.open("rb") as file:
            file.seek(self._position)
            for line in file:
                if not line.endswith(b"\n"):  # it is being written
                    return
                self._position += len(line)
                with contextlib.suppress(ValueError):
                    read = json.loads(line)
                    if isinstance(read, dict):
                        yield read

    def has_grown(self) -> bool:
        """Return whether there is something to read."""
        try:
            return self.path.stat().st_size > self._position
        except FileNotFoundError:
            return False

    def remove(self) -> None:
        """Remove it, because everything was told."""
        self.path.unlink(missing_ok=True)
