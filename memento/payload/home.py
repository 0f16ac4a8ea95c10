"""Classes of a script or notebook: they travel whole, and are found again where they come from.

A class of `__main__` can be imported nowhere else, so cloudpickle sends its definition along. Read back in the script
that defines it, that would make a second class of the same name: `isinstance` would be False, an enum's member not
itself. So what is stored is where the class comes from, its name, and its definition for everybody else.
"""

from __future__ import annotations

import functools
import io
import sys
import types
from typing import Any

from memento.hashing import naming

MAIN = "__main__"


def be_worker_of(main: str, classes: tuple[str, ...], scope: dict[str, Any]) -> None:
    """Count as a worker of the script `main`, and have the names of `scope`, its experiment's globals, in `__main__`.

    With these the standard library's pickles, and so its process pools, find the script's functions and classes.
    """
    naming.be_worker_of(main, classes)
    here = vars(sys.modules[MAIN])
    here.update({name: value for name, value in scope.items() if not name.startswith("__")})
    if scope:
        from memento.payload.children import hand_down

        hand_down(main, scope)


def main_name() -> str:
    """Return what `__main__` is called, here or in the process this one works for."""
    return naming.module_name(MAIN)


def class_of_script(origin: str, name: str, definition: bytes) -> type:
    """Return the class called `name` of the script `origin`: its own if this is that script, else one made anew.

    Pickles hold this function by its module and name, so both stay for ever.
    """
    for module, defined_in in ((MAIN, main_name()), (origin, origin)):
        found = getattr(sys.modules.get(module), name, None)
        if defined_in == origin and isinstance(found, type) and found.__module__ == module:
            return found
    import cloudpickle

    made: type = cloudpickle.loads(definition)
    return made


def dumps(value: Any) -> bytes:
    """Return `value` as bytes for other processes: what is of `__main__` travels whole, and knows its file.

    Raises:
        Exception: whatever pickling a part of it raises.
    """
    return _dumped(travelling(), value)


def dumps_to_keep(value: Any) -> bytes:
    """Return `value` as bytes to be stored: a class of `__main__` is found again in its script, and whole elsewhere.

    Raises:
        Exception: whatever pickling a part of it raises.
    """
    return _dumped(pickler(), value)


def _dumped(pickler: type[Any], value: Any) -> bytes:
    file = io.BytesIO()
    pickler(file, protocol=5).dump(value)
    return file.getvalue()


def code_of_file(filename: str, parts: tuple[Any, ...]) -> types.CodeType:
    """Return the code made of `parts`, which is found in the file `filename`.

    Pickles hold this function by its module and name, so both stay for ever.
    """
    return types.CodeType(*parts).replace(co_filename=filename)


@functools.cache
def travelling() -> type[Any]:
    """Return cloudpickle's pickler, with our way for what `functools` wraps, and with the file in which code is.

    Without that file no traceback shows the user's line. cloudpickle 3.1.3 and later leave it out, so that pickles are
    equal wherever they are made; nothing here needs that.
    """
    import cloudpickle

    from memento.payload.wrapped import KINDS, whole

    class Travelling(cloudpickle.Pickler):  # type: ignore[misc,unused-ignore]
        def reducer_override(self, value: Any) -> Any:
            if type(value) is types.CodeType:
                _, parts, *_ = self.dispatch_table[types.CodeType](value)
                return code_of_file, (value.co_filename, parts)
            if type(value) in KINDS and (made := whole(value)) is not None:
                return made
            return super().reducer_override(value)

    return Travelling


@functools.cache
def pickler() -> type[Any]:
    """Return `travelling` with our way for classes of `__main__`, and without cloudpickle's way for open files."""

    class Pickler(travelling()):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, type) and value.__module__ == MAIN and "." not in value.__qualname__:
                return class_of_script, (main_name(), value.__qualname__, dumps(value))
            if isinstance(value, io.TextIOWrapper):
                # cloudpickle would store what can be read from it, in silence.
                raise TypeError("cannot pickle an open file")
            return super().reducer_override(value)

    return Pickler
