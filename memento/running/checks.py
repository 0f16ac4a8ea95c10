"""What is refused, or warned of, before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from memento.errors import OptionError
from memento.matrix.configurations import Configurations
from memento.protocols import Executor, RemoteExecutor
from memento.running.options import Options
from memento.user_warnings import warn


def check_func(func: Any) -> None:
    """Refuse what cannot be called, and what gives nothing that could be stored when it is called."""
    if not callable(func):
        raise OptionError(f"func={func!r} cannot be called; pass a function", option="func", value=func)
    for one in (func, type(func).__call__):  # and not what it wraps, which a wrapper may wait for
        if inspect.iscoroutinefunction(one):
            problem = "is an async function, whose call gives a coroutine; write def f(...): return asyncio.run(g(...))"
        elif inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one):
            problem = "is a generator, whose call gives no result yet; return a value, or a list of what it yields"
        else:
            continue
        raise OptionError(f"func={func!r} {problem}", option="func", value=func)


def check_options(options: Options, executor: Executor) -> None:
    """Refuse what the executor cannot do."""
    if options.timeout is not None and not executor.isolates:
        raise OptionError(
            f"timeout={options.timeout:g} needs an executor that can end an experiment, which "
            f"{type(executor).__name__} cannot; use executor='processes'",
            option="timeout",
            value=options.timeout,
        )
    if not options.wait and not isinstance(executor, RemoteExecutor):
        raise OptionError(
            "wait=False needs an executor whose work goes on without this process, which "
            f"{type(executor).__name__} is not; use executor='slurm'",
            option="wait",
            value=False,
        )


def check_runtime(configurations: Configurations, executor: Executor) -> None:
    """Refuse devices, and warn of time limits, where the executor can give neither."""
    if executor.isolates:
        return
    asked = {name for block in configurations.space.blocks for name, value in block.runtime.items() if value}
    if "gpus" in asked:
        raise OptionError(
            f"runtime asks for gpus, which {type(executor).__name__} cannot lease: all its experiments see the same "
            "devices; use executor='processes'",
            option="gpus",
        )
    if "time" in asked:
        warn(
            f"runtime['time'] is not enforced: {type(executor).__name__} cannot end an experiment; "
            "use executor='processes'"
        )


def checked_trackers(trackers: Any) -> tuple[Any, ...]:
    """Return `trackers`, one or several, as a tuple; what is none is refused."""
    if isinstance(trackers, Sequence) and not trackers:
        return ()
    from memento.tracking.base import check_tracker

    given = tuple(trackers) if isinstance(trackers, Sequence) else (trackers,)
    for tracker in given:
        check_tracker(tracker)
    return given


def check_provider(provider: Any) -> None:
    """Refuse what cannot be told of anything."""
    told = ("task_completed", "task_failure", "all_tasks_completed")
    if isinstance(provider, type):
        problem = f"the class {provider.__name__}, not a provider; write {provider.__name__}(...)"
    elif provider is None or any(callable(getattr(provider, name, None)) for name in told):
        return
    else:
        problem = f"{provider!r}, which has none of the methods {', '.join(told)}; derive it from NotificationProvider"
    raise OptionError(f"notification_provider is {problem}", option="notification_provider", value=provider)
