"""Keeps the parts of an outcome: small ones go with its head, large ones into files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from memento import payload
from memento.errors import StoreUnwritable
from memento.files import DISK_ERRORS, private_folder, write_atomically
from memento.layout import blob_path
from memento.task import EMPTY_PART, Part

if TYPE_CHECKING:
    from typing_extensions import Buffer

RAW = 1
"""The codec of bytes that are no value: a log, metrics. It is the stored form: never change it."""
# Of a value that is in the head, as most are, or that there is none of.
EMPTY_PARTS = {codec: EMPTY_PART._replace(codec=codec) for codec in (payload.NOTHING, payload.JSON)}
# Up to here a part lies in the ledger, beyond it in a file: SQLite is quicker than files up to about this size.
LARGEST_INLINE = 64 * 1024


class PartWriter:
    """Keeps the parts of one attempt in the store's folder `root`.

    A large part is then complete in its file, and on the disk if `synced`.
    """

    __slots__ = ("_attempt", "_key", "_root", "_run", "_synced")

    def __init__(self, root: Path, key: bytes, run: bytes, attempt: int, *, synced: bool = True) -> None:
        self._root = root
        self._key = key
        self._run = run
        self._attempt = attempt
        self._synced = synced

    def keep(self, name: str, chunks: Sequence[Buffer]) -> Part:
        """Return the part `name`, made of the bytes of `chunks`.

        Raises:
            StoreUnwritable: the disk is full or failing.
        """
        size = sum(memoryview(chunk).nbytes for chunk in chunks)
        return self._kept(name, RAW, chunks, size, payload.digest_of(chunks)) if size else EMPTY_PART

    def keep_value(self, encoded: payload.Encoded) -> Part:
        """Return the value.

        Raises:
            StoreUnwritable: the disk is full or failing.
        """
        return self._kept("value", encoded.codec, encoded.chunks, encoded.size, encoded.digest)

    def _kept(self, name: str, codec: int, chunks: Sequence[Buffer], size: int, digest: bytes) -> Part:
        if size <= LARGEST_INLINE:
            return Part(codec, size, digest, b"".join(chunks))
        path = blob_path(self._root, self._key, self._run, self._attempt, name)
        try:
            # The store makes the names last, for many files at once, before it tells of any outcome.
            if not path.parent.is_dir():
                private_folder(path.parent)
            write_atomically(path, chunks, synced=self._synced, lasting=False)
        except OSError as error:
            if error.errno in DISK_ERRORS:  # the run's business, not the experiment's
                raise StoreUnwritable(
                    f"{error.strerror} while writing {path}; what was stored stays, make room and run again",
                    path=str(path),
                ) from error
            raise
        return Part(codec, size, digest, None)
