"""Warnings, each in the name of the line of the user's that led to it, whatever lies between."""

from __future__ import annotations

import sys
import warnings

_NOT_CALLERS = ("memento", "functools")  # cached properties are called through functools


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of `message` in the name of the first caller outside of this package."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _NOT_CALLERS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def report(message: str) -> None:
    """Warn of what went wrong beside a run; where warnings are errors, print it on standard error instead.

    >>> import sys, warnings
    >>> sys.stderr, before = sys.stdout, sys.stderr
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error")
    ...     report("the mail did not go out")
    RuntimeWarning: the mail did not go out
    >>> sys.stderr = before
    """
    try:
        warn(message, RuntimeWarning)
    except Exception:  # also what a program has put in the place of `warnings.showwarning` may raise
        print(f"RuntimeWarning: {message}", file=sys.stderr)
