"""What a program has set on modules of the project: its workers, which import them anew, have it set there as well.

Else what counts as the code of an experiment here, `conf.RATE = 2` included, would not be what a worker runs.
"""

from __future__ import annotations

import importlib
import pickle
import types
from collections.abc import Iterable
from typing import Any

from memento.fingerprint.attributes import is_settled
from memento.fingerprint.contents import home_of
from memento.hashing.keys import digest
from memento.hashing.naming import MAIN_MODULES
from memento.payload.home import dumps

Packed = tuple[tuple[str, str, bytes], ...]


def packed(assigned: Iterable[tuple[str, str, Any]]) -> Packed:
    """Return what was assigned (module, dotted path in it, value) for `assign`, each value by itself.

    What cannot be pickled and is none of the program's own is left out: a module that is imported makes it itself.

    Raises:
        Exception: whatever pickling a function or class of the program raises.
    """
    made = []
    for module, path, value in assigned:
        is_code = isinstance(value, types.FunctionType | type)
        try:
            made.append((module, path, dumps(_under_its_own_name(value) if is_code else value)))
        except Exception:
            if is_code and home_of(value) in MAIN_MODULES:
                raise
    return tuple(made)


def _under_its_own_name(value: Any) -> Any:
    """Return a function as it is called where it was written: by another's name that one would be found instead."""
    if type(value) is not types.FunctionType or (value.__module__ == home_of(value) and _is_called_so(value)):
        return value
    own = types.FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, value.__closure__)
    own.__kwdefaults__ = value.__kwdefaults__
    vars(own).update(vars(value))
    own.__module__, own.__qualname__ = home_of(value), value.__code__.co_qualname
    return own


def _is_called_so(function: types.FunctionType) -> bool:
    return function.__qualname__ == function.__code__.co_qualname


def assign(assigned: Packed) -> None:
    """Set what is not so already.

    Raises:
        Exception: whatever importing a module raises, or there is no such place in it.
    """
    for module, path, data in assigned:
        owner: Any = importlib.import_module(module)
        *around, name = path.split(".")
        for one in around:
            owner = getattr(owner, one)
        there = getattr(owner, "__dict__", {}).get(name)
        value = pickle.loads(data)
        # What is the same stays: others in its module may hold it too.
        if there is not value and not (is_settled(there) and is_settled(value) and digest(there) == digest(value)):
            _set(owner, name, value)


def _set(owner: Any, name: str, value: Any) -> None:
    """Set an attribute whatever its object would say to that: the program has it, however it came by it."""
    if isinstance(owner, type):
        type.__setattr__(owner, name, value)
    elif isinstance(getattr(owner, "__dict__", None), dict):
        vars(owner)[name] = value
    else:
        object.__setattr__(owner, name, value)
