"""The bytes of an outcome's parts, from a row of the ledger or from a file beside it, verified."""

from __future__ import annotations

import errno
import hashlib
import mmap
import weakref
from collections.abc import Iterator
from pathlib import Path

from memento.layout import blob_path
from memento.task import PART_NAMES, Outcome, Part

DIGEST_BYTES = 16
# Each mapping keeps a file descriptor, of which a process often has 1024; what is beyond is read into memory.
MOST_MAPPINGS = 200

_mappings: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def files_of(outcome: Outcome, root: Path) -> Iterator[tuple[Path, Part]]:
    """Yield each part of `outcome` that is in a file, and where that lies in the store's folder `root`."""
    for name, part in zip(PART_NAMES, outcome.parts, strict=True):
        if part.data is None:
            yield blob_path(root, outcome.key, outcome.run, outcome.attempt, name), part


def matches(part: Part, data: object) -> bool:
    """Return whether `data` is what `part` describes."""
    # A flipped bit can make a number of what was bytes.
    if not isinstance(data, bytes):
        return False
    return len(data) == part.size and hashlib.sha256(data).digest()[:DIGEST_BYTES] == part.digest


def read_file(path: Path, part: Part) -> memoryview | bytes | None:
    """Return the file at `path` if it holds what `part` describes, else None: its pages come when they are used.

    It can be written to; changes stay in this process. It is read once before it is mapped: a disk that fails then is
    an error, and not the signal that a failing page of mapped memory is.

    Raises:
        OSError: it cannot be read.
    """
    try:
        try:
            return _read(path, part)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return _read(path, part)  # it may have failed for a moment, and what counts as lost is computed anew
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.EIO:  # the disk has lost it
            return None
        raise


def _read(path: Path, part: Part) -> memoryview | bytes | None:
    with open(path, "rb") as file:
        if hashlib.file_digest(file, "sha256").digest()[:DIGEST_BYTES] != part.digest or file.tell() != part.size:
            return None
        if len(_mappings) >= MOST_MAPPINGS:
            file.seek(0)
            data = file.read()
            return data if matches(part, data) else None
        try:
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            # Where memory is never promised twice, a private mapping counts as if all of it were written to.
            mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _mappings.add(mapping)
        return memoryview(mapping)
