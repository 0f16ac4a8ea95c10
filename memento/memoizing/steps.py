"""How a call goes that is not remembered, step by step.

    call ── arguments ──key──▶ ledger ── found ───────────────────────────────────────────▶ value
                                  └─ not found ──▶ ours to compute? ──▶ claim ──▶ function ──▶ ledger ──▶ value
                                                       └─ no: wait for whoever does, then look again

It is written once, for plain functions and coroutine functions, as steps of `memento.flights`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from memento.flights import CALL, Steps, computing, growing_pauses
from memento.memoizing.remembering import MISSING, Call, Memory, Stopwatch
from memento.outdated import kept


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
    pauses = growing_pauses()
    while not call.ledger.claim_call(call.key):
        call.ledger.free_claims_of_the_dead()
        yield next(pauses)
        if not force_run and (found := memory.stored(call)) is not MISSING:
            return found
    try:
        # Another process may have stored it just before it gave up its claim.
        if not force_run and (found := memory.stored(call)) is not MISSING:
            return found
        watch = Stopwatch()
        with computing(call.key), kept(memory.rule):
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
