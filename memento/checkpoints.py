"""A checkpoint's file: what an unfinished experiment goes on from, and which script's experiment that is.

    magic │ codec │ lengths of summary, metrics and origin │ digest of all that follows
    summary │ metrics recorded so far │ origin │ state

A checkpoint is found by its key, which scripts of one name in two places share. So it says which file its experiment
came from, and gives way to that of another: `<key>` is whoever computes the configuration now, `<key>.<hash of the
origin>` one that waits for its own script to come again, for as long as nobody collects it by its age. Files of the
first kind of header say nothing of that.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from memento import payload
from memento.errors import DamagedEntry
from memento.files import private_folder, write_atomically
from memento.hashing.origin import as_seen_from, is_another_file, seen_from
from memento.layout import CHECKPOINTS, checkpoint_path

HEADER = struct.Struct("<8sBIQH16s")
MAGIC = b"MCHECK2\n"
_OLD_HEADER = struct.Struct("<8sBIQ16s")
_OLD_MAGIC = b"MCHECK1\n"


class Checkpoint(NamedTuple):
    """What stands in a file."""

    codec: int
    summary: bytes
    metrics: memoryview
    origin: str
    state: memoryview


def write(path: Path, state: payload.Encoded, metrics: bytes, origin: str = "") -> None:
    """Put a checkpoint on the disk; a kill in the middle leaves the one before."""
    private_folder(path.parent)
    where = origin.encode("utf-8", "surrogateescape")
    digest = payload.digest_of([state.summary, metrics, where, *state.chunks])
    header = HEADER.pack(MAGIC, state.codec, len(state.summary), len(metrics), len(where), digest)
    write_atomically(path, [header, state.summary, metrics, where, *state.chunks])


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
        begin, origin = _OLD_HEADER.size, 0
    else:
        magic, codec, summary, metrics, origin, digest = HEADER.unpack_from(data)
        begin = HEADER.size
        if magic != MAGIC:
            raise ValueError("not a checkpoint")
    body = memoryview(data)[begin:]
    if payload.digest_of([body]) != digest:
        raise ValueError("checksum")
    ends = summary, summary + metrics, summary + metrics + origin
    where = bytes(body[ends[1] : ends[2]]).decode("utf-8", "surrogateescape")
    return Checkpoint(codec, bytes(body[: ends[0]]), body[ends[0] : ends[1]], where, body[ends[2] :])


def forget(root: Path, key: bytes) -> None:
    """Remove the checkpoint of `key`, as is done when its experiment has succeeded."""
    checkpoint_path(root, key).unlink(missing_ok=True)


def give_way(root: Path, keys: Iterable[bytes], file: str) -> None:
    """Have the experiment of `file` find its own checkpoints of `keys`, or none, and never those of another file.

    Called by who has claimed the keys, so that nobody else works on them.
    """
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
            _give_way(root, checkpoint_path(root, key), as_seen_from(root, file), file)


def _give_way(root: Path, path: Path, own: str, file: str) -> None:
    if path.exists():
        origin = origin_of(path)
        if origin in ("", own) or not is_another_file(seen_from(root, origin), file):
            return
        path.rename(_waiting(path, origin))
    waiting = _waiting(path, own)
    if waiting.exists():
        waiting.rename(path)


def origin_of(path: Path) -> str:
    """Return which file the experiment of the checkpoint at `path` came from, as seen from the store; "" if unknown."""
    # Without the state, which may be large; if it is damaged, whoever restores it is told.
    with open(path, "rb") as file:
        header = file.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            return ""
        _, _, summary, metrics, origin, _ = HEADER.unpack(header)
        file.seek(HEADER.size + summary + metrics)
        return file.read(origin).decode("utf-8", "surrogateescape")


def key_of_waiting(name: str) -> str:
    """Return the key, in hex, of the checkpoint called `name` that waits for its script; "" of any other file."""
    key, _, waits_for = name.partition(".")
    return key if waits_for and not name.startswith(".") else ""


def _waiting(path: Path, origin: str) -> Path:
    return path.with_name(f"{path.name}.{sha256(origin.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}")
