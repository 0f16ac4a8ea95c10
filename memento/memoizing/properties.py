"""Properties that are computed at their first access and kept on their instance.

    instance._memoized ──▶ Kept ── "area" ──▶ {the descriptor of Square: its cell, that of Shape: its cell}

All that an instance keeps is in one attribute, so that a class with `__slots__` needs one slot for it, and a property
that a subclass overrides keeps what `super()` computed beside its own.
"""

from __future__ import annotations

import functools
import inspect
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, Generic, Never, NoReturn, Self, TypeVar, overload

from memento.errors import OptionError

T = TypeVar("T")

ATTRIBUTE = "_memoized"
_NOT_YET: Any = object()


class _Cell:
    """The value of one property of one instance, and the lock of whoever computes it."""

    __slots__ = ("lock", "pid", "value")

    def __init__(self) -> None:
        self.value = _NOT_YET
        self.lock = threading.RLock()
        self.pid = os.getpid()


class Kept:
    """What one instance keeps; it stays behind when the instance is copied or pickled."""

    __slots__ = ("cells", "owner")
    __memento_transient__ = True

    def __init__(self, owner: Callable[[], Any] = lambda: None) -> None:
        self.owner = owner  # a shallow copy holds its original's
        self.cells: dict[str, dict[Any, _Cell]] = {}

    def __reduce__(self) -> Any:
        return Kept, ()


def _reference_to(instance: Any) -> Callable[[], Any]:
    # By address it could not be told from a copy of a copy that has been made where it was.
    try:
        return weakref.ref(instance)
    except TypeError:  # its class has slots, and none for weak references
        return lambda: instance


_making = threading.Lock()


class memoized_property(Generic[T]):  # it is written as `property` is
    """A property that is computed at its first access, and from then on is what was computed.

    The value is kept on the instance and goes with it. It is computed once, however many threads ask. It cannot be set;
    ``del instance.name`` has it computed again at the next access. Copies and pickles compute their own. An exception
    is not kept. A class with `__slots__` and no ``__dict__`` needs the slot ``"_memoized"``, one for all properties;
    with ``"__weakref__"`` beside it, its instances go as soon as nobody has them, and not with the next garbage. A
    dataclass with ``slots=True`` inherits that slot from a class that has nothing else.

    Args:
        func: the method that computes it.

    Raises:
        OptionError: `func` is a coroutine function or yields, so that what it returns could be used only once.

    Example:
        >>> class Sample:
        ...     def __init__(self, values):
        ...         self.values = values
        ...     @memoized_property
        ...     def mean(self) -> float:
        ...         print("computing")
        ...         return sum(self.values) / len(self.values)
        >>> sample = Sample([1, 2, 3])
        >>> sample.mean, sample.mean
        computing
        (2.0, 2.0)
    """

    def __init__(self, func: Callable[[Any], T]) -> None:
        if not callable(func):
            raise OptionError(f"memoized_property takes a method, and not {func!r}", option="func", value=func)
        once = (
            inspect.iscoroutinefunction(func) or inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func)
        )
        if once:
            raise OptionError(
                f"{func.__qualname__} is a coroutine function or yields: what it returns can be used only once, and "
                "cannot be kept; make it a method",
                option="func",
                value=func,
            )
        self._func = func
        self._name = getattr(func, "__name__", "value")
        described: Any = self
        functools.update_wrapper(described, func)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @property
    def __isabstractmethod__(self) -> bool:
        return bool(getattr(self._func, "__isabstractmethod__", False))

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the value for `instance`, which is computed if need be; the property itself for a class."""
        if instance is None:
            return self
        try:
            kept = object.__getattribute__(instance, ATTRIBUTE)
            if kept.owner() is instance:
                value = kept.cells[self._name][self].value
                if value is not _NOT_YET:
                    return value
        except (AttributeError, KeyError):
            pass
        return self._computed(instance)

    def _computed(self, instance: Any) -> T:
        cell = self._cell_of(instance)
        with cell.lock:
            if cell.value is _NOT_YET:
                cell.value = self._func(instance)
            value: T = cell.value
        return value

    def _cell_of(self, instance: Any) -> _Cell:
        with _making:
            kept = self._kept_by(instance)
            if kept is None:
                kept = Kept(_reference_to(instance))
                try:
                    object.__setattr__(instance, ATTRIBUTE, kept)  # not by a `__setattr__` that refuses, or records
                except AttributeError:
                    # The slots that a dataclass makes are those of its fields.
                    inherited = f"derive it from a class with __slots__ = ({ATTRIBUTE!r},)"
                    remedy = inherited if is_dataclass(instance) else f"add {ATTRIBUTE!r} to them"
                    why = f"has __slots__ without {ATTRIBUTE!r}; {remedy}"
                    raise self._without_place(instance, why) from None
            cells = kept.cells.setdefault(self._name, {})
            cell = cells.get(self)
            if cell is None or (cell.value is _NOT_YET and cell.pid != os.getpid()):
                # Who was computing it when this process was forked is not here to go on.
                cell = cells[self] = _Cell()
            return cell

    def _kept_by(self, instance: Any) -> Kept | None:
        try:
            kept = object.__getattribute__(instance, ATTRIBUTE)
        except AttributeError:
            return None
        if not isinstance(kept, Kept):  # not replaced: a dataclass's field would count in the instance's key
            found = type(kept).__qualname__
            raise self._without_place(instance, f"has {ATTRIBUTE!r}, a {found}, of its own; leave that name out")
        return kept if kept.owner() is instance else None

    def _without_place(self, instance: Any, why: str) -> TypeError:
        kind = type(instance).__qualname__
        return TypeError(f"{kind}.{self._name} has no place on its instance: {kind} {why}")

    def __set__(self, instance: object, value: Never) -> NoReturn:
        kind = type(instance).__qualname__
        raise AttributeError(
            f"{kind}.{self._name} cannot be set: it is computed; 'del instance.{self._name}' has it computed again",
            name=self._name,
            obj=instance,
        )

    def __delete__(self, instance: Any) -> None:
        with _making:
            kept = self._kept_by(instance)
            if kept is not None:
                kept.cells.pop(self._name, None)


def _renew_lock() -> None:
    global _making
    _making = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
