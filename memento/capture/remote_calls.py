"""Calls in worker processes: there they are listed instead of recorded, and brought home to be recorded.

    home: shipping ──pickled function, without the recorders that stay──▶ worker: away
    home: bring_home ◀──────────── what the calls in it gave, listed ────────────┘

What lives in the process that decorated the function (a list, a callback, a connection) cannot be reached from a
worker; a file can, and is written there at once.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from memento.capture.call import Call, Found, Recorder
from memento.capture.lines import Written
from memento.hashing.naming import module_of, qualname_of


class Sent(NamedTuple):
    """A call on its way home: the stack's token and name, the places of the recorders in it, and the call."""

    token: str
    module: str
    qualname: str
    places: tuple[int, ...]
    arguments: dict[str, Any]
    result: Any
    measures: dict[str, Any]
    key: bytes | None
    written: Written | None


class _Shipping(threading.local):
    active = False


class Trip:
    """Where this process is: `calls` are those to be brought home, None at home."""

    calls: list[Sent] | None = None


_shipping = _Shipping()
trip = Trip()


class Absent:
    """Stands in a worker for a recorder that has stayed at home."""

    at_home, take, claims = True, None, None

    def __init__(self, skip: bool, writes: bool) -> None:
        self.skip = skip
        self.writes = writes

    def find(self, call: Call) -> Found | None:
        """Nothing is known here."""
        return None

    def keep(self, call: Call) -> None:
        """Nothing can be kept here."""


@contextlib.contextmanager
def shipping() -> Iterator[None]:
    """Within this, this thread pickles functions without the recorders that stay at home."""
    _shipping.active = True
    try:
        yield
    finally:
        _shipping.active = False


def travelling(recorders: Sequence[Recorder]) -> tuple[Recorder, ...]:
    """Return `recorders` as they are to be pickled: when shipping, without those that stay at home."""
    if not _shipping.active:
        return tuple(recorders)
    return tuple(Absent(each.skip, each.writes) if each.at_home else each for each in recorders)


@contextlib.contextmanager
def away() -> Iterator[list[Sent]]:
    """Within this, calls in this process are listed instead of recorded by recorders that are at home elsewhere."""
    calls: list[Sent] = []
    trip.calls = calls
    try:
        yield calls
    finally:
        trip.calls = None


def recorders_here(call: Call) -> tuple[Recorder, ...]:
    """Return the recorders to record `call` here: all of them, or when away those that are not listed for home."""
    stack = call.stack
    if trip.calls is None:
        return stack.recorders
    places = tuple(place for place, recorder in enumerate(stack.recorders) if recorder.at_home)
    if places:
        key = call.key if any(stack.recorders[place].skip for place in places) else None
        name = module_of(stack.func), qualname_of(stack.func)
        trip.calls.append(
            Sent(stack.token, *name, places, call.arguments, call.result, call.measures, key, call.written)
        )
    return tuple(recorder for recorder in stack.recorders if not recorder.at_home)
