"""What progress says in lines, and a printer that never fails: each failure once, all of them grouped at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from memento.error_groups import ErrorGroup, ErrorGroups
from memento.events import Failed, Notice, RunFinished, RunStarted
from memento.wording import duration, encodable, ending, label, one_line, plural

SHOWN_AT_ONCE = 20
LISTED_OF_EACH = 10
LAST_LINES = 5
RED, DIM, PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"


class Printer:
    """Writes lines to a stream in the characters that it knows; falls silent when it is closed."""

    def __init__(self, stream: Any, *, colours: bool = False) -> None:
        self.stream = stream
        self.colours = colours
        self.silent = stream is None

    def print(self, lines: Iterable[str]) -> None:
        """Write `lines`, all in one write."""
        text = "".join(f"{line}\n" for line in lines)
        if self.silent or not text:
            return
        try:
            self.stream.write(self.writable(text))
            self.stream.flush()
        except (OSError, ValueError):  # a closed pipe, a closed file
            self.silent = True

    def writable(self, text: str) -> str:
        """Return `text` with what the stream cannot encode escaped."""
        return encodable(text, self.stream)

    def coloured(self, text: str, colour: str) -> str:
        """Return `text` in `colour` where colours are wanted."""
        return f"{colour}{text}{PLAIN}" if self.colours else text


class FailureLines:
    """Remembers failures: shows the first ones as they come, and all of them, grouped, at the end."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._groups = ErrorGroups(examples=LISTED_OF_EACH)

    def heard(self, event: Failed) -> list[str]:
        """Return what to print of a failure now; nothing when it is tried again, or after the first twenty."""
        if event.will_retry:
            return []
        self._groups.add(event)
        if self._groups.total > SHOWN_AT_ONCE:
            more = "further failures are counted and listed at the end"
            return [self._printer.coloured(more, DIM)] if self._groups.total == SHOWN_AT_ONCE + 1 else []
        attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
        spent = self._printer.coloured(f"(after {duration(event.duration)}{attempt})", DIM)
        error = one_line(event.failure.title, 200)
        return [f"{self._printer.coloured('failed', RED)}  {label(event.config)}", f"        {error} {spent}"]

    def closing(self, event: RunFinished) -> list[str]:
        """Return the closing lines: failures by error, totals, and how to go on."""
        groups = self._groups.snapshot()
        lines = []
        if groups:
            lines.append(self._printer.coloured(f"{plural(self._groups.total, 'failure')}:", RED))
        for place, group in enumerate(groups):
            lines += [f"  {line}" for line in group.lines(LISTED_OF_EACH)]
            lines += _last_output(group) if place < 3 else []
        return [*lines, *ending(event)]

    @property
    def groups(self) -> tuple[ErrorGroup, ...]:
        """The failures so far, by error."""
        return self._groups.snapshot()


def _last_output(group: ErrorGroup) -> list[str]:
    """Return the end of what the first experiment of a group had printed."""
    printed = [line for line in group.examples[0].log.splitlines() if line.strip()][-LAST_LINES:]
    return [f"    its last output{' (of the first)' if group.count > 1 else ''}:", *_quoted(printed)] if printed else []


def _quoted(lines: list[str]) -> list[str]:
    return [f"      | {one_line(line, 200)}" for line in lines]


def opening(event: RunStarted) -> str:
    """Return what is about to be done."""
    counts = event.counts
    waiting = counts.total - counts.done
    before = f", {counts.stored:,} stored" if counts.stored else ""
    failed = f" ({event.failed_before:,} failed before)" if event.failed_before else ""
    workers = plural(event.workers, "worker")
    what = one_line(event.name)
    return f"{what}: {plural(counts.total, 'configuration')}{before}, {waiting:,} to run{failed} on {workers}"


def noticed(event: Notice) -> str:
    """Return a notice as a line."""
    return f"note: {one_line(event.message, 1000)}"
