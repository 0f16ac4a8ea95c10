"""What becomes of remembered values that older code gave: none is used where what is being computed will be kept.

What an experiment computes is stored as a result of today's code, and so is what a function that remembers computes.
Neither would be, if something that they call gave them what older code had computed.
"""

from __future__ import annotations

from contextvars import ContextVar, Token

from memento.flights import is_computing

_of_run: ContextVar[str] = ContextVar("memento_code_change", default="")
_of_process = ""


def enter(code_change: str) -> Token[str]:
    """Count from now on, in this thread, as code of an experiment whose run says `code_change`; see `leave`."""
    return _of_run.set(code_change)


def leave(entered: Token[str]) -> None:
    """Count as what this thread did before it entered."""
    _of_run.reset(entered)


def stay(code_change: str) -> None:
    """Have all threads of this process, which does nothing else, count as an experiment's."""
    global _of_process
    _of_process = code_change


def code_change_here() -> str:
    """Return what functions that remember do with outdated values, where they were not told.

    Example:
        >>> code_change_here()
        'warn'
        >>> entered = enter("warn")
        >>> code_change_here()
        'rerun'
        >>> leave(entered)
    """
    run = _of_run.get() or _of_process
    if run or is_computing():
        return "ignore" if run == "ignore" else "rerun"
    return "warn"
