"""What `functools` has made of a script's functions, which pickle would look for by name: it travels whole.

    lru_cache             ──> the function and the parameters    ──> a cache of its own, empty
    cached_property       ──> the function, the attribute's name ──> a lock of its own (Python 3.11)
    singledispatch        ──> the function                       ──> filled with what is registered
    singledispatchmethod  ──> the function, its dispatcher       ──> a cache of its own, empty (Python 3.13)

Each is made of a function that may not be complete yet, because one that calls itself leads back to what wraps it: what
it is called comes along.
"""

from __future__ import annotations

import functools
import gc
import types
from collections.abc import Callable
from typing import Any

from memento.hashing.naming import MAIN_MODULES, is_importable, module_of

_CACHED = type(functools.lru_cache(lambda: None))
_DISPATCHING: Any = functools.singledispatch(lambda value: None)

KINDS = frozenset({_CACHED, functools.cached_property, functools.singledispatchmethod, types.FunctionType})
"""The types of which something may have to travel whole."""


def cached(function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """Return `function` with a cache, as `functools.lru_cache` makes it.

    Pickles hold this function by its module and name, so both stay for ever.
    """
    return functools.lru_cache(maxsize, typed)(function)


def fill_dispatcher(made: Any, state: tuple[dict[type, Any], dict[str, Any]]) -> None:
    """Register with `made`, what `functools.singledispatch` has made, the functions in `state`, and set its attributes.

    Pickles hold this function by its module and name, so both stay for ever.
    """
    registered, attributes = state
    for kind, function in registered.items():
        made.register(kind, function)
    for name, value in attributes.items():
        setattr(made, name, value)


def whole(value: Any) -> tuple[Any, ...] | None:
    """Return how `value` is made again elsewhere; None for what an import finds there, and what is none of these."""
    if type(value) is functools.cached_property:
        return type(value), (value.func,), {name: part for name, part in vars(value).items() if name != "lock"}
    if type(value) is functools.singledispatchmethod:
        return type(value), (value.func,), {"func": value.func, "dispatcher": value.dispatcher}
    if type(value) is _CACHED and not _is_found(value):
        return _whole_cached(value)
    if getattr(value, "__code__", None) is _DISPATCHING.__code__ and not _is_found(value):
        return _whole_dispatching(value)
    return None


def _is_found(value: Any) -> bool:
    import cloudpickle

    module = module_of(value)
    by_value = cloudpickle.list_registry_pickle_by_value()
    sent = module in MAIN_MODULES or any(f"{module}.".startswith(f"{name}.") for name in by_value)
    return not sent and is_importable(value)


def _whole_cached(value: Any) -> tuple[Any, ...]:
    # Not its `__wrapped__`, unless that is a class: `functools.wraps` above `lru_cache` sets it to something else.
    functions = [part for part in gc.get_referents(value) if callable(part) and not isinstance(part, type)]
    function = functions[0] if functions else value.__wrapped__
    attributes = {name: part for name, part in vars(value).items() if name != "cache_parameters"}
    parameters = value.cache_parameters()
    return cached, (function, parameters["maxsize"], parameters["typed"]), attributes


def _whole_dispatching(value: Any) -> tuple[Any, ...]:
    registered = dict(value.registry)
    function = registered.pop(object)
    attributes = {name: part for name, part in vars(value).items() if name not in vars(_DISPATCHING)}
    attributes["__wrapped__"] = value.__wrapped__
    attributes |= {name: getattr(value, name) for name in functools.WRAPPER_ASSIGNMENTS if hasattr(value, name)}
    return functools.singledispatch, (function,), (registered, attributes), None, None, fill_dispatcher
