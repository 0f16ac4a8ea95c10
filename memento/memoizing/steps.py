"""How a call goes that is not remembered, step by step.

    call ── arguments ──key──▶ ledger ── found ───────────────────────────────────────────▶ value
                                  └─ not found ──▶ ours to compute? ──▶ claim ──▶ function ──▶ ledger ──▶ value
                                                       └─ no: wait for whoever does, then look again

It is written once, as generators that ask whoever drives them to wait and to call the function: so plain functions and
coroutine functions go the same way.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Protocol

from memento.memoizing.flights import computing
from memento.memoizing.remembering import MISSING, Call, Memory, Stopwatch

SHORTEST_PAUSE, LONGEST_PAUSE = 0.002, 0.1
CALL = None
"""What steps ask for besides waiting for some seconds, or until an event is set."""
Steps = Generator[float | threading.Event | None, Any, Any]


class CacheProvider(Protocol):
    """Where a `Cache` may keep values instead of the store: a mapping that makes its own keys."""

    def make_key(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the key of a call."""
        ...

    def get(self, key: Any) -> Any:
        """Return the value kept under `key`; raises KeyError when there is none."""
        ...

    def set(self, key: Any, item: Any) -> None:
        """Keep `item` under `key`."""
        ...


def steps(memory: Memory, call: Call, force_run: bool) -> Steps:
    """Go on with `call`, which is not remembered: wait for whoever computes it, or compute it."""
    flights = call.ledger.flights
    while (landed := flights.begin(call.key)) is not None:
        with flights.awaiting(call.key):
            circular = flights.is_circular(call.key)
            if not circular:
                yield landed
        if circular:  # as without memoize: it calls itself
            return (yield CALL)
        if not force_run and (found := memory.stored(call)) is not MISSING:
            return found
    try:
        return (yield from _steps_of_owner(memory, call, force_run))
    finally:
        flights.end(call.key)


def _steps_of_owner(memory: Memory, call: Call, force_run: bool) -> Steps:
    """Go on where no one else in this process computes `call`: other processes may."""
    pause = SHORTEST_PAUSE
    while not call.ledger.claim_call(call.key):
        call.ledger.free_claims_of_the_dead()
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)
        if not force_run and (found := memory.stored(call)) is not MISSING:
            return found
    try:
        # Another process may have stored it just before it gave up its claim.
        if not force_run and (found := memory.stored(call)) is not MISSING:
            return found
        watch = Stopwatch()
        with computing(call.key):
            value = yield CALL
        memory.keep(call, value, watch.read())
        return value
    finally:
        call.ledger.release_call(call.key)


def steps_of_provider(
    provider: CacheProvider, asked: functools.partial[Any], force_cache: bool, force_run: bool
) -> Steps:
    """Go through the call `asked` for with values that `provider` keeps."""
    key = provider.make_key(asked.func, *asked.args, **asked.keywords)
    if not force_run:
        try:
            return provider.get(key)
        except KeyError:
            if force_cache:
                raise
    value = yield CALL
    provider.set(key, value)
    return value


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
