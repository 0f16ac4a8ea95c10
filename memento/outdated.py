"""What becomes of remembered values that older code gave: none is used where what is being computed will be kept.

What an experiment computes is stored as a result of today's code, and so is what a function that remembers computes.
Neither would be, if something that they call gave them what older code had computed. They may call it in threads and
processes of their own, which do not say for whom: there it counts what goes on in this process, or in the one that
started it.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "MEMENTO_CODE_CHANGE"
"""Tells processes that are started meanwhile; empty once nothing is computed to be kept."""
_inherited = os.environ.get(VARIABLE, "")
_lock = threading.RLock()
_going_on: Counter[str] = Counter()


def _renew_lock() -> None:
    # Another thread of the parent may have held it at the fork, and is not here to give it back.
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def kept(code_change: str) -> Iterator[None]:
    """Count, inside, as what is computed to be kept, by somebody who says `code_change` of what older code gave."""
    _begin(code_change)
    try:
        yield
    finally:
        _end(code_change)


def keep_all(code_change: str) -> None:
    """Have all that this process computes from now on count as `kept`."""
    _begin(code_change)


def code_change_here() -> str:
    """Return what functions that remember do with outdated values, where they were not told.

    Example:
        >>> code_change_here()
        'warn'
        >>> with kept("warn"):
        ...     code_change_here()
        'rerun'
    """
    return _rule() or "warn"


def _rule() -> str:
    with _lock:
        return _inherited if not _going_on else "ignore" if set(_going_on) == {"ignore"} else "rerun"


def _begin(code_change: str) -> None:
    with _lock:
        _going_on[code_change] += 1
        _tell_children()


def _end(code_change: str) -> None:
    with _lock:
        _going_on[code_change] -= 1
        if not _going_on[code_change]:
            del _going_on[code_change]
        _tell_children()


def _tell_children() -> None:
    # Never taken out: a thread that copies the environment in that moment would fail for want of it.
    os.environ[VARIABLE] = _rule()
