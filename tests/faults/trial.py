"""A script that uses the library, run in a process of its own, with a bound, and watched from outside.

    test ──run──▶ script.py ──▶ supervisor, workers, whatever the experiments start      all carry `TAG` in their
      │                              │                                                   environment, so that none
      │                              └──begun/finished, key, pid──▶ log                  is lost sight of
      └── kill, signal, wait, read the log, and prove that no process is left

What ran is told by the experiments themselves: `begun(key)` and `finished(key)` append a line to the log in one write,
outside the store, before any of the library's own bookkeeping. Who runs one experiment at a time has kept the one
before when it begins the next: so the last of each worker may be lost by a kill, and no other (`kept`).

This module is imported by the scripts too, so it needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
TAG_VARIABLE = "MEMENTO_TRIAL"
LOG_VARIABLE = "MEMENTO_TRIAL_LOG"
# A worker whose orchestrator was killed has this long to notice and end.
NO_ORPHAN_AFTER = 3.0
HEAD = """\
import os, sys, time, signal
from pathlib import Path
from tests.faults.trial import begun, finished
"""


# What a script's experiments call


def begun(key: object) -> None:
    """Have the log say that the experiment `key` has begun."""
    _append("begun", key)


def finished(key: object) -> None:
    """Have the log say that the experiment `key` has done all it does; call it last before returning."""
    _append("finished", key)


def _append(event: str, key: object) -> None:
    # The thread, because one process may run several experiments; its number is another in every process.
    words = event, key, os.getpid(), threading.get_native_id(), os.environ[TAG_VARIABLE]
    append_line(os.environ[LOG_VARIABLE], " ".join(map(str, words)))


def append_line(path: str | Path, line: str) -> None:
    """Append `line` to the file at `path` in one write, so that no kill tears it and no other process cuts into it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


# What a trial does with a script


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a script ended: its exit status (negative: the signal; None: it overran its bound) and what it printed."""

    status: int | None
    out: str
    err: str


@dataclass(kw_only=True)
class Running:
    """A script that runs, with everything it has started."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    tag: str = field(default_factory=lambda: uuid.uuid4().hex)

    def processes(self) -> list[int]:
        """Return the living processes that the script is or has started, orphans included."""
        mark = f"{TAG_VARIABLE}={self.tag}".encode()
        return [pid for pid in _pids() if mark in _read(pid, "environ").split(b"\0")]

    def signal(self, number: int) -> None:
        """Send the script alone a signal, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def kill_everything(self, rng: random.Random | None = None) -> None:
        """Kill -9 the script and everything it has started, in the order that `rng` gives, until nothing is left."""
        deadline = time.monotonic() + 20
        while living := self.processes():
            if rng is not None:
                rng.shuffle(living)
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < deadline, f"processes {living} do not die"
        self.process.wait(20)

    def finish(self, seconds: float) -> Ended:
        """Wait for the script's end, at most `seconds`: then everything is killed and the status is None."""
        status: int | None
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
            self.kill_everything()
        return Ended(status=status, out=self._text("out"), err=self._text("err"))

    def left_over(self, seconds: float = NO_ORPHAN_AFTER) -> list[str]:
        """Return the command lines of what still lives `seconds` after now; it is killed."""
        deadline = time.monotonic() + seconds
        while (living := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        left = [f"{pid}: {_read(pid, 'cmdline').replace(bytes(1), b' ').decode(errors='replace')}" for pid in living]
        if left:
            self.kill_everything()
        return left

    def wait_until(self, condition: Callable[[], bool], seconds: float = 30.0) -> bool:
        """Wait until `condition` holds; return False when the script ended or the seconds passed before it did."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return condition()
            time.sleep(0.002)
        return True

    def _text(self, name: str) -> str:
        return (self.folder / f"{self.tag}.{name}").read_text(errors="replace")


def start(
    folder: Path, code: str, *arguments: object, env: Mapping[str, str] | None = None, under: Sequence[str] = ()
) -> Running:
    """Start `code` as a script in `folder`, with `arguments` in its ``sys.argv``, and return it running.

    The script begins with `HEAD`. Its log is ``folder / "log"``, shared by every script started there. `under` is a
    command that runs the interpreter, such as strace. The caller sees to its end; `script` does so by itself.
    """
    path = folder / "script.py"
    text = HEAD + code
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    tag = uuid.uuid4().hex
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        TAG_VARIABLE: tag,
        LOG_VARIABLE: str(folder / "log"),
        **(env or {}),
    }
    with open(folder / f"{tag}.out", "wb") as out, open(folder / f"{tag}.err", "wb") as err:
        process = subprocess.Popen(
            [*under, sys.executable, str(path), *map(str, arguments)],
            cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
        )  # fmt: skip
    return Running(process=process, folder=folder, log=folder / "log", tag=tag)


@contextlib.contextmanager
def script(
    folder: Path, code: str, *arguments: object, env: Mapping[str, str] | None = None, under: Sequence[str] = ()
) -> Iterator[Running]:
    """Enter with `code` running as `start` has it; nothing of it lives when left."""
    running = start(folder, code, *arguments, env=env, under=under)
    try:
        yield running
    finally:
        running.kill_everything()


def run(
    folder: Path, code: str, *arguments: object, seconds: float = 60.0, env: Mapping[str, str] | None = None
) -> Ended:
    """Run `code` to its end, at most `seconds`.

    Raises:
        AssertionError: it overran, or left a process behind.
    """
    with script(folder, code, *arguments, env=env) as running:
        ended = running.finish(seconds)
        assert ended.status is not None, f"still running after {seconds} s:\n{ended.err}"
        left = running.left_over()
        assert not left, f"left behind: {left}"
    return ended


def logged(folder: Path, event: str, tag: str = "") -> Counter[str]:
    """Return how often each key's experiments in `folder` have logged `event`, "begun" or "finished".

    With `tag`, only those of the script that has it are counted.
    """
    return Counter(line.split(" ")[1] for line in _lines(folder, tag) if line.startswith(f"{event} "))


def in_flight(folder: Path) -> Counter[str]:
    """Return the keys whose experiments began more often than they finished."""
    return logged(folder, "begun") - logged(folder, "finished")


def kept(folder: Path, tag: str = "") -> set[str]:
    """Return the keys that are safe from any kill: finished, and their worker began another after them."""
    safe: set[str] = set()
    last: dict[tuple[str, ...], str] = {}
    for line in _lines(folder, tag):
        event, key, _, *worker = line.split(" ")
        if event == "finished":
            last[tuple(worker)] = key
        elif tuple(worker) in last:
            safe.add(last.pop(tuple(worker)))
    return safe


def _lines(folder: Path, tag: str = "") -> list[str]:
    try:
        return [line for line in (folder / "log").read_text().splitlines() if line.endswith(tag)]
    except FileNotFoundError:
        return []


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""
