"""What crosses the process boundary: a Task goes out, an Outcome comes back as bytes.

An Outcome is written once, by the worker, as a *head* (small: status, times, failure, plain result) and *parts* (value,
metrics, log, records). Heads are what lists and tables read; parts are read when somebody asks for them. Both are
verified before anything in them is used: a head ends with a checksum of its own, and has the digests of the parts. How
heads are packed stands in heads.py.
"""

from __future__ import annotations

import json
from enum import Enum
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
    """It was stopped by the user, never started because the run stopped early, or left in the queue of a cluster."""

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
STATUS_FROM_CODE: dict[int, Status] = {code: status for status, code in STATUS_CODES.items()}


def type_name(kind: type) -> str:
    """Return the name by which failures and retries know an exception's class."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class Failure(NamedTuple):
    """Why an experiment failed, as data.

    `type` is the qualified name of the exception ("ValueError", "mylib.errors.Bad") or of the cause ("Killed",
    "TimedOut"); `lineage` the names of its bases, most derived first, for retries by cause; `cause` a short word for
    programs: "error", "killed", "timeout", "exit", "memory", "unpicklable", "node", "cancelled", or "requeued", of an
    attempt that goes on in the next batch job. `limit` is how much the attempt could use of what was too
    little, for each configuration: bytes with the cause "memory", seconds with "timeout"; None where that is not known.
    """

    type: str
    message: str
    traceback: str = ""
    cause: str = "error"
    lineage: tuple[str, ...] = ()
    signal: int | None = None
    exit_code: int | None = None
    limit: float | None = None

    @property
    def title(self) -> str:
        """Its type and its message, as they are told together."""
        return f"{self.type}: {self.message}"

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
