"""The bytes between the orchestrator, the supervisor and the workers.

To a worker: `HEADER` (kind, length), then the body. From a worker the same. To and from the supervisor: one JSON object
a line.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import repeat
from typing import Any

from memento.task import KEY_BYTES, Task

HEADER = struct.Struct("<BI")
TASK = struct.Struct(f"<QHd{KEY_BYTES}s")
OFFSET = struct.Struct("<Q")
PROGRESS = struct.Struct(f"<{KEY_BYTES}sdd")


class Kind(IntEnum):
    """What a message is about."""

    TASKS = 1
    """To a worker: run these, in order."""
    WITHDRAW = 2
    """To a worker: give back what is not begun."""
    READY = 3
    """From a worker: the experiment is loaded."""
    BROKEN = 4
    """From a worker: the experiment cannot be loaded; the body is the traceback."""
    DELIVERED = 5
    """From a worker: its spool holds outcomes up to this offset."""
    PROGRESS = 6
    """From a worker: the running experiment has come so far."""
    WITHDRAWN = 7
    """From a worker: these tasks were not begun and will not be."""
    UNWRITABLE = 8
    """From a worker: the disk refuses; the body says how."""


def message(kind: Kind, body: bytes = b"") -> bytes:
    """Return a whole message."""
    return HEADER.pack(kind, len(body)) + body


def pack_tasks(tasks: Sequence[Task]) -> bytes:
    """Return what a worker needs to know of `tasks`."""
    pack = TASK.pack
    return b"".join([pack(index, attempt, timeout or 0.0, key) for index, key, attempt, timeout, _, _ in tasks])


def unpack_tasks(body: bytes) -> list[Task]:
    """Return the tasks packed as `body`."""
    fields = (
        (index, key, attempt, timeout or None, 1, None) for index, attempt, timeout, key in TASK.iter_unpack(body)
    )
    return list(map(tuple.__new__, repeat(Task), fields))  # as C functions do it, in half the time


class Inbox:
    """Cuts what arrives on a stream into messages."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Kind, bytes]]:
        """Add `data` and yield the messages that are now whole."""
        self._data += data
        while len(self._data) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._data)
            end = HEADER.size + length
            if len(self._data) < end:
                return
            body = bytes(self._data[HEADER.size : end])
            del self._data[:end]
            yield Kind(kind), body


class Lines:
    """Cuts what arrives on a stream into JSON objects, one a line."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Add `data` and return the objects that are now whole."""
        *lines, self._data = (self._data + data).split(b"\n")
        return [json.loads(line) for line in lines]


def send_line(channel: socket.socket, descriptors: Sequence[int] = (), **fields: Any) -> None:
    """Send one JSON object, with open file `descriptors` beside it."""
    line = json.dumps(fields).encode() + b"\n"
    if descriptors:
        sent = socket.send_fds(channel, [line], list(descriptors))
        line = line[sent:]
    channel.sendall(line)
