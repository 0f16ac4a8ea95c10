"""Functions → who they are (part of every key) and what their code is (kept beside every result)."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable
from typing import Any

from memento.errors import UnkeyableValue
from memento.experiment import Experiment
from memento.fingerprint.dependencies import Dependencies
from memento.fingerprint.lookups import Lookups
from memento.hashing import syntax
from memento.hashing.callables import captured_values
from memento.hashing.keys import digest
from memento.hashing.naming import is_importable, module_name, module_of
from memento.hashing.origin import file_of
from memento.sources import read_source


def identify(func: Callable[..., Any], *, version: str | None = None) -> Experiment:
    """Return who `func` is and what its code is.

    The name is the module and the qualified name, never a path or a line; for a lambda also its code, since two of them
    share a name; for closures, partials, bound methods and callable objects also what they carry.

    Example:
        >>> import json
        >>> identify(json.dumps).name
        'json:dumps'
    """
    return identify_closely(func, version=version)[0]


def identify_closely(func: Callable[..., Any], *, version: str | None = None) -> tuple[Experiment, Lookups]:
    """Return what `identify` does, and what tells later whether that is still so."""
    notes: list[str] = []
    name = _identity(func, notes)
    if version is not None:
        name = f"{name}@{version}"
    used = Dependencies()
    code = used.of([func])
    file = file_of(_named_after(func))
    sources = tuple(source for name in sorted(used.files) if (source := read_source(name)) is not None)
    notes += used.notes
    known = Experiment(
        name=name,
        version=version,
        file=file,
        code=code,
        notes=tuple(notes),
        sources=sources,
        assigned=used.assigned,
        modules=used.modules,
    )
    return known, used.lookups


def look_at_values(values: Iterable[object]) -> tuple[dict[str, str], Lookups, list[str]]:
    """Return the digests of the project's functions and classes among `values`, and of what these use.

    With them: what tells later whether that is still so, and what could not be looked at. Values are known by name
    where they can be imported, so their keys do not say when their code has changed. Functions and classes are found
    also as the classes of objects, and inside containers, partials and attributes.

    Example:
        >>> import json
        >>> look_at_values([1, "text", json.dumps])[0]  # the standard library is not the project's
        {}
    """
    used = Dependencies()
    return used.of(values), used.lookups, used.notes


def _identity(func: Any, notes: list[str]) -> str:
    if isinstance(func, functools.partial):
        carried = {"args": func.args, "keywords": func.keywords}
        return _identity(func.func, notes) + _carried(carried, notes, "the partial")
    if _is_bound(func):
        if isinstance(func.__self__, type):
            return f"{_module(func.__self__)}:{func.__self__.__qualname__}.{func.__name__}"
        owner = type(func.__self__)
        return f"{_module(owner)}:{owner.__qualname__}.{func.__name__}" + _carried(
            {"self": func.__self__}, notes, f"the method {func.__name__}"
        )
    if isinstance(func, type | types.BuiltinFunctionType):
        return f"{_module(func)}:{func.__qualname__}"
    function, captured = _unwrapped(func)
    if not isinstance(function, types.FunctionType):
        return f"{_module(type(func))}:{type(func).__qualname__}" + _carried({"self": func}, notes, "the object")
    name = f"{_module(function)}:{function.__qualname__}"
    if function.__name__ == "<lambda>":
        name += "#" + syntax.code_digest(function.__code__)[0][:16]
    return name + _carried(captured, notes, f"the function {function.__qualname__}")


def _is_bound(func: Any) -> bool:
    """Return whether `func` is a method of an object or class, written in Python or built in."""
    if isinstance(func, types.BuiltinFunctionType):  # a function's is its module
        return func.__self__ is not None and not isinstance(func.__self__, types.ModuleType)
    return isinstance(func, types.MethodType)


def _named_after(func: Any) -> Any:
    """Return the function or class whose module is in the name of `func`."""
    if isinstance(func, functools.partial):
        return _named_after(func.func)
    if _is_bound(func):
        return func.__self__ if isinstance(func.__self__, type) else type(func.__self__)
    if isinstance(func, type | types.BuiltinFunctionType):
        return func
    function, _ = _unwrapped(func)
    return function if isinstance(function, types.FunctionType) else type(func)


def _unwrapped(func: Any) -> tuple[Any, dict[str, Any]]:
    """Return the function inside wrappers, and what it and they carry.

    What was wrapped by a decorator and is found under its own name carries nothing that its source does not say.
    """
    captured: dict[str, Any] = {}
    layers = [func]
    while not _is_bound(layers[-1]):  # a bound method's `__dict__` is its function's, and what that wraps is not bound
        wrapped = getattr(layers[-1], "__dict__", {}).get("__wrapped__")
        if not callable(wrapped):
            break
        layers.append(wrapped)
    for depth, layer in enumerate(layers if not is_importable(func) else ()):
        for name, value in captured_values(layer) if isinstance(layer, types.FunctionType) else ():
            if name != "__class__" and not any(value is one for one in layers):
                captured[f"{name}{'^' * depth}"] = value
    return layers[-1], captured


def _module(thing: Any) -> str:
    return module_name(module_of(thing))


def _carried(values: dict[str, Any], notes: list[str], whose: str) -> str:
    """Return the digests of what a callable carries; what has none is noted, because a change to it is not seen."""
    texts = []
    for name, value in sorted(values.items()):
        try:
            texts.append(f"{name}={digest(value, path=name).hex()[:16]}")
        except UnkeyableValue:
            notes.append(
                f"{whose} carries {name}, of type {type(value).__qualname__}, which cannot be keyed: a change to it "
                "will not be noticed; pass it through the matrix, or give Memento another version= when it changes"
            )
    return f"[{','.join(texts)}]" if texts else ""
