"""Outcomes to store, and second processes to store them or to be killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from memento import layout
from memento.files import private_folder, write_atomically
from memento.heads import Frame, frame_of
from memento.store import SqliteStore
from memento.task import EMPTY_PART, Failure, Outcome, Part, Status

RUN = b"run-0001"


def key_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()[:16]


def part_of(data: bytes, *, in_file: bool = False) -> Part:
    return Part(2, len(data), hashlib.sha256(data).digest()[:16], None if in_file else data) if data else EMPTY_PART


def outcome_of(
    key: bytes | int,
    value: bytes = b"the value",
    *,
    run: bytes = RUN,
    attempt: int = 1,
    status: Status = Status.SUCCEEDED,
    metrics: bytes = b"",
    log: bytes = b"",
    in_file: bool = False,
    position: int = 0,
) -> Outcome:
    return Outcome(
        key=key_of(key) if isinstance(key, int) else key,
        run=run,
        attempt=attempt,
        status=status,
        started=1_700_000_000.25,
        runtime=1.5,
        position=position,
        host="a-host",
        summary=b"17" if status.ok else b"",
        failure=None if status.ok else Failure(type="ValueError", message="no"),
        value=part_of(value if status.ok else b"", in_file=in_file),
        metrics=part_of(metrics),
        log=part_of(log),
    )


def frame(key: bytes | int, value: bytes = b"the value", **fields: object) -> Frame:
    return frame_of(outcome_of(key, value, **fields))  # type: ignore[arg-type]


def save_in_file(store: SqliteStore, key: int, value: bytes, **fields: object) -> Path:
    """Store an outcome whose value is a file, and return its path."""
    outcome = outcome_of(key, value, in_file=True, **fields)  # type: ignore[arg-type]
    path = layout.blob_path(store.root, outcome.key, outcome.run, outcome.attempt, "value")
    private_folder(path.parent)
    write_atomically(path, [value])
    store.save([frame_of(outcome)])
    return path


@contextlib.contextmanager
def process(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Enter with another interpreter that runs `code` and has said a line; it is killed when left."""
    root = Path(__file__).parents[2]
    running = subprocess.Popen(
        [sys.executable, "-c", f"from tests.store.helpers import *\nfrom memento.store import open_store\n{code}"]
        + [str(argument) for argument in arguments],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield running
    finally:
        kill(running)
        for stream in (running.stdin, running.stdout):
            if stream is not None:
                stream.close()


def kill(running: subprocess.Popen[str]) -> None:
    running.send_signal(signal.SIGKILL)
    running.wait()


def heard(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()
