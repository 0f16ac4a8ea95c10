"""What a program has set on modules of the project: its workers, which import them anew, have it set there as well.

Else what counts as the code of an experiment here, `conf.RATE = 2` included, would not be what a worker runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from memento.hashing.inside import is_plain
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
        there = vars(owner).get(name)
        # What is the same stays: others in the module may hold it too.
        if there is not value and not (is_plain(there) and is_plain(value) and digest(there) == digest(value)):
            setattr(owner, name, value)
