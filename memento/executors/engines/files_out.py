"""What comes home with an outcome from a worker that does not share the store: the files that belong to it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from memento.executors.engines.batch import File
from memento.heads import Frame, attempt_in, frame_of, has_succeeded, key_in, run_in, unpack_head
from memento.layout import artifact_path, blob_path, checkpoint_path
from memento.part_writer import PartWriter
from memento.task import PART_NAMES


def bring_along(root: Path, frame: Frame) -> tuple[Frame, list[File]]:
    """Return the outcome in `frame` and the files in the store's folder `root` that belong to it, and remove those.

    What the experiment has left in its folder and cannot be brought is named in the log of the outcome.

    Raises:
        StoreUnwritable: the log could not be written.
    """
    key, run, attempt = key_in(frame[0]), run_in(frame[0]), attempt_in(frame[0])
    folder = artifact_path(root, key, run, attempt)
    brought, left = _read(folder)
    if left:
        frame = _with_notes(root, frame, left)
    places = zip(PART_NAMES, frame[1], strict=True)
    own = [blob_path(root, key, run, attempt, name) for name, body in places if body is None]
    checkpoint = checkpoint_path(root, key)
    if not has_succeeded(frame[0]) and checkpoint.exists():
        own.append(checkpoint)
    brought = {path: path.read_bytes() for path in own} | brought
    # Only now: one may be a link to another.
    for path in brought:
        with contextlib.suppress(OSError):
            path.unlink()
    return frame, [(key, str(path.relative_to(root)), data) for path, data in brought.items()]


def _read(folder: Path) -> tuple[dict[Path, bytes], list[str]]:
    """Return the files in `folder`, and what is to be said of those that cannot be brought."""
    brought: dict[Path, bytes] = {}
    left: list[str] = []
    if not folder.is_dir():
        return brought, left
    home = os.path.realpath(folder)
    for path in sorted(folder.rglob("*")):
        why = ""
        try:
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
                why = "it is a link that leads out of its folder"  # to data that all experiments share, perhaps
            elif path.is_file():
                brought[path] = path.read_bytes()
        except FileNotFoundError:
            continue  # a process that the experiment has left running has removed it
        except (OSError, MemoryError) as error:
            why = f"{type(error).__name__}: {error}".rstrip(": ")
        if why:
            left.append(f"memento: {path.relative_to(folder)} was left on {socket.gethostname()}: {why}\n")
    return brought, left


def _with_notes(root: Path, frame: Frame, notes: Sequence[str]) -> Frame:
    """Return the outcome in `frame` with `notes` at the end of its log."""
    outcome = unpack_head(*frame)
    attempt = root, outcome.key, outcome.run, outcome.attempt
    log = blob_path(*attempt, "log").read_bytes() if outcome.log.data is None else bytes(outcome.log.data)
    apart = "\n" if log and not log.endswith(b"\n") else ""
    kept = PartWriter(*attempt).keep("log", [log, (apart + "".join(notes)).encode()])
    return frame_of(outcome._replace(log=kept))
