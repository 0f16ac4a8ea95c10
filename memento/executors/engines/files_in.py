"""Where outcomes come home: their files into the store, then the outcomes into a spool of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memento import checkpoints
from memento.errors import StoreUnwritable
from memento.executors.engines.batch import File
from memento.files import DISK_ERRORS, private_folder, write_atomically
from memento.heads import Frame, has_succeeded, key_in, unpack_head
from memento.layout import CHECKPOINTS, checkpoint_path
from memento.protocols import Delivered
from memento.spool import SpoolWriter
from memento.task import Task


class Landing:
    """The store's folder `root` and the file `spool`, which it makes; with `shared` workers write the files themselves.

    Raises:
        StoreUnwritable: from each method, the disk is full or failing.
    """

    def __init__(self, root: Path, spool: Path, *, shared: bool) -> None:
        self._root, self._shared = root, shared
        self._spool = SpoolWriter(spool)
        self._has_checkpoints = (root / CHECKPOINTS).exists()

    def checkpoints(self, tasks: Sequence[Task]) -> tuple[File, ...]:
        """Return the checkpoints that `tasks` go on from, for a worker that cannot see them."""
        if self._shared or not self._has_checkpoints:
            return ()
        paths = {task.key: checkpoint_path(self._root, task.key) for task in tasks}
        return tuple(
            (key, str(path.relative_to(self._root)), path.read_bytes()) for key, path in paths.items() if path.exists()
        )

    def take(self, frames: Sequence[Frame], files: Sequence[File]) -> Delivered:
        """Keep `frames`, after those of `files` that belong to them; afterwards no kill of any process loses them."""
        keys = {key_in(head) for head, _ in frames}
        try:
            for key, name, data in files:
                if key in keys:
                    self._write(name, data)
            for frame in frames:
                end = self._spool.append(unpack_head(*frame))
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            raise StoreUnwritable(
                f"{error.strerror} while keeping what workers sent in {self._root}; what was stored stays, make room "
                "and run again",
                path=str(self._root),
            ) from error
        if self._has_checkpoints and not self._shared:
            for head, _ in frames:
                if has_succeeded(head):
                    checkpoints.forget(self._root, key_in(head))
        return Delivered(frames=frames, spool=self._spool.path.name, end=end)

    def _write(self, name: str, data: bytes) -> None:
        path = self._root / name
        self._has_checkpoints = self._has_checkpoints or path.is_relative_to(self._root / CHECKPOINTS)
        private_folder(path.parent)
        write_atomically(path, [data])

    def close(self) -> None:
        """Give the spool up. Idempotent."""
        self._spool.close()
