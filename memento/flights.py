"""Which calls are being computed in this process, so that others who want the same wait instead of computing it too.

How a call goes is written once for plain functions and coroutine functions: as steps, a generator that asks whoever
drives it to wait and to call the function.

Guarantee: a call that is asked for while it is being computed, by itself or in a circle of threads, is computed where
it is asked for. This holds among the calls of one `Flights`: a circle through two of them, or through two processes, is
not noticed, and waits for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

SHORTEST_PAUSE, LONGEST_PAUSE = 0.002, 0.1
CALL = None
"""What steps ask for besides waiting for some seconds, or until an event is set."""
Steps = Generator[float | threading.Event | None, Any, Any]

_computing: ContextVar[tuple[bytes, ...]] = ContextVar("memento_computing", default=())
"""The keys of the calls that this thread or task is inside of."""


class Flights:
    """The calls of one function or ledger that are being computed in this process; `begin` takes off, `end` lands."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._landed: dict[bytes, threading.Event] = {}
        self._awaited: dict[bytes, bytes] = {}

    def begin(self, key: bytes) -> threading.Event | None:
        """Return None when the caller is now the one to compute `key`, else what is set once another has done so."""
        with self._lock:
            landed = self._landed.get(key)
            if landed is None:
                self._landed[key] = threading.Event()
            return landed

    def end(self, key: bytes) -> None:
        """Let everybody know that `key` is not being computed any more."""
        with self._lock:
            self._landed.pop(key).set()

    def is_circular(self, key: bytes) -> bool:
        """Return whether `key` cannot be had before the caller itself is done, as far as the calls here show."""
        own = _computing.get()
        wanted: bytes | None = key
        with self._lock:
            for _ in range(len(self._awaited) + 1):
                if wanted is None or wanted in own:
                    break
                wanted = self._awaited.get(wanted)
        return wanted is not None and wanted in own

    @contextmanager
    def awaiting(self, key: bytes) -> Iterator[None]:
        """Count, inside, as one who cannot go on before `key` is there."""
        own = _computing.get()
        with self._lock:
            self._awaited.update(dict.fromkeys(own, key))
        try:
            yield
        finally:
            with self._lock:
                for each in own:
                    self._awaited.pop(each, None)


@contextmanager
def computing(key: bytes) -> Iterator[None]:
    """Count, inside, as one who computes `key`."""
    token = _computing.set((*_computing.get(), key))
    try:
        yield
    finally:
        with suppress(ValueError):  # a coroutine that nobody awaits any more is closed wherever that is noticed
            _computing.reset(token)


def growing_pauses() -> Iterator[float]:
    """Yield how many seconds to wait between two looks at what another process does."""
    pause = SHORTEST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def advanced(needed: Steps, answer: Any = None) -> tuple[bool, Any]:
    """Go on with the steps `needed`, waiting as they ask, until they ask for the call or are done.

    Args:
        needed: the steps.
        answer: what the call gave, where they had asked for it.

    Returns:
        whether they ask for the call, and what they come to otherwise. The call is made by whoever asks here: that is a
        frame less for each level of a function that calls itself.
    """
    while True:
        try:
            request = needed.send(answer)
        except StopIteration as end:
            return False, end.value
        if request is CALL:
            return True, None
        answer = None
        try:
            if isinstance(request, threading.Event):
                request.wait()
            else:
                time.sleep(request)
        except BaseException:
            needed.close()
            raise


async def awaited(needed: Steps, function: Callable[[], Any]) -> Any:
    """Return what the steps `needed` come to, calling the coroutine function; other tasks go on meanwhile."""
    import asyncio

    answer = None
    while True:
        try:
            request = needed.send(answer)
        except StopIteration as end:
            return end.value
        try:
            answer = None
            if request is CALL:
                answer = await function()
            elif isinstance(request, threading.Event):
                while not request.is_set():
                    await asyncio.sleep(SHORTEST_PAUSE)
            else:
                await asyncio.sleep(request)
        except BaseException:
            needed.close()  # not thrown into them: a StopIteration would not come out as it was
            raise
