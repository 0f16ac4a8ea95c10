"""What results are read from: the seam between them and whatever store they lie in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from memento.task import Outcome, Status

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Stored(Protocol):
    """One outcome as the store knows it."""

    @property
    def key(self) -> bytes:
        """The key it is stored under."""
        ...

    @property
    def run(self) -> bytes:
        """The run that computed it."""
        ...

    @property
    def attempt(self) -> int:
        """Which attempt of that run it is."""
        ...

    @property
    def status(self) -> Status:
        """How it ended."""
        ...

    @property
    def head(self) -> bytes:
        """Its head, packed and verified."""
        ...

    @property
    def outcome(self) -> Outcome:
        """Its head, unpacked when it is read; the parts' bytes are loaded by the reader."""
        ...


class Reader(Protocol):
    """What results read from; nothing of it writes."""

    def load(self, entry: Any, part: str) -> Buffer:
        """Return the verified bytes of a part: "value", "metrics" or "log"."""
        ...

    def history(self, key: bytes) -> Sequence[Stored]:
        """Return all outcomes of a key, of every run and attempt."""
        ...

    def artifact_path(self, key: bytes, run: bytes, attempt: int) -> Path:
        """Return the folder that one attempt was given, which need not exist."""
        ...
