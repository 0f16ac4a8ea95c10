"""A checkpoint's file: what an unfinished experiment goes on from, and whose experiment that is.

    magic │ codec │ lengths of summary, metrics and origin │ digest of all that follows
    summary │ metrics recorded so far │ origin │ run │ state

A checkpoint is found by its key, which scripts of one name in two places share. So it says which file its experiment
came from, and gives way to that of another: `<key>` is whoever computes the configuration now, `<key>.<hash of the
origin>` one that waits for its own script to come again, for as long as nobody collects it by its age. And it says
with which run the experiment began, whose record in the store tells the code, as it does for results: one that must
not be gone on from is `<key>.old`, until the experiment has succeeded or somebody collects it. Headers of the first
kind say nothing of either, those of the second not which run it was.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from memento import payload
from memento.errors import DamagedEntry
from memento.files import private_folder, write_atomically
from memento.hashing.origin import as_seen_from, is_another_file, seen_from
from memento.layout import CHECKPOINTS, checkpoint_path
from memento.task import RUN_BYTES

HEADER = struct.Struct("<8sBIQH16s")
MAGIC = b"MCHECK3\n"
_WITHOUT_RUN = b"MCHECK2\n"
_OLD_HEADER = struct.Struct("<8sBIQ16s")
_OLD_MAGIC = b"MCHECK1\n"
UNKNOWN = bytes(RUN_BYTES)
"""The run of a checkpoint that does not say with which it began."""
_OLD = "old"


class Checkpoint(NamedTuple):
    """What stands in a file."""

    codec: int
    summary: bytes
    metrics: memoryview
    origin: str
    run: bytes
    state: memoryview


class About(NamedTuple):
    """What a file tells without its state, which may be large; if it is damaged, whoever restores it is told.

    `origin` is the file that the experiment came from, as seen from the store ("" if unknown), `run` the run with which
    the experiment began, and `made` when this checkpoint was, in seconds since the epoch.
    """

    origin: str
    run: bytes
    made: float


def write(path: Path, state: payload.Encoded, metrics: bytes, origin: str = "", run: bytes = UNKNOWN) -> None:
    """Put a checkpoint on the disk; a kill in the middle leaves the one before."""
    private_folder(path.parent)
    where = origin.encode("utf-8", "surrogateescape")
    digest = payload.digest_of([state.summary, metrics, where, run, *state.chunks])
    header = HEADER.pack(MAGIC, state.codec, len(state.summary), len(metrics), len(where), digest)
    write_atomically(path, [header, state.summary, metrics, where, run, *state.chunks])


def read(path: Path) -> Checkpoint:
    """Return the checkpoint at `path`.

    Raises:
        FileNotFoundError: there is none.
        DamagedEntry: it does not match its checksum.
    """
    data = path.read_bytes()
    try:
        return _unpacked(data)
    except (ValueError, struct.error):
        raise DamagedEntry(
            f"the checkpoint {path} does not match its checksum; delete it to begin this experiment anew",
            path=str(path),
        ) from None


def _unpacked(data: bytes) -> Checkpoint:
    if data.startswith(_OLD_MAGIC):
        _, codec, summary, metrics, digest = _OLD_HEADER.unpack_from(data)
        begin, origin, run = _OLD_HEADER.size, 0, 0
    else:
        magic, codec, summary, metrics, origin, digest = HEADER.unpack_from(data)
        begin, run = HEADER.size, RUN_BYTES if magic == MAGIC else 0
        if magic not in (MAGIC, _WITHOUT_RUN):
            raise ValueError("not a checkpoint")
    body = memoryview(data)[begin:]
    if payload.digest_of([body]) != digest:
        raise ValueError("checksum")
    ends = list(accumulate((summary, metrics, origin, run)))
    where = bytes(body[ends[1] : ends[2]]).decode("utf-8", "surrogateescape")
    by = bytes(body[ends[2] : ends[3]]) or UNKNOWN
    return Checkpoint(codec, bytes(body[: ends[0]]), body[ends[0] : ends[1]], where, by, body[ends[3] :])


def about(path: Path) -> About:
    """Return what the checkpoint at `path` tells of where it comes from.

    Raises:
        FileNotFoundError: there is none.
    """
    with open(path, "rb") as file:
        made = os.fstat(file.fileno()).st_mtime
        header = file.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith((MAGIC, _WITHOUT_RUN)):
            return About("", UNKNOWN, made)
        magic, _, summary, metrics, origin, _ = HEADER.unpack(header)
        file.seek(HEADER.size + summary + metrics)
        where = file.read(origin).decode("utf-8", "surrogateescape")
        run = file.read(RUN_BYTES) if magic == MAGIC else UNKNOWN
        return About(where, run, made)


def forget(root: Path, key: bytes) -> None:
    """Remove the checkpoint of `key`, as is done when its experiment has succeeded."""
    path = checkpoint_path(root, key)
    path.unlink(missing_ok=True)
    _aside(path).unlink(missing_ok=True)


def give_way(root: Path, keys: Iterable[bytes], file: str, counts: Callable[[About], bool]) -> None:
    """Have the experiment of `file` find those of its own checkpoints of `keys` that count, and no others.

    Called by who has claimed the keys, so that nobody else works on them.
    """
    own = as_seen_from(root, file)
    for path in _that_may_have_one(root, keys):
        found = _own(root, path, own, file)
        if found != path and path.exists():
            path.rename(_waiting(path, about(path).origin))
        if found is not None and not counts(about(found)):
            found.rename(_aside(path))
        elif found is not None and found != path:
            found.rename(path)


def found_by(root: Path, keys: Iterable[bytes], file: str) -> Iterator[About]:
    """Yield what is known of each checkpoint of `keys` that the experiment of `file` would find; changes nothing."""
    own = as_seen_from(root, file)
    for path in _that_may_have_one(root, keys):
        with contextlib.suppress(FileNotFoundError):  # another run has succeeded, or put it aside
            found = _own(root, path, own, file)
            if found is not None:
                yield about(found)


def _that_may_have_one(root: Path, keys: Iterable[bytes]) -> Iterator[Path]:
    """Yield where the checkpoint of each of `keys` lies that has any, if only one put aside."""
    kept: dict[Path, set[str]] = {}  # the keys that there is a checkpoint of, each folder looked into once
    top = root / CHECKPOINTS
    folders = {name: top / name for name in os.listdir(top)} if top.is_dir() else {}
    for key in keys if folders else ():
        name = key.hex()
        if (folder := folders.get(name[:2])) is None:
            continue
        if folder not in kept:
            kept[folder] = {one.partition(".")[0] for one in os.listdir(folder)}
        if name in kept[folder]:
            yield checkpoint_path(root, key)


def _own(root: Path, path: Path, own: str, file: str) -> Path | None:
    """Return where the checkpoint lies, of those for `path`, that the experiment of `file` made."""
    if path.exists():
        origin = about(path).origin
        if origin in ("", own) or not is_another_file(seen_from(root, origin), file):
            return path
    waiting = _waiting(path, own)
    return waiting if waiting.exists() else None


def key_of_waiting(name: str) -> str:
    """Return the key, in hex, of the checkpoint called `name` that was put aside; "" of any other file."""
    key, _, waits_for = name.partition(".")
    return key if waits_for and not name.startswith(".") else ""


def is_old(name: str) -> bool:
    """Return whether the checkpoint called `name` was put aside for good, since its code or its time is over."""
    return name.endswith(f".{_OLD}")


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{_OLD}")


def _waiting(path: Path, origin: str) -> Path:
    return path.with_name(f"{path.name}.{sha256(origin.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}")
