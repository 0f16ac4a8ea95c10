"""What went wrong beside a run is told in a warning, which never becomes an error of the run."""

from __future__ import annotations

import sys
import warnings


def report(message: str, *, stacklevel: int = 1) -> None:
    """Warn of `message`, or print it on standard error where warnings are errors; `stacklevel` as in `warnings.warn`.

    >>> import sys, warnings
    >>> sys.stderr, before = sys.stdout, sys.stderr
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error")
    ...     report("the mail did not go out")
    RuntimeWarning: the mail did not go out
    >>> sys.stderr = before
    """
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=stacklevel + 1)
    except Exception:  # also what a program has put in the place of `warnings.showwarning` may raise
        print(f"RuntimeWarning: {message}", file=sys.stderr)
