"""Records on their way to a server: on the disk first, then sent by a thread, again and again until it takes them.

    put ──▶ <url>-<process>.jsonl ──thread──▶ POST ─┬▶ taken: noted in <url>-<process>.jsonl.sent
                     │                              ├▶ refused, this very record: the same, and to <url>.refused.jsonl
                     │                              └▶ not now: stays in its file, and the next one is tried
                     │ the process dies
                     └──▶ whoever sends to this address next, adopts it

Guarantees: a record is in the kernel's hands when `put` returns, so no kill of any process loses it; it is sent at
least once, and with the same `Idempotency-Key` when it is sent again because nobody knows whether it arrived.
`put` neither waits for the server nor raises. A process holds a lock on its file while it lives: a file without one
is left over.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import threading
import time
import urllib.parse
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from memento.capture.append_only import Appender
from memento.capture.spools import Spool
from memento.files import private_folder
from memento.wording import plural

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
LOOK_AGAIN = 30.0  # seconds until files left over by others are looked for again
AT_EXIT = 30.0  # seconds that a process waits at its end for a server that takes records
# Refusals of the record itself; any other answer, such as 401 or 404, may be another one tomorrow.
REFUSALS = ("answered 400", "answered 413", "answered 422")
BUSY = ("answered 429", "answered 503")  # these ask to be left alone, whatever the record
MOST_IN_A_ROW = 10  # records that are not taken, such as with 500, until it is the server rather than these

_outboxes: dict[tuple[str, Path], Outbox] = {}
_all: weakref.WeakSet[Outbox] = weakref.WeakSet()


def outbox_for(url: str, folder: Path, **options: Any) -> Outbox:
    """Return this process's outbox for `url` with its files in `folder`; the first caller's options hold."""
    known = _outboxes.get((url, folder))
    if known is None:
        known = _outboxes[url, folder] = Outbox(url, folder, **options)
    return known


def pause_after(failures: int) -> float:
    """Return the seconds from one attempt to the next."""
    return min(0.1 * 2.0 ** min(failures, 30), LONGEST_PAUSE)  # the power of a server down for a day is no float


def outboxes() -> list[Outbox]:
    """Return the outboxes of this process."""
    return list(_outboxes.values())


class _NotNow(Exception):
    """The server takes nothing now; says why."""


@dataclass
class _Attempt:
    """One attempt to send all that waits: what hindered it first, and how many records in a row were not taken."""

    deadline: float | None
    problem: str | None = None
    in_a_row: int = 0


class Outbox:
    """Sends records to one address."""

    def __init__(self, url: str, folder: Path, *, timeout: float, retries: int, headers: Mapping[str, str]) -> None:
        parts = urllib.parse.urlsplit(url)
        self.where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"  # the rest may be a secret
        self._url = url
        self._folder = folder
        self._prefix = sha256(url.encode()).hexdigest()[:12]
        self._timeout = timeout
        self._retries = retries
        self._headers = dict(headers)
        self._context: Any = None
        self._own: Spool | None = None
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        if self._own is not None:
            self._own.close()
        self._own = None
        self._unwritten: dict[str, bytes] = {}
        self._lock = threading.Lock()  # of the own file
        self._sending = threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._told = False

    def put(self, record: bytes) -> None:
        """Take `record`, a line of JSON with its newline, over; never waits and never raises."""
        with self._lock:
            try:
                if self._own is None:
                    self._own = self._new_spool()
                self._own.append(record)
            except OSError as error:
                if not self._unwritten:
                    logger.warning("memweb: %s in %s; results are kept in memory", error.strerror, self._folder)
                self._unwritten[secrets.token_hex(8)] = record
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="memento-memweb", daemon=True)
                self._thread.start()
        self._wake.set()

    def _new_spool(self) -> Spool:
        made = None
        while made is None:
            private_folder(self._folder)
            made = Spool.make(self._folder / f"{self._prefix}-{os.getpid()}-{secrets.token_hex(4)}.jsonl")
        return made

    def _work(self) -> None:
        failures = 0
        while not self._closing.is_set():
            self._wake.clear()
            problem = self.deliver()
            if problem is None:
                failures = 0
                self._told = False
                self._wake.wait(LOOK_AGAIN)
                continue
            failures += 1
            if failures > self._retries and not self._told:
                self._told = True
                logger.warning(
                    "memweb: %s %s; results are kept in %s and sent as soon as it takes them",
                    self.where,
                    problem,
                    self._folder,
                )
            self._closing.wait(pause_after(failures))

    def deliver(self, deadline: float | None = None) -> str | None:
        """Send what waits, here and in files left over by others; return what hindered it, None when all is sent.

        Args:
            deadline: begin to send nothing after this time of the monotonic clock.
        """
        attempt = _Attempt(deadline)
        with self._sending:
            try:
                for spool in self._spools():
                    for offset, line in spool.waiting():
                        if self._is_done_with(line, f"{spool.path.stem}-{offset}", attempt):
                            spool.mark(offset, offset + len(line))
                    self._begin_anew(spool)
                for identity, line in list(self._unwritten.items()):
                    if self._is_done_with(line, identity, attempt):
                        del self._unwritten[identity]
                return attempt.problem
            except _NotNow as end:
                return str(end)
            except OSError as error:
                return f"could not be sent to, as {self._folder} fails: {error.strerror}"
            except Exception as error:  # the thread has to live on
                return f"could not be sent to: {type(error).__name__}: {error}"

    def _spools(self) -> Iterator[Spool]:
        refused = self._folder / f"{self._prefix}.refused.jsonl"
        if self._own is None and refused.exists():  # tried once more in each process
            with contextlib.suppress(OSError):
                refused.rename(self._folder / f"{self._prefix}-0-{secrets.token_hex(4)}.jsonl")
        if self._own is not None:
            yield self._own
        for path in sorted(self._folder.glob(f"{self._prefix}-*.jsonl")):
            if self._own is not None and path == self._own.path:
                continue
            spool = Spool.adopt(path)
            if spool is None:
                continue  # its process lives
            try:
                yield spool
                if spool.unsent == 0:
                    spool.remove()
            finally:
                spool.close()

    def _is_done_with(self, line: bytes, identity: str, attempt: _Attempt) -> bool:
        """Send one record; return whether it was taken or refused, so that it need not be sent again.

        Raises:
            _NotNow: nor is there a use in sending others.
        """
        if attempt.deadline is not None and time.monotonic() > attempt.deadline:
            raise _NotNow("took too long")
        problem = self._post(line, identity)
        if problem is None:
            attempt.in_a_row = 0
            return True
        if problem.startswith(REFUSALS):
            self._keep_aside(line, problem)
            return True
        attempt.problem = attempt.problem or problem
        attempt.in_a_row += 1
        if not problem.startswith("answered ") or problem in BUSY or attempt.in_a_row > MOST_IN_A_ROW:
            raise _NotNow(problem)
        return False

    def _begin_anew(self, spool: Spool) -> None:
        # Not by emptying it: its name and an offset are what a server knows a record by, so none may come again.
        with self._lock, contextlib.suppress(OSError):  # on a full disk this one goes on
            if spool is self._own and spool.is_spent:
                self._own = self._new_spool()
                if spool.unsent == 0:
                    spool.remove()
                spool.close()  # with what it still has, it is one left over

    def _post(self, line: bytes, identity: str) -> str | None:
        """Send one record; return what went wrong, None when it was taken."""
        from memento.notifications.posting import post

        if self._context is None:
            import ssl

            self._context = ssl.create_default_context()
        headers = {"Idempotency-Key": identity, **self._headers}
        problem, _ = post(self._url, line.rstrip(b"\n"), headers, self._timeout, self._context)
        return problem

    def _keep_aside(self, line: bytes, problem: str) -> None:
        path = self._folder / f"{self._prefix}.refused.jsonl"
        logger.warning(
            "memweb: %s %s; the refused result is kept in %s, and tried once more by the next process",
            self.where,
            problem,
            path,
        )
        with contextlib.closing(Appender(path)) as refused:
            refused.append(line)

    @property
    def unsent(self) -> int:
        """How many records wait, here and in files left over by others; refused ones are not counted."""
        with self._sending:
            return len(self._unwritten) + sum(spool.unsent for spool in self._spools())

    def close(self) -> None:
        """Send what can be sent now, within `AT_EXIT` seconds, and leave the rest for later."""
        self._closing.set()
        self._wake.set()
        problem = None
        if self._thread is not None or any(self._folder.glob(f"{self._prefix}*.jsonl")):
            problem = self.deliver(time.monotonic() + AT_EXIT)
        if problem is not None:
            logger.warning(
                "memweb: %s not sent, as %s %s; kept in %s, and sent by the next process that sends there or calls "
                "memento.send_unsent()",
                plural(self.unsent, "result"),
                self.where,
                problem,
                self._folder,
            )
        own, self._own = self._own, None
        if own is not None:
            if own.unsent == 0:
                own.remove()
            own.close()
        with contextlib.suppress(OSError):
            self._folder.rmdir()  # only when it is empty


def _forget_inherited() -> None:
    # A forked child has no thread that sends, and shares the lock of its parent's file.
    for outbox in list(_all):
        outbox._reset()


def _close_all() -> None:
    for outbox in outboxes():
        outbox.close()


os.register_at_fork(after_in_child=_forget_inherited)
atexit.register(_close_all)
