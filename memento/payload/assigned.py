"""What a program has set on modules of the project: its workers, which import them anew, have it set there as well.

Else what counts as the code of an experiment here, `conf.RATE = 2` included, would not be what a worker runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from memento.hashing.held import is_settled
from memento.hashing.keys import digest


def assign(assigned: Iterable[tuple[str, str, Any]]) -> None:
    """Set what is not so already; each is the name of a module, a dotted path in it, and the value.

    Raises:
        Exception: whatever importing a module raises, or there is no such place in it.
    """
    for module, path, value in assigned:
        owner: Any = importlib.import_module(module)
        *around, name = path.split(".")
        for one in around:
            owner = getattr(owner, one)
        if not _is_so(getattr(owner, name, None), value):
            try:
                setattr(owner, name, value)
            except AttributeError:  # of a frozen object, which the program has made with another value
                object.__setattr__(owner, name, value)


def _is_so(there: Any, value: Any) -> bool:
    """Return whether `there` may stay: others in its module may hold it too."""
    return there is value or (is_settled(there) and is_settled(value) and digest(there) == digest(value))
