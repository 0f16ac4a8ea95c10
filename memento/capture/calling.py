"""Decorated functions: one wrapper for all decorators of a function, whatever their order.

    call ──▶ bind ──▶ recorders that skip: known? ──▶ what was recorded
                               │ no: whoever computes it already is waited for
                               ▼
                       the function itself ──▶ its own result
                               │
                               ▼
              record = arguments + result + measures ──▶ every recorder, the innermost first

A decorator that is put on a decorated function joins its stack instead of wrapping the wrapper. So the arguments are
bound once, a measure is in every record, and no recorder hears of another's.
"""

from __future__ import annotations

import functools
import inspect
import os
import secrets
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from types import CoroutineType
from typing import Any, TypeVar, cast

from memento.capture.binding import binding_of
from memento.capture.call import Call, Clock, Found, Recorder
from memento.capture.claims import Claims
from memento.capture.lines import TIME, Written, is_quick, record_of
from memento.capture.remote_calls import Sent, recorders_here, travelling, trip
from memento.errors import OptionError
from memento.flights import CALL, Flights, Steps, advanced, awaited, computing
from memento.hashing.naming import qualname_of, resolve

F = TypeVar("F", bound=Callable[..., Any])
ATTRIBUTE = "__memento_stack__"

_stacks: weakref.WeakValueDictionary[str, Stack] = weakref.WeakValueDictionary()


class Stack:
    """A function and the recorders around it, the innermost first. Its wrapper is what the user calls."""

    def __init__(
        self,
        func: Callable[..., Any],
        recorders: Sequence[Recorder] = (),
        clock: Clock | None = None,
        token: str | None = None,
    ) -> None:
        self.func = func
        self.recorders = tuple(recorders)
        self.clock = clock
        self.token = token or secrets.token_hex(8)
        binding = binding_of(func)
        self._bind = binding.bind
        self._instance = binding.instance
        self.names = binding.names
        self.takes_more = binding.takes_more
        self.measured = (TIME,) if clock else ()
        self.skips = any(recorder.skip for recorder in self.recorders)
        claims = (recorder.claims for recorder in self.recorders if recorder.claims is not None)
        self._claims = sorted(claims, key=lambda each: each.path)  # in one order, or two processes may wait forever
        self._writes = any(recorder.writes for recorder in self.recorders)
        # Where a record is all that is wanted, half the cost of a call is saved. These two are attributes, because
        # what the wrapper itself refers to would be copied with it to other processes.
        self.take = self.recorders[0].take if len(self.recorders) == 1 and clock is None else None
        self.trip = trip
        self.forget_threads()
        self.wrapper = self._make_wrapper()
        _stacks[self.token] = self

    def forget_threads(self) -> None:
        """Wait for no thread any more: a forked child has none of its parent's."""
        self._flights = Flights()

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Found | None]:
        """Return the call with these arguments, and what a recorder that skips has of it.

        Raises:
            TypeError: the function does not take these arguments.
            UnkeyableValue: a recorder skips and an argument has no stable digest.
        """
        arguments = self._bind(*args, **kwargs)
        instance: tuple[Any, ...] = ()
        if self._instance:
            instance = args[:1] or (kwargs[self._instance],)
        call = Call(self, arguments, instance)
        if self._writes and (instance or not is_quick(arguments.values())):
            call.written = Written(arguments, lambda: call.key, of_method=bool(instance))
        return call, self._look_up(call) if self.skips else None

    def _look_up(self, call: Call) -> Found | None:
        for recorder in self.recorders:
            if recorder.skip and (found := recorder.find(call)) is not None:
                self._pass_on(call, found, recorder)
                return found
        return None

    def _steps(self, call: Call) -> Steps:
        """Go on with `call`, of which nothing is recorded: wait for whoever computes it, or compute it."""
        flights, key = self._flights, self.token.encode() + call.key
        while (landed := flights.begin(key)) is not None:
            with flights.awaiting(key):
                circular = flights.is_circular(key)
                if not circular:
                    yield landed
            if circular:  # as without a recorder: it calls itself
                return (yield from self._computed(call))
            if (found := self._look_up(call)) is not None:
                return found.result
        try:
            with computing(key):
                return (yield from self._steps_of_owner(call))
        finally:
            flights.end(key)

    def _steps_of_owner(self, call: Call) -> Steps:
        """Go on where no one else in this process computes `call`: other processes may."""
        taken: list[Claims] = []
        try:
            for claims in self._claims:
                yield from claims.taking(call.key)
                taken.append(claims)
            if (found := self._look_up(call)) is not None:  # somebody was computing it
                return found.result
            return (yield from self._computed(call))
        finally:
            for claims in taken:
                claims.release(call.key)

    def _computed(self, call: Call) -> Steps:
        begun = time.perf_counter()
        result = yield CALL
        return self.finish(call, result, time.perf_counter() - begun)

    def _pass_on(self, call: Call, found: Found, owner: Recorder) -> None:
        """Let the others record what one recorder had: each call, or each combination once where they skip too."""
        if len(self.recorders) == 1:
            return
        call.complete(found.result, {name: found.record[name] for name in self.measured if name in found.record})
        self.keep(call, [recorder for recorder in recorders_here(call) if recorder is not owner])

    def finish(self, call: Call, result: Any, seconds: float) -> Any:
        """Have `call` recorded, which returned `result` after `seconds`, and return what the caller gets.

        Raises:
            NameClash: an argument and a result have the same name; the error holds both.
        """
        clock = self.clock
        recorders = self.recorders
        measures: dict[str, Any] = {}
        if clock is not None:
            measures[TIME] = round(seconds / 60 if clock.minutes else seconds, clock.rounding)
            if not recorders:  # nobody else could tell the time
                return record_of({}, result, measures) if isinstance(result, dict) else result
        call.complete(result, measures)
        recorders = recorders_here(call)
        if len(recorders) == 1 and not self.skips:
            recorders[0].keep(call)
        else:
            self.keep(call, recorders)
        return result

    def keep(self, call: Call, recorders: Sequence[Recorder]) -> None:
        """Have `call` recorded by all of `recorders`, also when one of them fails; the first error is raised."""
        failed: Exception | None = None
        for recorder in recorders:
            try:
                if not recorder.skip or recorder.find(call) is None:  # another thread may have been quicker
                    recorder.keep(call)
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _make_wrapper(self) -> Callable[..., Any]:
        func, bind, begin, finish, now = self.func, self._bind, self.begin, self.finish, time.perf_counter

        async def ending(call: Call, coroutine: CoroutineType[Any, Any, Any]) -> Any:
            """Go on where a wrapper around an async function returned what that is to be awaited by."""
            begun = now()
            return finish(call, await coroutine, now() - begun)

        @functools.wraps(func)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            call, found = begin(args, kwargs)
            if found is not None:
                return found.result
            begun = now()
            result = func(*args, **kwargs)
            if type(result) is CoroutineType:
                return ending(call, result)
            return finish(call, result, now() - begun)

        @functools.wraps(func)
        def light(*args: Any, **kwargs: Any) -> Any:
            arguments = bind(*args, **kwargs)
            begun = now()
            result = func(*args, **kwargs)
            if type(result) is CoroutineType:
                return ending(Call(self, arguments), result)
            if self.take is None or self.trip.calls is not None:
                return finish(Call(self, arguments), result, now() - begun)
            self.take(record_of(arguments, result, {}))
            return result

        @functools.wraps(func)
        def once(*args: Any, **kwargs: Any) -> Any:
            call, found = begin(args, kwargs)
            if found is not None:
                return found.result
            needed = self._steps(call)
            asked, value = advanced(needed)
            while asked:
                try:
                    result = func(*args, **kwargs)
                    _refuse_coroutine(func, result)
                except BaseException:
                    needed.close()
                    raise
                asked, value = advanced(needed, result)
            return value

        @functools.wraps(func)
        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            call, found = begin(args, kwargs)
            if found is not None:
                return found.result
            begun = now()
            result = await func(*args, **kwargs)
            return finish(call, result, now() - begun)

        @functools.wraps(func)
        async def awaiting_once(*args: Any, **kwargs: Any) -> Any:
            call, found = begin(args, kwargs)
            if found is not None:
                return found.result
            return await awaited(self._steps(call), functools.partial(func, *args, **kwargs))

        made: Callable[..., Any]
        if inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(type(func).__call__):
            made = awaiting_once if self.skips else awaiting
        elif self.take is not None:
            made = light
        else:
            made = once if self.skips else wrapper
        setattr(made, ATTRIBUTE, self)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Stack, (self.func, travelling(self.recorders), self.clock, self.token)


def _refuse_coroutine(func: Callable[..., Any], result: Any) -> None:
    # What is found of a later call would be returned as such, where the caller awaits it.
    if type(result) is CoroutineType:
        result.close()
        raise OptionError(
            f"{qualname_of(func)} is no async function, but returned a coroutine, so that skip=True cannot tell what "
            "its callers await; decorate the async function itself, or make what is around it an `async def`",
            option="skip",
            value=True,
        )


def _forget_threads() -> None:
    for stack in list(_stacks.values()):
        stack.forget_threads()


os.register_at_fork(after_in_child=_forget_threads)


def stack_of(func: Any) -> Stack | None:
    """Return the stack of which `func` is the wrapper; None where it is something else, such as a wrapper around it."""
    stack = getattr(func, ATTRIBUTE, None)
    return stack if isinstance(stack, Stack) and stack.wrapper is func else None


def decorated(func: F, *, recorder: Recorder | None = None, clock: Clock | None = None) -> F:
    """Return `func` with a recorder or a clock around it, beside those that it has.

    Raises:
        OptionError: `func` cannot be called, or yields its results.
    """
    if isinstance(func, staticmethod | classmethod):
        return cast(F, type(func)(decorated(func.__func__, recorder=recorder, clock=clock)))
    below = stack_of(func)
    recorders = () if below is None else below.recorders
    if recorder is not None:
        recorders = (*recorders, recorder)
    own = func if below is None else below.func
    if clock is None and below is not None:
        clock = below.clock
    return cast(F, Stack(own, recorders, clock).wrapper)


def bring_home(calls: Iterable[Sent]) -> None:
    """Record calls that were made in another process, each by the stack that it was shipped from or is a copy of."""
    for sent in calls:
        stack = _stacks.get(sent.token) or stack_of(resolve(sent.module, sent.qualname))
        if stack is not None:
            call = Call(stack, sent.arguments, key=sent.key, written=sent.written)
            call.complete(sent.result, sent.measures)
            stack.keep(call, [stack.recorders[place] for place in sent.places])
