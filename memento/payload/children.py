"""Processes that an experiment starts itself find the functions and classes of its script, without running that.

    experiment:  Pool(…) ── asks ──> __main__.__spec__.name: a `_Name`, text that takes the script's globals along
    its child:   unpickles the name ──> `_received` ──> runs the module of that name as `__main__`: main_of_children

multiprocessing (spawn and forkserver) would run the script itself in each child. Here it is not at hand, may be cells
of a notebook, and need not be written so that it can be run twice: children get what the worker got, by value.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from typing import Any

from memento.hashing import naming
from memento.payload.home import MAIN, dumps

MODULE = "memento.payload.main_of_children"

_sent: tuple[str, tuple[str, ...], bytes] | None = None


class _Name(str):
    """The name of the module that children run; it brings along what that puts into their `__main__`."""

    __slots__ = ("brought",)
    brought: tuple[str, tuple[str, ...], bytes]

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, self.brought


class Spec(ModuleSpec):
    """The `__spec__` of a worker's `__main__`, where its children's is to have the globals in `scope` too."""

    def __init__(self, main: str, scope: dict[str, Any]) -> None:
        self._main = main
        self._scope = scope
        super().__init__(MODULE, None)

    @property
    def name(self) -> str:
        """The name of the module to run, asked for whenever a child is about to start."""
        found = {name: value for name, value in self._scope.items() if not name.startswith("__")}
        # A lock or an open file among them, and what uses it, stay here: the child may do without.
        data = _dumped(found) or dumps({name: value for name, value in found.items() if _dumped(value)})
        name = _Name(MODULE)
        name.brought = self._main, naming.classes_of_script(), data
        return name

    @name.setter
    def name(self, name: str) -> None:
        """Leave it: it is always the same."""


def _dumped(value: Any) -> bytes | None:
    try:
        return dumps(value)
    except Exception:
        return None


def _received(main: str, classes: tuple[str, ...], data: bytes) -> str:
    """Keep what a child was sent until it can be loaded: its import path is not yet that of its parent."""
    global _sent
    _sent = main, classes, data
    return MODULE


def be_child() -> dict[str, Any]:
    """Count as a worker's child; return what its `__main__` is to have."""
    import pickle

    assert _sent is not None, "run by multiprocessing, after it has received what to run"
    main, classes, data = _sent
    naming.be_worker_of(main, classes)
    scope: dict[str, Any] = pickle.loads(data)
    return {**scope, "__spec__": Spec(main, scope)}  # for children of its own


def hand_down(main: str, scope: dict[str, Any]) -> None:
    """Have the children of this process find what is in `scope`, the globals of the script `main`."""
    sys.modules[MAIN].__spec__ = Spec(main, scope)
