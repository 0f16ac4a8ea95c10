"""What an experiment may have changed in its process, put back for the next one."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal.getsignal makes an enum of every answer
import contextlib
import functools
import math
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

# The functions that change the mask or a limit. They are noticed, and not the mask and limits looked at: that takes a
# system call for each, several times what there is time for after a short experiment.
CHANGING = ((os, "umask"), (resource, "setrlimit"), (resource, "prlimit"))
LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})


def notice_changes() -> None:
    """Have calls of `CHANGING` noticed from now on; to be called before the user's code, which may import them."""
    for module, name in CHANGING:
        if hasattr(module, name):
            setattr(module, name, _noticed(getattr(module, name)))


def _noticed(change: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(change)
    def noticing(*arguments: Any) -> Any:
        ProcessState.touched = True
        return change(*arguments)

    return noticing


class ProcessState:
    """What an experiment may have changed in its process and the next one must find as it was.

    Attributes:
        touched: whether the mask of new files' permissions or a limit may have been changed.
    """

    touched = False
    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGHUP, signal.SIGUSR1)

    def __init__(self) -> None:
        self._directory = os.getcwd()
        self._environment = dict(_plain_environment())
        self._import_path, self._arguments = list(sys.path), list(sys.argv)
        self._handlers = list(map(_signal.getsignal, self.SIGNALS))
        self._mask = _mask()
        self._limits = {limit: resource.getrlimit(limit)[0] for limit in LIMITS}
        ProcessState.touched = False
        # Handlers can only be set, and an experiment can only have set them, in the main thread.
        self._main = threading.current_thread() is threading.main_thread()

    def restore(self) -> None:
        """Put back working directory, environment, import path, arguments, signal handlers, mask and soft limits.

        Mask and limits where `notice_changes` has noticed a change. A limit whose hard one was lowered, which is for
        good, becomes as high as that; the priority (`os.nice`) stays.
        """
        if self._main:
            _signal.setitimer(_signal.ITIMER_REAL, 0)
            if list(map(_signal.getsignal, self.SIGNALS)) != self._handlers:
                for number, handler in zip(self.SIGNALS, self._handlers, strict=True):
                    if handler is not None:
                        signal.signal(number, handler)
        try:
            moved = os.getcwd() != self._directory
        except FileNotFoundError:
            moved = True
        if moved:
            with contextlib.suppress(OSError):
                os.chdir(self._directory)
        if _plain_environment() != self._environment:
            os.environ.clear()
            os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in self._environment.items()})
        if sys.path != self._import_path:
            sys.path[:] = self._import_path
        if sys.argv != self._arguments:
            sys.argv = list(self._arguments)
        if ProcessState.touched:
            self._restore_limits()

    def _restore_limits(self) -> None:
        os.umask(self._mask)
        for limit, before in self._limits.items():
            soft, hard = resource.getrlimit(limit)
            wanted = min(before, hard, key=_height)
            if soft != wanted:
                with contextlib.suppress(OSError, ValueError):
                    resource.setrlimit(limit, (wanted, hard))
        ProcessState.touched = False


def _mask() -> int:
    mask = os.umask(0o77)  # there is no way to only look
    os.umask(mask)
    return mask


def _height(limit: int) -> float:
    return math.inf if limit == resource.RLIM_INFINITY else limit


def _plain_environment() -> Mapping[Any, Any]:
    # The mapping below os.environ, which spares decoding every variable after every experiment.
    return getattr(os.environ, "_data", os.environ)
