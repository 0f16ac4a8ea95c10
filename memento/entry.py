"""One outcome as the store knows it: the number of its row in the ledger, and its packed head, which was verified.

Where there may be a million, they are kept as plain tuples: an `Entry` can be asked, but costs more to make, and
Python's search for garbage looks through it again and again, while it soon leaves tuples of plain values alone.
"""

from __future__ import annotations

from typing import NamedTuple

from memento.task import (
    ATTEMPT,
    ATTEMPT_IN_HEAD,
    KEY_IN_HEAD,
    RUN_IN_HEAD,
    STATUS_FROM_CODE,
    STATUS_IN_HEAD,
    Outcome,
    Status,
)

Row = tuple[int, bytes]
"""The number and the head; every `Entry` is one."""


class Entry(NamedTuple):
    """A row that can be asked; the head is unpacked when it is read."""

    id: int
    head: bytes

    @property
    def key(self) -> bytes:
        """The key it is stored under."""
        return self.head[KEY_IN_HEAD]

    @property
    def run(self) -> bytes:
        """The run that computed it."""
        return self.head[RUN_IN_HEAD]

    @property
    def attempt(self) -> int:
        """Which attempt of that run it is."""
        (attempt,) = ATTEMPT.unpack_from(self.head, ATTEMPT_IN_HEAD)
        return int(attempt)

    @property
    def code(self) -> int:
        """The number of its status."""
        return self.head[STATUS_IN_HEAD]

    @property
    def status(self) -> Status:
        """How it ended."""
        return STATUS_FROM_CODE[self.head[STATUS_IN_HEAD]]

    @property
    def outcome(self) -> Outcome:
        """The outcome, without the bytes of its parts."""
        return Outcome.unpack_head(self.head)
