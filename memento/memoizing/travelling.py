"""How a function that remembers travels to other processes: by its name, or whole where no import finds it."""

from __future__ import annotations

import copyreg
from typing import Any

import cloudpickle

from memento.hashing.naming import MAIN_MODULES, is_importable


def register(kind: type) -> None:
    """Have cloudpickle send what is of `kind` in a way of its own."""
    cloudpickle.Pickler.dispatch_table[kind] = _reduced_for_workers


def reduced(cache: Any) -> Any:
    """Return what the standard library's pickle needs, which cannot send functions whole."""
    return cache.__qualname__ if is_importable(cache) else _whole(cache)


def _reduced_for_workers(cache: Any) -> Any:
    # The script that is `__main__` here is no module that a worker could import.
    by_name = is_importable(cache) and cache.__module__ not in MAIN_MODULES
    return cache.__qualname__ if by_name else _whole(cache)


def _whole(cache: Any) -> Any:
    # Made first and filled later, because a function that calls itself leads back to it.
    return copyreg.__newobj__, (type(cache),), cache.__getstate__()  # type: ignore[attr-defined,unused-ignore]
