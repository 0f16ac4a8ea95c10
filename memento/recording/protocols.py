"""The seam between keepers and what writes their records."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from memento.recording.buffer import Buffer
    from memento.recording.chunks import Chunk
    from memento.recording.keeper import RecordKeeper


class Journal(Protocol):
    """Where the records of a whole tree of keepers go, beyond this process's memory."""

    @property
    def lock(self) -> threading.RLock:
        """Held while values are taken out of a buffer."""
        ...

    def attach(self, keeper: RecordKeeper) -> None:
        """Take `keeper` in, with what it has recorded so far."""
        ...

    def note(self, keeper: RecordKeeper) -> None:
        """Take note that the data or the parent of `keeper` has changed."""
        ...

    def attend(self, buffer: Buffer) -> None:
        """Take note that values are waiting in `buffer`, or take them when there are many."""
        ...

    def chunks_of(self, keepers: list[RecordKeeper]) -> list[Chunk]:
        """Return all that these keepers have recorded."""
        ...
