"""What crosses the process boundary: a Task goes out, an Outcome comes back as bytes.

An Outcome is written once, by the worker, as a *head* (small: status, times, failure, plain result) and *parts* (value,
metrics, log, records). Heads are what lists and tables read; parts are read when somebody asks for them. Both are
verified before anything in them is used: a head ends with a checksum of its own, and has the digests of the parts.

Layout of a packed head, little-endian: `HEAD`; the summary (JSON), the failure (JSON) and the host (UTF-8), whose
lengths are in `HEAD`; a `PART` for each part that is not empty; `CHECKSUM`, the CRC-32 of everything before it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

KEY_BYTES = 16
RUN_BYTES = 8


class Status(Enum):
    """How an experiment ended."""

    SUCCEEDED = "succeeded"
    """It returned, and what it returned is stored."""
    FAILED = "failed"
    """It raised, or its result could not be stored."""
    TIMED_OUT = "timed out"
    """It ran longer than `timeout` and was ended."""
    KILLED = "killed"
    """Its worker died: a signal, a crash, `os._exit`, out of memory."""
    CANCELLED = "cancelled"
    """It was stopped by the user, or never started because the run stopped early."""

    @property
    def ok(self) -> bool:
        """Whether there is a result to use."""
        return self is Status.SUCCEEDED


# The numbers are the stored form: never renumber, only add.
STATUS_CODES: dict[Status, int] = {
    Status.SUCCEEDED: 1,
    Status.FAILED: 2,
    Status.TIMED_OUT: 3,
    Status.KILLED: 4,
    Status.CANCELLED: 5,
}
SUCCEEDED = STATUS_CODES[Status.SUCCEEDED]
_SUCCESS = Status.SUCCEEDED
STATUS_FROM_CODE: dict[int, Status] = {code: status for status, code in STATUS_CODES.items()}


def type_name(kind: type) -> str:
    """Return the name by which failures and retries know an exception's class."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class Failure(NamedTuple):
    """Why an experiment failed, as data.

    `type` is the qualified name of the exception ("ValueError", "mylib.errors.Bad") or of the cause ("Killed",
    "TimedOut"); `lineage` the names of its bases, most derived first, for retries by cause; `cause` a short word for
    programs: "error", "killed", "timeout", "exit", "memory", "unpicklable", "node", "cancelled", or "requeued", of an
    attempt that goes on in the next batch job. `had` is how much the attempt had of what it had too little of, for each
    configuration: bytes with the cause "memory", seconds with "timeout"; None where that is not known.
    """

    type: str
    message: str
    traceback: str = ""
    cause: str = "error"
    lineage: tuple[str, ...] = ()
    signal: int | None = None
    exit_code: int | None = None
    had: float | None = None

    def to_json(self) -> bytes:
        """Return the stored form."""
        fields = self._asdict()
        return json.dumps({name: value for name, value in fields.items() if value not in (None, "", ())}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Failure:
        """Return the failure stored as `data`."""
        fields = json.loads(data)
        fields["lineage"] = tuple(fields.get("lineage", ()))
        fields.setdefault("message", "")
        return cls(**fields)


class Part(NamedTuple):
    """One part of an outcome: its encoding, length and digest, and its bytes unless they are in a file."""

    codec: int
    size: int
    digest: bytes  # SHA-256, first 16 bytes
    data: bytes | None  # None: in the blob file of this outcome and part


EMPTY_PART = Part(0, 0, b"", b"")
PART_NAMES = ("value", "metrics", "log")

HEAD = struct.Struct(f"<B{KEY_BYTES}s{RUN_BYTES}sHBBBQdddQQIBII")
"""Version, key, run, attempt, status, the value's codec, which parts there are (a bit each), position, started,
runtime, CPU time, the two peaks, process, and the lengths of host, summary and failure."""
PART = struct.Struct("<BBQ16s")
CHECKSUM = struct.Struct("<I")
HEAD_VERSION = 2
# Where things stand in a packed head, for those who need one of them from each of 100,000.
KEY_IN_HEAD = slice(1, 1 + KEY_BYTES)
RUN_IN_HEAD = slice(1 + KEY_BYTES, 1 + KEY_BYTES + RUN_BYTES)
IDENTITY_IN_HEAD = slice(1, 1 + KEY_BYTES + RUN_BYTES + 2)
"""Key, run and attempt together: no two outcomes share them."""
ATTEMPT = struct.Struct("<H")
ATTEMPT_IN_HEAD = 1 + KEY_BYTES + RUN_BYTES
STATUS_IN_HEAD = ATTEMPT_IN_HEAD + ATTEMPT.size
CODEC_IN_HEAD = STATUS_IN_HEAD + 1
_LENGTHS = struct.Struct("<BII")
_LENGTHS_IN_HEAD = HEAD.size - _LENGTHS.size
_SUMMARY_IN_HEAD = HEAD.size
_unpack_lengths = _LENGTHS.unpack_from
WHOLE = 0x2144DF1C
"""The CRC-32 of anything that is followed by its own CRC-32."""
_IN_FILE, _INLINE = 1, 0
_LONGEST_HOST = 255


@lru_cache(8)
def _host(name: str) -> bytes:
    return name.encode()[:_LONGEST_HOST]


class Outcome(NamedTuple):
    """What one attempt at one configuration gave.

    `position` is where the configuration is in the matrix of its run, `started` is seconds since the epoch (UTC),
    `runtime` and `cpu_time` are seconds, the two peaks are bytes (0: not measured). `summary` is the JSON of a result
    that is plain (a number, a string, None, a truth value, or a dict of such), else empty.
    """

    key: bytes
    run: bytes
    attempt: int
    status: Status
    started: float
    runtime: float
    position: int = 0
    cpu_time: float = 0.0
    hardware_peak: int = 0
    virtual_peak: int = 0
    pid: int = 0
    host: str = ""
    summary: bytes = b""
    failure: Failure | None = None
    value: Part = EMPTY_PART
    metrics: Part = EMPTY_PART
    log: Part = EMPTY_PART

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts, in the order of `PART_NAMES`."""
        return self.value, self.metrics, self.log

    def pack_head(self) -> bytes:
        """Return the head as bytes; the parts' bytes are not in it, their digests are."""
        # All fields at once: asking for them by name, one after another, takes longer than packing them.
        (
            key, run, attempt, status, started, runtime, position, cpu_time, hardware_peak, virtual_peak, pid, host,
            summary, failed, value, metrics, log,
        ) = self  # fmt: skip
        failure = b"" if failed is None else failed.to_json()
        hosted = _host(host)
        present = 0
        described = b""
        if value.size or metrics.size or log.size:
            for bit, part in enumerate((value, metrics, log)):
                if part.size:
                    present |= 1 << bit
                    place = _IN_FILE if part.data is None else _INLINE
                    described += PART.pack(part.codec, place, part.size, part.digest)
        fixed = HEAD.pack(
            HEAD_VERSION,
            key,
            run,
            attempt,
            SUCCEEDED if status is _SUCCESS else STATUS_CODES[status],  # an enum's hash is slow
            value.codec,
            present,
            position,
            started,
            runtime,
            cpu_time,
            hardware_peak,
            virtual_peak,
            pid,
            len(hosted),
            len(summary),
            len(failure),
        )
        head = fixed + summary + failure + hosted + described
        return head + CHECKSUM.pack(zlib.crc32(head))

    @classmethod
    def unpack_head(cls, head: bytes, bodies: Sequence[bytes | None] = ()) -> Outcome:
        """Return the outcome packed as `head`; without `bodies` its inline parts have empty data.

        Raises:
            ValueError: `head` was not made by `pack_head`, or is damaged.
        """
        if not is_whole(head):
            raise ValueError("not an outcome's head: its checksum does not match")
        if head[0] != HEAD_VERSION:
            raise ValueError(f"unknown version {head[0]} of an outcome's head")
        _, key, run, attempt, status, codec, present, position, *numbers, pid, hosted, summed, failed = (
            HEAD.unpack_from(head)
        )
        started, runtime, cpu_time, hardware_peak, virtual_peak = numbers
        summary_end = HEAD.size + summed
        failure_end = summary_end + failed
        host_end = failure_end + hosted
        failure = head[summary_end:failure_end]
        return cls(
            key=key,
            run=run,
            attempt=attempt,
            status=STATUS_FROM_CODE[status],
            position=position,
            started=started,
            runtime=runtime,
            cpu_time=cpu_time,
            hardware_peak=hardware_peak,
            virtual_peak=virtual_peak,
            pid=pid,
            host=head[failure_end:host_end].decode(errors="replace"),
            summary=head[HEAD.size : summary_end],
            failure=Failure.from_json(failure) if failure else None,
            **_parts(codec, present, head[host_end : -CHECKSUM.size], bodies),
        )


def _parts(codec: int, present: int, described: bytes, bodies: Sequence[bytes | None]) -> dict[str, Part]:
    parts = {"value": EMPTY_PART._replace(codec=codec)}
    left = PART.iter_unpack(described)
    for bit, name in enumerate(PART_NAMES):
        if present & 1 << bit:
            kind, place, size, digest = next(left)
            data = None if place == _IN_FILE else bodies[bit] if bodies else b""
            parts[name] = Part(kind, size, digest, data)
    return parts


def is_whole(head: bytes) -> bool:
    """Return whether `head` is a packed head as it was written."""
    return len(head) > HEAD.size and zlib.crc32(head) == WHOLE


def value_in(head: bytes) -> tuple[int, bytes]:
    """Return the value's codec and the summary out of a whole `head`, without unpacking the rest of it."""
    _, summed, _ = _unpack_lengths(head, _LENGTHS_IN_HEAD)
    return head[CODEC_IN_HEAD], head[_SUMMARY_IN_HEAD : _SUMMARY_IN_HEAD + summed]


class Task(NamedTuple):
    """One attempt at one configuration, on its way to a worker.

    `index` is the position in the job's configurations, `gpus` how many devices (or which share of one) it is to be
    leased (0: none is visible, None: whatever the worker sees), `cpus` how many processors it occupies, `timeout`
    seconds it may run (None: for ever).
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, for which a task has no use
    key: bytes
    attempt: int = 1
    timeout: float | None = None
    cpus: int = 1
    gpus: float | None = None
