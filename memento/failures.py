"""What is told of an experiment that ended badly: the error as data, and the places in the user's code."""

from __future__ import annotations

import os
import traceback  # not when something fails: an experiment that has used up all descriptors leaves none to load it
import types
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from memento.task import Failure, Status, type_name

# Its frames lie below the user's in every stack.
WORKER_FILE = os.path.join(os.path.dirname(__file__), "worker.py")


def status_of(failure: Failure) -> Status:
    """Return the status that goes with what was raised."""
    return {"cancelled": Status.CANCELLED, "timeout": Status.TIMED_OUT}.get(failure.cause, Status.FAILED)


def describe_exception(error: BaseException) -> Failure:
    """Return `error` as data that survives every way back, even when it cannot be printed or pickled itself."""
    kind = type(error)
    cause, exit_code = "error", None
    if isinstance(error, MemoryError):
        cause = "memory"
    elif isinstance(error, SystemExit):
        cause, exit_code = "exit", _exit_code(error)
    elif isinstance(error, KeyboardInterrupt):
        cause = "cancelled"
    return Failure(
        type=type_name(kind),
        message=_message(error),
        traceback=_traceback(error),
        cause=cause,
        lineage=tuple(type_name(base) for base in kind.__mro__ if base is not object),
        exit_code=exit_code,
    )


def follows_interrupt(error: BaseException | None, before: BaseException | None) -> bool:
    """Return whether `error` is an interrupt, or was raised where one was being handled.

    `before` is what was being handled when the experiment began, as where a run is begun in answer to an interrupt.
    """
    while error is not None and error is not before and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None and error is not before


def frames_of(frame: types.FrameType | None) -> str:
    """Return the places that the user's code is at, the innermost first, where `frame` lies above one of ours."""
    places: list[str] = []
    while frame is not None and frame.f_code.co_filename != WORKER_FILE:
        places.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}')
        frame = frame.f_back
    return "\n".join(places) if frame is not None else ""


def place_of(experiment: Callable[..., Any]) -> str:
    """Return where `experiment` is defined, as tracebacks name a place; empty for what has no source."""
    code = getattr(function_of(experiment), "__code__", None)
    return f'  File "{code.co_filename}", line {code.co_firstlineno} in {code.co_qualname}' if code else ""


def _exit_code(error: SystemExit) -> int:
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def _message(error: BaseException) -> str:
    try:
        if isinstance(error, SystemExit):
            return f"the experiment called sys.exit({error.code!r})"
        return str(error)
    except BaseException as broken:
        return f"(its message could not be made: {type(broken).__name__} in __str__)"


def _traceback(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == WORKER_FILE:
        trace = trace.tb_next  # our own frames say nothing about the user's code
    try:
        return "".join(traceback.format_exception(type(error), error, trace))
    except BaseException:  # of the error itself, or because what formats it cannot be loaded any more
        places = "".join(_places(trace))
        return f"Traceback (most recent call last):\n{places}{type_name(type(error))}: {_message(error)}\n"


def _places(trace: types.TracebackType | None) -> Iterator[str]:
    """Yield the lines that tell of `trace` without the source, which needs nothing but what is in memory."""
    while trace is not None:
        code = trace.tb_frame.f_code
        yield f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}\n'
        trace = trace.tb_next


def function_of(experiment: Any) -> Any:
    """Return the function that `experiment` comes down to."""
    function = experiment
    known: list[Any] = []
    while function not in known:  # as inspect.unwrap, without the parser it loads
        known.append(function)
        function = function.func if isinstance(function, partial) else getattr(function, "__func__", function)
        function = getattr(function, "__wrapped__", function)
    return function if hasattr(function, "__code__") else type(function).__call__
