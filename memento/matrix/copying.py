"""Copies of values, so that what an experiment does to its own is seen by no other."""

from __future__ import annotations

import copy
import functools
import io
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, NoneType
from typing import Any

from memento.payload.home import travelling

_ATOMIC = frozenset((str, int, float, bool, NoneType, bytes, complex, range, BuiltinFunctionType))
_here = threading.local()
"""What the copy that this thread is making shares with its original."""


def atomic(value: Any) -> bool:
    """Whether experiments share `value`: it cannot be changed, or belongs to its module, as members of an enum do."""
    if type(value) in _ATOMIC or isinstance(value, (type, Enum)):
        return True
    if type(value) is tuple:
        return all(map(atomic, value))
    if type(value) is FunctionType:
        return not _holds_state(value)
    numpy = sys.modules.get("numpy")  # asks nothing of those who do not use it
    return numpy is not None and isinstance(value, (numpy.number, numpy.bool_))


def copier_of(value: Any) -> Callable[[], Any]:
    """Return a function that gives a new copy of `value` at each call, as it is now.

    The copy is made through pickle, which an experiment's values survive anyway on their way to a worker; then by
    `deepcopy`; what neither can copy, an open file for example, is given as it is.
    """
    file = io.BytesIO()
    shared: list[Any] = []
    try:
        _copying()(file, shared).dump(value)
        data = file.getvalue()
        _copy(data, shared)
    except Exception:  # a value's own pickling may raise anything
        try:
            original = copy.deepcopy(value)
            return lambda: copy.deepcopy(original)
        except Exception:
            return lambda: value
    return lambda: _copy(data, shared)


def _copy(data: bytes, shared: Sequence[Any]) -> Any:
    outer = getattr(_here, "shared", ())
    _here.shared = shared
    try:
        return pickle.loads(data)
    finally:
        _here.shared = outer


def _holds_state(function: FunctionType) -> bool:
    """Whether calls of `function` can leave something in it, other than in what its module holds."""
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is function:
        return False
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    return bool(function.__closure__ or function.__dict__) or not all(map(atomic, defaults))


@functools.cache
def _copying() -> type[Any]:
    """Return a pickler for copies within this process: classes, and functions that hold nothing, are shared.

    A function that holds something is copied with that, and goes on to use the very globals of its module, where
    cloudpickle would give it some of its own.
    """

    class Copying(travelling()):  # type: ignore[misc]
        def __init__(self, file: io.BytesIO, shared: list[Any]) -> None:
            super().__init__(file, protocol=5)
            self._shared = shared

        def _share(self, value: Any) -> tuple[Any, ...]:
            self._shared.append(value)
            return _shared_at, (len(self._shared) - 1,)

        def reducer_override(self, value: Any) -> Any:
            if value is _shared_at:
                return NotImplemented  # by its name
            if isinstance(value, (type, Enum)):
                return self._share(value)
            if type(value) is CellType:
                return _cell_and_content(value)
            if type(value) is not FunctionType:
                return super().reducer_override(value)
            if not _holds_state(value):
                return self._share(value)
            self._shared.append(value)
            state = value.__defaults__, value.__kwdefaults__, value.__dict__
            return _function_like, (len(self._shared) - 1, value.__closure__), state, None, None, _fill_function

    return Copying


def _shared_at(index: int) -> Any:
    return _here.shared[index]


def _cell_and_content(cell: CellType) -> tuple[Any, ...]:
    try:
        content = cell.cell_contents
    except ValueError:  # it is empty
        return CellType, ()
    return CellType, (), (content,), None, None, _fill_cell


def _fill_cell(cell: CellType, state: tuple[Any]) -> None:
    (cell.cell_contents,) = state


def _function_like(index: int, closure: tuple[CellType, ...] | None) -> FunctionType:
    original: FunctionType = _here.shared[index]
    code: CodeType = original.__code__
    made = FunctionType(code, original.__globals__, original.__name__, None, closure)
    for name in functools.WRAPPER_ASSIGNMENTS:
        setattr(made, name, getattr(original, name))
    return made


def _fill_function(function: FunctionType, state: tuple[Any, Any, dict[str, Any]]) -> None:
    function.__defaults__, function.__kwdefaults__, attributes = state
    function.__dict__.update(attributes)
