"""One outcome as the store knows it: the number of its row in the ledger, and its packed head, which was verified.

Where there may be a million, they are kept as plain tuples: an `Entry` can be asked, but costs more to make, and
Python's search for garbage looks through it again and again, while it soon leaves tuples of plain values alone.
"""

from __future__ import annotations

from typing import NamedTuple

from memento.heads import attempt_in, has_succeeded, key_in, run_in, status_in, unpack_head
from memento.task import Outcome, Status

Row = tuple[int, bytes]
"""The number and the head; every `Entry` is one."""


class Entry(NamedTuple):
    """A row that can be asked; the head is unpacked when it is read."""

    id: int
    head: bytes

    @property
    def key(self) -> bytes:
        """The key it is stored under."""
        return key_in(self.head)

    @property
    def run(self) -> bytes:
        """The run that computed it."""
        return run_in(self.head)

    @property
    def attempt(self) -> int:
        """Which attempt of that run it is."""
        return attempt_in(self.head)

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return has_succeeded(self.head)

    @property
    def status(self) -> Status:
        """How it ended."""
        return status_in(self.head)

    @property
    def outcome(self) -> Outcome:
        """The outcome, without the bytes of its parts."""
        return unpack_head(self.head)
