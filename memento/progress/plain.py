"""Progress as plain lines now and then: for files, pipes and terminals that can do nothing else."""

from __future__ import annotations

from memento.events import Event, Failed, Notice, RunFinished, RunProgressed, RunStarted
from memento.progress.lines import FailureLines, Printer, noticed, opening
from memento.wording import duration, standing

FIRST, GROWTH, LONGEST = 10.0, 1.5, 300.0


class PlainProgress:
    """A line after `first` seconds, then at intervals that grow to five minutes: a night is some hundred lines.

    Args:
        printer: Where to.
        first: Seconds to the first line; infinite for none at all, so that only failures and the end are told.
    """

    hears: tuple[type[Event], ...] = (RunStarted, RunProgressed, Failed, RunFinished, Notice)

    def __init__(self, printer: Printer, *, first: float = FIRST) -> None:
        self._printer = printer
        self._failures = FailureLines(printer)
        self._first = self._interval = self._due = first

    def handle(self, event: Event) -> None:
        """Print what is due."""
        match event:
            case RunProgressed():
                if event.elapsed >= self._due:
                    self._tell(event)
            case RunStarted():
                self._interval = self._due = self._first
                if event.counts.done < event.counts.total and self._first < float("inf"):
                    self._printer.print([opening(event)])
            case Failed():
                self._printer.print(self._failures.heard(event))
            case Notice():
                self._printer.print([noticed(event)])
            case RunFinished():
                self._printer.print(self._failures.closing(event))
                self._failures = FailureLines(self._printer)

    def _tell(self, event: RunProgressed) -> None:
        self._interval = min(self._interval * GROWTH, LONGEST)
        self._due = event.elapsed + self._interval
        self._printer.print([f"{standing(event.counts, event.left)} after {duration(event.elapsed)}"])

    def close(self) -> None:
        """Nothing is left to do."""
