"""A method that remembers, as its instances have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from memento.memoizing.cache import Cache

Q = ParamSpec("Q")
R = TypeVar("R")


class BoundCache(Generic[Q, R]):
    """A method that remembers, and its instance."""

    def __init__(self, cache: Cache[..., R], instance: Any) -> None:
        self.__func__ = cache
        self.__self__ = instance
        self.__doc__ = cache.__doc__

    @overload
    def __call__(self, /, *args: Q.args, **kwargs: Q.kwargs) -> R: ...
    @overload
    def __call__(self, /, *args: Any, force_run: bool, force_cache: bool = ..., **kwargs: Any) -> R: ...
    @overload
    def __call__(self, /, *args: Any, force_cache: bool, **kwargs: Any) -> R: ...
    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return what the method returned before for this instance and these arguments, or call it."""
        return self.__func__(self.__self__, *args, **kwargs)

    def key(self, /, *args: Q.args, **kwargs: Q.kwargs) -> str:
        """Return the key of a call."""
        return self.__func__.key(self.__self__, *args, **kwargs)

    def forget(self, /, *args: Q.args, **kwargs: Q.kwargs) -> bool:
        """Forget what a call returned; return whether anything was remembered."""
        return self.__func__.forget(self.__self__, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__qualname__", "__wrapped__", "__module__"):
            raise AttributeError(name)
        return getattr(self.__func__, name)

    def __reduce__(self) -> Any:
        return type(self), (self.__func__, self.__self__)

    def __repr__(self) -> str:
        return f"<{self.__func__!r} of {self.__self__!r}>"
