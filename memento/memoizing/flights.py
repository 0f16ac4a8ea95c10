"""Which calls are being computed in this process, so that others who want the same wait instead of computing it too.

Guarantee: nobody waits for a result that waits for them, as far as one process can tell: a call that is asked for while
it is being computed, by itself or in a circle of threads, is computed where it is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

_computing: ContextVar[tuple[bytes, ...]] = ContextVar("memento_computing", default=())
"""The keys of the calls that this thread or task is inside of."""


class Flights:
    """The calls of one ledger that are being computed in this process; `begin` takes off, `end` lands."""

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
        """Return whether `key` cannot be had before the caller itself is done."""
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
