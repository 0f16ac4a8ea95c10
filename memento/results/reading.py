"""What results are read from: the seam between them and whatever store they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from memento.entry import Entry

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Reader(Protocol):
    """What results read from; nothing of it writes."""

    def load(self, entry: Entry, part: str) -> Buffer:
        """Return the verified bytes of a part: "value", "metrics" or "log"."""
        ...

    def history(self, key: bytes) -> Sequence[Entry]:
        """Return all outcomes of a key, of every run and attempt."""
        ...

    def artifact_path(self, key: bytes, run: bytes, attempt: int) -> Path:
        """Return the folder that one attempt was given, which need not exist."""
        ...
