"""The experiment on its way through a job: packed by who submitted it, opened by the workers only.

The process that leads a job never loads the user's code: what crashes, allocates or hangs while it is imported does so
in a worker, whose death has a name.
"""

from __future__ import annotations

import functools
import pickle
from types import SimpleNamespace
from typing import Any

from memento.failures import function_of
from memento.job import Job
from memento.job_packing import pack_job

Origin = tuple[str, int, str]
"""Where an experiment is defined: file, line and name."""


class Sealed:
    """One of the objects that were pickled together as `packed`: experiment, configurations, what was assigned."""

    def __init__(self, packed: bytes, index: int, origin: Origin | None = None) -> None:
        self._packed, self._index = packed, index
        if origin is not None:
            # What is looked at where a failure is to say where the experiment is defined.
            self.__code__ = SimpleNamespace(co_filename=origin[0], co_firstlineno=origin[1], co_qualname=origin[2])

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self._packed, self._index)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Never called: it is opened before."""
        raise AssertionError("a sealed experiment was called")


def _opened(packed: bytes, index: int) -> Any:
    return _open(packed)[index]


@functools.lru_cache(maxsize=1)
def _open(packed: bytes) -> Any:
    return pickle.loads(packed)


def seal(job: Job) -> bytes:
    """Return `job` packed for `sealed_job`.

    Raises:
        WorkerStartError: the experiment cannot be pickled.
    """
    code = getattr(function_of(job.experiment), "__code__", None)
    origin: Origin | None = (code.co_filename, code.co_firstlineno, code.co_qualname) if code else None
    return pickle.dumps((origin, pack_job(job)))


def sealed_job(data: bytes, **changed: Any) -> Job:
    """Return the job that `seal` packed as `data`, whose experiment only workers open, with some fields changed."""
    origin, job = pickle.loads(data)
    fields, packed = pickle.loads(job)
    opened: dict[str, Any] = {
        "experiment": Sealed(packed, 0, origin),
        "configurations": Sealed(packed, 1),
        "assigned": Sealed(packed, 2),
    }
    sealed = Job(**opened, **fields)
    return sealed._replace(**changed)
