"""A job → bytes for the processes that work on it, and back."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from memento.errors import WorkerStartError
from memento.failures import function_of
from memento.job import Job
from memento.payload.home import MAIN, be_worker_of, dumps
from memento.task import type_name


def pack_job(job: Job) -> bytes:
    """Return `job` for other processes.

    Functions and classes of `__main__` travel by value, so that workers need not run the user's script again.
    """
    users = ("experiment", "configurations", "assigned")  # what may be of the user's own classes
    fields = {name: getattr(job, name) for name in job._fields if name not in users}
    try:
        assigned = job.assigned
        if assigned and isinstance(assigned, tuple):  # else it is sealed
            from memento.payload.assigned import packed  # seldom needed

            assigned = packed(assigned)
        inner = dumps((job.experiment, job.configurations, assigned))
    except Exception as error:
        from memento.payload.unsendable import ADVICE, what_stays

        names, stays = what_stays(job.experiment)
        found = f"it uses {names}, of type {type_name(type(stays))}" if names else "it uses something of its script"
        raise WorkerStartError(
            f"the experiment cannot be sent to worker processes: {found} ({type(error).__name__}: {error}); {ADVICE}"
        ) from error
    return pickle.dumps((fields, inner))


def unpack_job(data: bytes, surroundings: Callable[[Mapping[str, Any]], None]) -> Job:
    """Return the job packed as `data`; `surroundings` prepares this process before the user's code is loaded."""
    fields, inner = pickle.loads(data)
    surroundings(fields)
    try:
        experiment, configurations, assigned = pickle.loads(inner)
    except Exception as error:
        _advise(error, inner)
        raise
    be_worker_of(fields["main"], fields["classes"], _globals_of(experiment))
    for name in fields["modules"]:
        if name not in sys.modules:
            with suppress(Exception):  # whoever needs it will say so
                import_module(name)
    if assigned:
        from memento.payload.assigned import assign  # seldom needed

        assign(assigned)
    return Job(experiment=experiment, configurations=configurations, assigned=assigned, **fields)


def _advise(error: Exception, packed: bytes) -> None:
    """Say with `error` what to do, if a class of the script is why the experiment `packed` cannot be loaded."""
    from memento.payload.unpicklable import blamed_of_script
    from memento.payload.unsendable import ADVICE

    if name := blamed_of_script(packed):
        # As a note it is the last line, which is what is told first.
        raised = f"{type(error).__name__}: {error}"
        error.add_note(f"a worker cannot make the script's class {name} again, or an object of it ({raised}); {ADVICE}")


def _globals_of(experiment: Any) -> dict[str, Any]:
    """Return the globals that an experiment of `__main__` brought along."""
    function = function_of(experiment)
    known: dict[str, Any] = getattr(function, "__globals__", {})
    return known if getattr(function, "__module__", None) == MAIN else {}
