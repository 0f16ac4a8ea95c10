"""Ctrl-C and SIGTERM during a run: the first asks for an orderly end, the second ends at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

WATCHED = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While it is entered, signals are counted instead of ending the process.

    Only Python's main thread can watch signals; elsewhere (a run in a thread, a web server) nothing changes. With
    `inline` an experiment runs in this very thread, and Ctrl-C reaches it as the usual KeyboardInterrupt.
    """

    def __init__(self, *, inline: bool) -> None:
        self.count = 0
        self.number: int | None = None
        self._inline = inline
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in WATCHED:
                # A signal that was ignored (nohup, a shell's background job) stays ignored.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self.number = self.number or number
        if self._inline:
            raise KeyboardInterrupt

    def hold(self) -> None:
        """Raise nothing more: what is finished is being stored, and the process ends right after."""
        self._inline = False

    @property
    def name(self) -> str | None:
        """The first signal's name, None before any came."""
        return None if self.number is None else signal.Signals(self.number).name

    def raise_again(self, results: Any) -> None:
        """Raise what ends the process with the status that belongs to the signal: 130, or 143 for SIGTERM.

        It has `results`, which the caller would have returned. It is of no class of ours: only an uncaught
        KeyboardInterrupt itself, and no subclass, ends Python by the signal, by which a shell knows to stop a script.
        """
        if self.number is None:
            return
        error = SystemExit(128 + signal.SIGTERM) if self.number == signal.SIGTERM else KeyboardInterrupt()
        error.results = results  # type: ignore[union-attr]
        raise error
