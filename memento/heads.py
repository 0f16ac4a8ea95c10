"""The packed head of an outcome: made of one, read back, and asked without being unpacked.

Heads are what spools and stores hold, a hundred thousand at a time; what most ask of each is its key, or whether it is
a success.

Layout of a packed head, little-endian: `HEAD`; the summary (JSON), the failure (JSON) and the host (UTF-8), whose
lengths are in `HEAD`; a `PART` for each part that is not empty; `CHECKSUM`, the CRC-32 of everything before it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from memento.task import (
    EMPTY_PART,
    KEY_BYTES,
    PART_NAMES,
    RUN_BYTES,
    STATUS_CODES,
    STATUS_FROM_CODE,
    Failure,
    Outcome,
    Part,
    Status,
)

Frame = tuple[bytes, tuple[bytes | None, ...]]
"""The packed head of an outcome and the bodies of its parts (None: in a blob file)."""
NO_BODIES = (b"",) * len(PART_NAMES)

HEAD = struct.Struct(f"<B{KEY_BYTES}s{RUN_BYTES}sHBBBQdddQQIBII")
"""Version, key, run, attempt, status, the value's codec, which parts there are (a bit each), position, started,
runtime, CPU time, the two peaks, process, and the lengths of host, summary and failure."""
PART = struct.Struct("<BBQ16s")
CHECKSUM = struct.Struct("<I")
HEAD_VERSION = 2
_ATTEMPT = struct.Struct("<H")
_LENGTHS = struct.Struct("<BII")
KEY_IN_HEAD = slice(1, 1 + KEY_BYTES)
_RUN = slice(KEY_IN_HEAD.stop, KEY_IN_HEAD.stop + RUN_BYTES)
_ATTEMPT_AT = _RUN.stop
STATUS_IN_HEAD = _ATTEMPT_AT + _ATTEMPT.size
_CODEC_AT = STATUS_IN_HEAD + 1
_LENGTHS_AT = HEAD.size - _LENGTHS.size
_SUMMARY_AT = HEAD.size
_unpack_lengths = _LENGTHS.unpack_from
MOST_ATTEMPTS = (1 << 8 * _ATTEMPT.size) - 1
WHOLE = 0x2144DF1C
"""The CRC-32 of anything that is followed by its own CRC-32."""
REQUEUED = "requeued"
"""The cause of an attempt that ended with its batch job and goes on in the next: kept, not final."""
_IN_FILE, _INLINE = 1, 0
_LONGEST_HOST = 255
_SUCCESS = Status.SUCCEEDED
SUCCEEDED = STATUS_CODES[_SUCCESS]


@lru_cache(8)
def _host(name: str) -> bytes:
    return name.encode()[:_LONGEST_HOST]


def pack_head(outcome: Outcome) -> bytes:
    """Return the head of `outcome` as bytes; the parts' bytes are not in it, their digests are."""
    # All fields at once: asking for them by name, one after another, takes longer than packing them.
    (
        key, run, attempt, status, started, runtime, position, cpu_time, hardware_peak, virtual_peak, pid, host,
        summary, failed, value, metrics, log,
    ) = outcome  # fmt: skip
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


def unpack_head(head: bytes, bodies: Sequence[bytes | None] = ()) -> Outcome:
    """Return the outcome packed as `head`; without `bodies` its inline parts have empty data.

    Raises:
        ValueError: `head` was not made by `pack_head`, or is damaged.
    """
    if not is_whole(head):
        raise ValueError("not an outcome's head: its checksum does not match")
    if head[0] != HEAD_VERSION:
        raise ValueError(f"unknown version {head[0]} of an outcome's head")
    _, key, run, attempt, status, codec, present, position, *numbers, pid, hosted, summed, failed = HEAD.unpack_from(
        head
    )
    started, runtime, cpu_time, hardware_peak, virtual_peak = numbers
    summary_end = HEAD.size + summed
    failure_end = summary_end + failed
    host_end = failure_end + hosted
    failure = head[summary_end:failure_end]
    return Outcome(
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


# One C function each, for those who ask a hundred thousand heads.
key_in: Callable[[bytes], bytes] = itemgetter(KEY_IN_HEAD)
"""Return the key out of a head."""
run_in: Callable[[bytes], bytes] = itemgetter(_RUN)
"""Return the run out of a head."""
identity_in: Callable[[bytes], bytes] = itemgetter(slice(KEY_IN_HEAD.start, STATUS_IN_HEAD))
"""Return key, run and attempt together out of a head: no two outcomes share them."""
_status_code_in: Callable[[bytes], int] = itemgetter(STATUS_IN_HEAD)


def attempt_in(head: bytes) -> int:
    """Return which attempt of its run it is that was packed as `head`."""
    (attempt,) = _ATTEMPT.unpack_from(head, _ATTEMPT_AT)
    return int(attempt)


def status_in(head: bytes) -> Status:
    """Return how the outcome packed as `head` ended."""
    return STATUS_FROM_CODE[head[STATUS_IN_HEAD]]


def value_in(head: bytes) -> tuple[int, bytes]:
    """Return the value's codec and the summary out of a whole `head`, without unpacking the rest of it."""
    _, summed, _ = _unpack_lengths(head, _LENGTHS_AT)
    return head[_CODEC_AT], head[_SUMMARY_AT : _SUMMARY_AT + summed]


def has_succeeded(head: bytes) -> bool:
    """Return whether the outcome packed as `head` is a success."""
    return head[STATUS_IN_HEAD] == SUCCEEDED


def all_succeeded(heads: Iterable[bytes]) -> bool:
    """Return whether all outcomes packed as `heads` are successes."""
    return set(map(_status_code_in, heads)) <= {SUCCEEDED}


def is_final(head: bytes) -> bool:
    """Return whether nothing more comes, by itself, after the outcome packed as `head`."""
    if has_succeeded(head):
        return True
    failure = unpack_head(head).failure
    return failure is None or failure.cause != REQUEUED


def by_success(frames: Sequence[Frame]) -> Iterator[tuple[bool, Sequence[Frame]]]:
    """Yield `frames` in their order, those that follow each other and are all successes, or all not, together."""
    if all_succeeded(head for head, _ in frames):  # as nearly always
        yield True, frames
        return
    for succeeded, some in groupby(frames, lambda frame: has_succeeded(frame[0])):
        yield succeeded, list(some)


def frame_of(outcome: Outcome) -> Frame:
    """Return `outcome` as a frame."""
    bodies = outcome.value.data, outcome.metrics.data, outcome.log.data
    return pack_head(outcome), NO_BODIES if bodies == NO_BODIES else bodies
