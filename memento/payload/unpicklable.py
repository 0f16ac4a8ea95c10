"""Names the part of a value that cannot be pickled, and the type that cannot be unpickled."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from memento.payload.home import pickler

if TYPE_CHECKING:
    from typing_extensions import Buffer

_DEEPEST, _WIDEST = 12, 1000
_HELPERS = ("cloudpickle", "copyreg", "builtins", "functools", "_codecs", "numpy", "memento.payload")


def culprit(value: Any, good: Callable[[Any], bool] | None = None) -> tuple[str, Any]:
    """Return the path to the innermost part of `value` that cannot be pickled, such as ``['model'].lock``.

    With `good` it is the innermost part of which that is not true.
    """
    good = good or is_picklable
    path = ""
    for _ in range(_DEEPEST):
        for step, part in _parts(value):
            if not good(part):
                path, value = path + step, part
                break
        else:
            break
    return path, value


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"[{key!r}]", part) for key, part in list(value.items())[:_WIDEST]]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", part) for index, part in enumerate(value[:_WIDEST])]
    if isinstance(value, type) or callable(value):
        return []
    return [(f".{name}", part) for name, part in list(getattr(value, "__dict__", {}).items())[:_WIDEST]]


def is_picklable(value: Any, kind: type[Any] | None = None) -> bool:
    """Return whether the pickler `kind`, or that for results, takes `value`."""
    try:
        (kind or pickler())(_Nowhere(), protocol=5, buffer_callback=lambda buffer: None).dump(value)
    except Exception:
        return False
    return True


class _Nowhere:
    """A file that forgets what is written to it."""

    def write(self, data: object) -> None:
        """Forget `data`."""


class _Naming(pickle.Unpickler):
    """Unpickles and remembers the last type it was asked for, which is the one to blame when it fails."""

    last = "an object"
    of_script = ""

    def find_class(self, module: str, name: str) -> Any:
        """Return what is called `name`, and remember it."""
        if not module.startswith(_HELPERS):
            self.last, self.of_script = f"{module}.{name}", ""
        found = super().find_class(module, name)
        return partial(self._make_class, found) if name in ("_make_skeleton_class", "class_of_script") else found

    def _make_class(self, make: Callable[..., type], origin: Any, name: str, *args: Any) -> type:
        self.of_script = name
        made = make(origin, name, *args)
        self.last = made.__qualname__
        return made


def blamed(data: memoryview, buffers: Iterable[Buffer]) -> str:
    """Return the name of the type on which unpickling fails, found by doing it once more."""
    naming = _Naming(BytesIO(data), buffers=buffers)
    with suppress(Exception):
        naming.load()
    return naming.last


def blamed_of_script(data: bytes) -> str:
    """Return the name of the class of a script on which unpickling fails; empty if it is something else."""
    naming = _Naming(BytesIO(data))
    with suppress(Exception):
        naming.load()
    return naming.of_script
