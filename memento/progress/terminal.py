"""Progress as a bar on a terminal, drawn by tqdm."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import Any

from memento.events import Activity, Counts, Event, Failed, Notice, RunFinished, RunProgressed, RunStarted
from memento.progress.lines import RED, FailureLines, Printer, noticed
from memento.wording import duration, one_line, rate

REFRESH = 0.1
DELAY = 0.2
WINDOW = 60.0
LONGEST_BAR = 25
_FRAME = len("100%|| ")


class TerminalProgress:
    """A bar with done and total, rate, time left, stored, succeeded and failed, and what is running.

    Failures are printed above it, once each; when the run is over the bar gives way to the closing lines.
    """

    hears: tuple[type[Event], ...] = (RunStarted, RunProgressed, Failed, RunFinished, Notice)

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._failures = FailureLines(printer)
        self._speed = Speed()
        self._drawn = 0.0
        self._bar: Any = None

    def handle(self, event: Event) -> None:
        """Draw or print what is due."""
        match event:
            case RunProgressed():
                if event.elapsed - self._drawn >= (REFRESH if self._bar is not None else DELAY):
                    self._draw(event)
            case RunStarted():
                self._speed, self._drawn = Speed(), event.elapsed
            case Failed():
                self._above(self._failures.heard(event))
            case Notice():
                self._above([noticed(event)])
            case RunFinished():
                self.close()
                self._printer.print(self._failures.closing(event))
                self._failures = FailureLines(self._printer)

    def close(self) -> None:
        """Take the bar away."""
        bar, self._bar = self._bar, None
        if bar is not None:
            self._guarded(bar.close)
            bar.disable = (
                True  # else it would try again when it is collected, and complain of a terminal that went away
            )

    def _draw(self, event: RunProgressed) -> None:
        self._drawn = event.elapsed
        self._speed.note(event.elapsed, event.counts)
        if event.counts.total and not self._printer.silent:
            self._guarded(lambda: self._show(event))

    def _show(self, event: RunProgressed) -> None:
        if self._bar is None:
            from memento.progress.bar import Bar

            self._bar = Bar(self._printer.stream)
        columns = _width(self._printer.stream) - 1  # some terminals wrap when their last column is written
        bar = min(max(columns // 5, 1), LONGEST_BAR)
        tail = self._printer.writable(self._tail(event, columns - _FRAME - bar))
        self._bar.show(event.counts, tail, bar, columns)

    def _tail(self, event: RunProgressed, room: int) -> str:
        facts = _fitting(_facts(event, self._speed.per_second), room)
        text = ", ".join(facts)
        space = room - len(text) - 3
        if event.running and space >= 8:
            text += " | " + running(event.running, space)
        failed = f"{event.counts.failed:,} failed"
        return text.replace(failed, self._printer.coloured(failed, RED), 1) if failed in facts else text

    def _above(self, lines: list[str]) -> None:
        if self._bar is not None and lines:
            self._guarded(self._bar.clear)
        self._printer.print(lines)
        if self._bar is not None and lines and not self._printer.silent:
            self._guarded(self._bar.refresh)

    def _guarded(self, action: Any) -> None:
        if self._printer.silent:
            return
        try:
            action()
        except (OSError, ValueError):  # the terminal went away
            self._printer.silent = True


class Speed:
    """How many configurations were run per second, over the last minute."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, int]] = deque([(0.0, 0)])

    def note(self, elapsed: float, counts: Counts) -> None:
        """Remember how many were run by `elapsed`; what was in the store took no time and says nothing."""
        if elapsed - self._notes[-1][0] >= WINDOW / 100:
            self._notes.append((elapsed, counts.succeeded + counts.failed))
        while len(self._notes) > 2 and self._notes[0][0] < elapsed - WINDOW:
            self._notes.popleft()

    @property
    def per_second(self) -> float:
        """The speed; 0 while nothing is known."""
        (begin, before), (end, after) = self._notes[0], self._notes[-1]
        return (after - before) / (end - begin) if end > begin else 0.0


def _facts(event: RunProgressed, per_second: float) -> list[tuple[int, str]]:
    """Return what to say, in order, each with its rank: a lower rank gives way later on a narrow terminal."""
    counts = event.counts
    return [
        (rank, text)
        for rank, wanted, text in (
            (0, True, f"{counts.done:,}/{counts.total:,}"),
            (4, per_second > 0, rate(per_second) if per_second > 0 else ""),
            (2, event.left is not None and counts.done < counts.total, f"{duration(event.left or 0)} left"),
            (5, counts.stored > 0, f"{counts.stored:,} stored"),
            (3, counts.succeeded > 0, f"{counts.succeeded:,} ok"),
            (1, counts.failed > 0, f"{counts.failed:,} failed"),
        )
        if wanted
    ]


def _fitting(facts: list[tuple[int, str]], room: int) -> list[str]:
    """Return the texts of those facts for which there is room."""
    kept = list(facts)
    while len(kept) > 1 and len(", ".join(text for _, text in kept)) > room:
        kept.remove(max(kept))
    return [text for _, text in kept]


def running(activities: Sequence[Activity], room: int) -> str:
    """Return what is running, in at most `room` characters, with how many more there are."""
    shown: list[str] = []
    for place, activity in enumerate(activities):
        rest = len(activities) - place - 1
        reserve = len(f", +{rest}") if rest else 0
        space = room - sum(len(text) + 2 for text in shown) - reserve
        text = _activity(activity, space if not shown else 200)
        if shown and len(text) > space:
            return ", ".join(shown) + f", +{rest + 1}"
        shown.append(text)
    return ", ".join(shown)


def _activity(activity: Activity, room: int) -> str:
    steps = (
        f" {activity.done:g}/{activity.total:g}" if activity.total else (f" {activity.done:g}" if activity.done else "")
    )
    return one_line(activity.label, max(room - len(steps), 4)) + steps


def _width(stream: Any) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80
