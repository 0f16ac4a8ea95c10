"""One process's turn at a part of a batch: what its predecessors did, what it begins and delivers, and its end.

A part may be run by several processes, one after the other: requeued at the end of its time, after its node died, after
a preemption. Two may even live at once, when only the daemon of a node died. Each takes the next number by making a
file that must not exist; the highest number has the right to deliver, and the others find out and stop.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from memento.executors.slurm.batch import name_of, void_of
from memento.files import write_all
from memento.heads import Frame, is_final, key_in, unpack_head
from memento.layout import checkpoint_path
from memento.spool import FILE_MAGIC, pack_frame, read_all_frames


class Incarnation:
    """The next process of a part; `number` is 1 for the first."""

    def __init__(self, folder: Path, batch: int, part: int) -> None:
        self._folder, self._batch, self._part = folder, batch, part
        self.number = 1
        while True:
            try:
                self._log = self._make("log")
                break
            except FileExistsError:
                self.number += 1
        self._spool = self._make("spool")
        write_all(self._spool, [FILE_MAGIC])

    def _make(self, kind: str) -> int:
        return os.open(
            self._path(self.number, kind), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )

    def _path(self, number: int, kind: str) -> Path:
        return self._folder / name_of(self._batch, self._part, number, kind)

    def note(self, *lines: dict[str, Any]) -> None:
        """Append `lines` to the log, in one write."""
        if lines:
            write_all(self._log, ["".join(json.dumps({"at": time.time(), **line}) + "\n" for line in lines).encode()])

    def deliver(self, frames: Iterable[Frame]) -> None:
        """Append outcomes to the spool, in one write, and have them on the server's disk."""
        data = b"".join(map(pack_frame, frames))
        if data:
            write_all(self._spool, [data])
            os.fsync(self._spool)

    def is_replaced(self) -> bool:
        """Whether it has lost the right to deliver: there is a next one, the part was given up, or the run is over."""
        return (
            self._path(self.number + 1, "log").exists()
            or void_of(self._folder, self._batch, self._part).exists()
            or not self._path(self.number, "log").exists()
        )

    def earlier(self) -> History:
        """Return what its predecessors did."""
        history = History()
        for number in range(1, self.number):
            history.read(self._path(number, "log"), self._path(number, "spool"))
        return history


class History:
    """What the earlier processes of a part did: `delivered` keys, and how often and with what each key was begun."""

    def __init__(self) -> None:
        self.delivered: set[bytes] = set()
        self.begun: dict[bytes, list[str]] = {}
        self.last: dict[bytes, int] = {}  # the number of the last attempt at each key
        self.told: set[tuple[bytes, int]] = set()  # attempts that left word, though not a final outcome
        self.last_node = ""

    def read(self, log: Path, spool: Path) -> None:
        """Add what one process did."""
        for line in read_log(log)[0]:
            self.last_node = line.get("node", self.last_node)
            if "begun" in line:
                key = bytes.fromhex(line["begun"])
                self.begun.setdefault(key, []).append(line.get("checkpoint", ""))
                self.last[key] = line["attempt"]
            elif "returned" in line:
                key = bytes.fromhex(line["returned"])
                self.told.add((key, line["attempt"]))
                if before := self.begun.pop(key, [])[:-1]:
                    self.begun[key] = before
        with suppress(FileNotFoundError):
            for head, _ in read_all_frames(spool):
                if is_final(head):
                    self.delivered.add(key_in(head))
                else:
                    self.told.add((key_in(head), unpack_head(head).attempt))

    def attempts(self, key: bytes) -> int:
        """Return how often `key` was begun."""
        return len(self.begun.get(key, ()))

    def is_untold(self, key: bytes) -> bool:
        """Return whether the last attempt at `key` left no word, as when its node died."""
        return key in self.last and (key, self.last[key]) not in self.told


def read_log(path: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the whole lines of the log at `path` from offset `start` on, and the offset behind them."""
    try:
        with open(path, "rb") as file:
            file.seek(start)
            data = file.read()
    except FileNotFoundError:
        return [], start
    end = data.rfind(b"\n") + 1
    return list(_lines(data[:end].splitlines())), start + end


def _lines(lines: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # zeros, where a node died while the file server had only its length
            continue


def checkpoint_mark(store: Path, key: bytes) -> str:
    """Return what tells one checkpoint of `key` from the next; empty when there is none."""
    try:
        state = checkpoint_path(store, key).stat()
    except FileNotFoundError:
        return ""
    return f"{state.st_ino}:{state.st_mtime_ns}:{state.st_size}"
