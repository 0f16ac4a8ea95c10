"""Functions that remember: a call with equal arguments returns what it gave before, from the store."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import FunctionType, MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from memento.errors import CacheMiss, OptionError
from memento.experiment import Experiment
from memento.fingerprint.identity import identify_closely
from memento.fingerprint.lookups import Lookups
from memento.flights import Steps, advanced, awaited
from memento.given import one_of
from memento.hashing.labels import bare
from memento.hashing.naming import is_importable, qualified
from memento.memoizing import travelling
from memento.memoizing.arguments import Arguments
from memento.memoizing.bound import BoundCache
from memento.memoizing.remembering import MISSING, Memory
from memento.memoizing.steps import CacheProvider, steps, steps_of_provider
from memento.plan import CODE_CHANGES

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
Path = str | os.PathLike[str]

_MARK = "_is_coroutine_mark"  # what `inspect.markcoroutinefunction` leaves behind, good in one process


class Cache(Generic[P, R]):
    """A function that remembers, across processes and runs, what each call returned; `memoize` makes it as a decorator.

    Arguments are compared as a matrix compares parameters, however they are passed: by position, by name or by default.
    The function's name is part of the key, its code is not. A call that raises is not remembered. Of callers who ask
    for the same at the same time, in threads or processes, one computes and the others wait. Each is given a value of
    its own.

    Args:
        func: the function, or coroutine function.
        cache_provider: where values are kept; by default the store.
        store: the store's path; by default ``$MEMENTO_CACHE_PATH`` or ``.memento``.
        version: what begins a new series: nothing of another version is found.
        ignore: names of arguments that do not count.
        code_change: what becomes of values that older code computed: "warn" (they are returned, and it is said),
            "rerun" (they are computed anew) or "ignore". By default "warn", but "rerun" where an experiment or another
            function that remembers is computed, unless the experiment's run ignores changes of code.

    Raises:
        OptionError: one of these cannot be meant.

    Example:
        >>> @Cache
        ... def square(x):
        ...     return x * x
        >>> square(3), square(x=3)
        (9, 9)
    """

    # Not in the instance's dict: what a fingerprint of code finds there would depend on what was called.
    __slots__ = ("__dict__", "__weakref__", "_made")

    def __init__(
        self,
        func: Callable[P, R],
        cache_provider: CacheProvider | None = None,
        *,
        store: Path | None = None,
        version: str | int | None = None,
        ignore: Iterable[str] = (),
        code_change: str | None = None,
    ) -> None:
        _check(func, code_change)
        functools.update_wrapper(self, func)
        self._func = func
        self._provider = cache_provider
        self._options: dict[str, Any] = {
            "store": None if store is None else os.path.expanduser(os.fspath(store)),
            "version": None if version is None else str(version),
            "ignore": (ignore,) if isinstance(ignore, str) else tuple(ignore),
            "code_change": code_change,
        }
        self._is_coroutine_function = inspect.iscoroutinefunction(func)
        self._known: Experiment | None = None
        self._made: Memory | None = None
        _ = self._memory  # says at once what is wrong with the options
        self._mark()

    def _mark(self) -> None:
        if self._is_coroutine_function and hasattr(inspect, "markcoroutinefunction"):
            inspect.markcoroutinefunction(self)

    @property
    def _memory(self) -> Memory:
        # Made when first needed: while it is unpickled, the function may not be whole yet.
        if self._made is None:
            options = self._options
            arguments = Arguments(self._func, options["ignore"])
            self._made = Memory(arguments, self._identity, store=options["store"], code_change=options["code_change"])
        return self._made

    def _identity(self) -> tuple[Experiment, Lookups]:
        # Asked of what stands under the function's name in its module, so that it counts as what can be imported.
        inner = inspect.unwrap(self._func, stop=lambda layer: isinstance(layer, MethodType))
        known = self if isinstance(inner, FunctionType) else self._func
        return (self._known, Lookups()) if self._known else identify_closely(known, version=self._options["version"])

    @overload
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, /, *args: Any, force_run: bool, force_cache: bool = ..., **kwargs: Any) -> R: ...
    @overload
    def __call__(self, /, *args: Any, force_cache: bool, **kwargs: Any) -> R: ...
    def __call__(  # type: ignore[misc]  # no signature can say: whatever the function takes, but for these two names
        self, /, *args: Any, force_cache: bool = False, force_run: bool = False, **kwargs: Any
    ) -> Any:
        """Return the remembered value of this call, or call the function and remember what it returns.

        Args:
            args: positional arguments of the function.
            force_cache: raise `CacheMiss`, which is a KeyError, instead of calling the function.
            force_run: call the function in any case; what it returns is what is remembered from now on.
            kwargs: keyword arguments of the function.

        Raises:
            CacheMiss: with `force_cache`, nothing is remembered.
            UnkeyableValue: an argument has no stable key.
            StoreError: the store cannot be opened, read or claimed in; the function was not called.
            UnreadableResult: what is remembered cannot be unpickled here; `force_run` replaces it.
        """
        if force_cache and force_run:
            raise OptionError("force_cache forbids to call the function and force_run demands it; pass one of them")
        function = functools.partial(self._func, *args, **kwargs)
        if self._is_coroutine_function:
            return self._in_coroutine(function, force_cache, force_run)
        found, needed = self._begun(function, force_cache, force_run)
        if needed is None:
            return found
        function = _given_bare(function)
        asked, value = advanced(needed)
        while asked:
            try:
                answer = function()
            except BaseException:
                needed.close()  # not thrown into them: a StopIteration would not come out as it was
                raise
            asked, value = advanced(needed, answer)
        return value

    async def _in_coroutine(self, function: functools.partial[Any], force_cache: bool, force_run: bool) -> Any:
        found, needed = self._begun(function, force_cache, force_run)
        return found if needed is None else await awaited(needed, _given_bare(function))

    def _begun(self, asked: functools.partial[Any], force_cache: bool, force_run: bool) -> tuple[Any, Steps | None]:
        """Return what the call `asked` for gave before, or else the steps that lead to it."""
        if self._provider is not None:
            return None, steps_of_provider(self._provider, asked, force_cache, force_run)
        call = self._memory.call_of(asked.args, asked.keywords)
        if not force_run and (found := self._memory.stored(call)) is not MISSING:
            return found, None
        if force_cache:
            raise CacheMiss(self._memory.text(call))
        return None, steps(self._memory, call, force_run)

    def key(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of a call: 32 hex digits, the same in every process while the function has its name."""
        return self._memory.call_of(args, kwargs).key.hex()

    def forget(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget what a call returned; the next one computes it. Return whether anything was remembered.

        Raises:
            OptionError: values are kept by a provider, which has its own way to forget.
        """
        if self._provider is not None:
            raise OptionError("a cache_provider keeps these values: they are forgotten there", option="cache_provider")
        return self._memory.forget(self._memory.call_of(args, kwargs))

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Cache[P, R]: ...
    @overload
    def __get__(self: Cache[Concatenate[S, Q], R], instance: S, owner: type | None = None) -> BoundCache[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Behave as a method where it decorates one; the instance is then the first argument."""
        return self if instance is None else BoundCache(self, instance)

    def __repr__(self) -> str:
        return f"Cache({getattr(self, '__qualname__', self._func)!s})"

    def __memento_key__(self) -> Any:
        """Return what it is known by as an argument: its name where an import finds it, else what its function does."""
        return [qualified(self) if is_importable(self) else self._func, self._options["version"]]

    def __reduce__(self) -> Any:
        return travelling.reduced(self)

    def __getstate__(self) -> dict[str, Any]:
        known = replace(self._memory.experiment, sources=(), assigned=())  # found out here, where its source is
        return {name: value for name, value in vars(self).items() if name != _MARK} | {"_known": known}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._made = None
        self._mark()

    def __copy__(self) -> Cache[P, R]:
        return self

    def __deepcopy__(self, memo: Any) -> Cache[P, R]:
        return self


travelling.register(Cache)


@overload
def memoize(func: Callable[P, R], /) -> Cache[P, R]: ...
@overload
def memoize(
    *,
    store: Path | None = ...,
    version: str | int | None = ...,
    ignore: Iterable[str] = ...,
    code_change: str | None = ...,
) -> Callable[[Callable[P, R]], Cache[P, R]]: ...
def memoize(func: Any = None, /, **options: Any) -> Any:
    """From now on the decorated function remembers on the disk what each call returned: see `Cache`.

    Args:
        func: the function; left out where options are given, as in ``@memoize(version="2")``.
        options: `store`, `version`, `ignore` and `code_change`, as `Cache` takes them.

    Raises:
        OptionError: one of these cannot be meant.

    Example:
        >>> @memoize(ignore=("verbose",))
        ... def cube(x, verbose=False):
        ...     return x**3
        >>> cube(2), cube(2, verbose=True), cube(2, force_cache=True)
        (8, 8, 8)
        >>> cube.forget(2), cube.forget(2)
        (True, False)
    """
    if func is None:
        return functools.partial(_memoized, options)
    return _memoized(options, func)


def _given_bare(asked: functools.partial[Any]) -> functools.partial[Any]:
    """Return the call `asked` for with the value of each `Named` among its arguments, which are known by now."""
    keywords = {name: bare(value) for name, value in asked.keywords.items()}
    return functools.partial(asked.func, *map(bare, asked.args), **keywords)


def _memoized(options: dict[str, Any], func: Any) -> Cache[..., Any]:
    return Cache(func, **options)


def _check(func: Any, code_change: str | None) -> None:
    is_wrapped = isinstance(func, classmethod | staticmethod)
    if is_wrapped or not callable(func):
        kind = type(func).__name__
        what = f"a {kind}: put @memoize below @{kind}" if is_wrapped else repr(func)
        raise OptionError(f"memoize takes a function, and not {what}", option="func", value=func)
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise OptionError(
            f"{func.__qualname__} yields its results, which can be read only once; return them as a list",
            option="func",
            value=func,
        )
    if code_change is not None:
        one_of("code_change", code_change, CODE_CHANGES)
