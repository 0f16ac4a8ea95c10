"""The experiment on its way through a job: packed by who submitted it, opened by the workers only.

The process that leads a job never loads the user's code: what crashes, allocates or hangs while it is imported does so
in a worker, whose death has a name.
"""

from __future__ import annotations

import functools
import pickle
from dataclasses import replace
from typing import Any

from memento.task import Job


class Sealed:
    """One of the two objects that were pickled together as `packed`: the experiment, or the configurations."""

    def __init__(self, packed: bytes, index: int) -> None:
        self._packed, self._index = packed, index

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


def sealed_job(data: bytes, **changed: Any) -> Job:
    """Return the job that `memento.worker.pack_job` packed as `data`, unopened, with some fields changed."""
    fields, packed = pickle.loads(data)
    job = Job(experiment=Sealed(packed, 0), configurations=Sealed(packed, 1), **fields)
    return replace(job, **changed)
