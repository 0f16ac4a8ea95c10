"""Functions that remember: a call with equal arguments returns what it gave before, from the store."""

from __future__ import annotations

import functools
import inspect
import os
import socket
import time
from collections.abc import Callable
from typing import Any, Protocol

from memento import payload
from memento.errors import CacheMiss
from memento.hashing import KeyMaker, digest, readable
from memento.hashing.fingerprint import identify
from memento.layout import blob_path
from memento.matrix.sheet import pack_rows
from memento.spool import frame_of
from memento.store import open_store
from memento.task import Outcome, Status
from memento.worker import keep


class CacheProvider(Protocol):
    """Where a `Cache` may keep values instead of the store: a mapping that makes its own keys."""

    def make_key(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the key of a call."""
        ...

    def get(self, key: Any) -> Any:
        """Return the value kept under `key`; raises KeyError when there is none."""
        ...

    def set(self, key: Any, item: Any) -> None:
        """Keep `item` under `key`."""
        ...


class Cache:
    """A function that remembers, across processes and runs, what each call returned.

    Arguments are compared as a matrix compares parameters, however they are passed: by position, by name or by default.
    The function's name is part of the key, its code is not. A call that raises is not remembered.

    Args:
        func: the function.
        cache_provider: where values are kept; by default the store (``$MEMENTO_CACHE_PATH`` or ``.memento``).

    Example:
        >>> @Cache
        ... def square(x):
        ...     return x * x
        >>> square(3), square(x=3)
        (9, 9)
    """

    def __init__(self, func: Callable[..., Any], cache_provider: CacheProvider | None = None) -> None:
        self._func = func
        self._provider = cache_provider
        functools.update_wrapper(self, func)

    def __call__(self, *args: Any, force_cache: bool = False, force_run: bool = False, **kwargs: Any) -> Any:
        """Return the remembered value of this call, or call the function and remember what it returns.

        Args:
            args: positional arguments of the function.
            force_cache: raise `CacheMiss`, which is a KeyError, instead of calling the function.
            force_run: call the function in any case.
            kwargs: keyword arguments of the function.
        """
        if self._provider is not None:
            return self._from_provider(self._provider, args, kwargs, force_cache=force_cache, force_run=force_run)
        key, described = self._key(args, kwargs)
        with open_store() as store:
            entry = None if force_run else store.find([key]).get(key)
            if entry is not None and entry.status is Status.SUCCEEDED:
                value = entry.outcome.value
                data = store.load(entry, "value") if value.size else b""
                return payload.decode(value.codec, data, entry.outcome.summary)
            if force_cache:
                raise CacheMiss(described)
            identity = identify(self._func)
            run = store.begin_run(
                experiment=identity.name, code=identity.code, about={"kind": "cache"}, sheet=pack_rows({0: described})
            )
            try:
                outcome, result = self._compute(key, run.id, store.root, args, kwargs)
                store.save([frame_of(outcome)])
            finally:
                store.end_run(run)
            return result

    def _from_provider(
        self, provider: CacheProvider, args: Any, kwargs: Any, *, force_cache: bool, force_run: bool
    ) -> Any:
        key = provider.make_key(self._func, *args, **kwargs)
        if not force_run:
            try:
                return provider.get(key)
            except KeyError:
                if force_cache:
                    raise
        value = self._func(*args, **kwargs)
        provider.set(key, value)
        return value

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, str]:
        bound = inspect.signature(self._func).bind(*args, **kwargs)
        bound.apply_defaults()
        values = bound.arguments
        digests = [digest(value, path=name) for name, value in values.items()]
        key = KeyMaker(f"cache:{identify(self._func).name}", tuple(values), {}).key(digests)
        described = ", ".join(f"{name}={readable(value)}" for name, value in values.items())
        return key, f"{getattr(self._func, '__name__', 'call')}({described})"

    def _compute(self, key: bytes, run: bytes, root: Any, args: Any, kwargs: Any) -> tuple[Outcome, Any]:
        started, begun, cpu = time.time(), time.perf_counter(), time.process_time()
        value = self._func(*args, **kwargs)
        runtime, cpu_time = time.perf_counter() - begun, time.process_time() - cpu
        encoded = payload.encode(value)
        part = keep(
            lambda: blob_path(root, key, run, 1, "value"), encoded.codec, encoded.chunks, encoded.size, encoded.digest
        )
        outcome = Outcome(
            key=key,
            run=run,
            attempt=1,
            status=Status.SUCCEEDED,
            started=started,
            runtime=runtime,
            cpu_time=cpu_time,
            pid=os.getpid(),
            host=socket.gethostname(),
            summary=encoded.summary,
            value=part,
        )
        return outcome, value

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Behave as a method where it decorates one; the instance is then the first argument."""
        return self if instance is None else functools.partial(self, instance)

    def __repr__(self) -> str:
        return f"Cache({getattr(self._func, '__qualname__', self._func)!s})"
