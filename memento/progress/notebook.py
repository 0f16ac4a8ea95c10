"""Progress as HTML in a notebook, through IPython's own display: neither widgets nor scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from memento.events import Activity, Counts, Event, Failed, Notice, RunFinished, RunProgressed, RunStarted
from memento.progress.lines import LISTED_OF_EACH, FailureLines, Printer, noticed
from memento.wording import duration, ending, one_line, standing

SHORTEST, LONGEST = 0.5, 10.0
RUNNING_SHOWN = 8
GROUPS_SHOWN = 20


class NotebookProgress:
    """One display, updated in place: a bar, what is running, and failures by error; at the end the totals.

    It is updated twice a second at first, later every hundredth of the time so far up to ten seconds: a notebook keeps
    up with a run of days.
    """

    hears: tuple[type[Event], ...] = (RunStarted, RunProgressed, Failed, RunFinished, Notice)

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._failures = FailureLines(Printer(None))
        self._notices: list[str] = []
        self._drawn = 0.0
        self._display: Any = None

    def handle(self, event: Event) -> None:
        """Update the display when it is due."""
        match event:
            case RunProgressed():
                if event.elapsed - self._drawn >= min(max(SHORTEST, event.elapsed / 100), LONGEST):
                    self._drawn = event.elapsed
                    self._show(_bar(event.counts), standing(event.counts, event.left), _running(event.running))
            case RunStarted():
                self._drawn = event.elapsed
            case Failed():
                self._failures.heard(event)
            case Notice():
                self._notices.append(noticed(event))
            case RunFinished():
                lines = ending(event)
                self._show(_bar(event.counts), "\n".join(lines), "")
                self._reset()

    def close(self) -> None:
        """Nothing is left to do: the display stays as it is."""

    def _show(self, bar: str, text: str, running: str) -> None:
        from IPython.display import display

        notices = "".join(f"<div>{escape(notice)}</div>" for notice in self._notices)
        words = escape(text).replace("\n", "<br>")
        failures = self._failures.groups
        html = f"<div>{bar} {words}{running}{notices}{_failed(failures)}</div>"
        plain = "\n".join([text, *(f"  {line}" for group in failures[:GROUPS_SHOWN] for line in group.lines())])
        bundle = {"text/html": html, "text/plain": plain}
        if self._display is None:
            self._display = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._display.update(bundle, raw=True)


def _bar(counts: Counts) -> str:
    """Return the bar as three coloured stretches: not a `<progress>`, which can show no failures."""
    total = counts.total or 1
    good = 100 * (counts.stored + counts.succeeded) / total
    bad = 100 * counts.failed / total
    stretches = "".join(
        f'<div style="width:{width:.2f}%;background:{colour}"></div>'
        for width, colour in ((good, "#3a923a"), (bad, "#c03d3e"))
        if width
    )
    style = "display:inline-flex;width:16em;height:.8em;background:#8884;vertical-align:middle"
    values = f'aria-valuenow="{counts.done}" aria-valuemax="{counts.total}"'
    return f'<div role="progressbar" {values} style="{style}">{stretches}</div>'


def _running(activities: Sequence[Activity]) -> str:
    if not activities:
        return ""
    shown = []
    for activity in activities[:RUNNING_SHOWN]:
        steps = f" {activity.done:g}/{activity.total:g}" if activity.total else ""
        shown.append(one_line(activity.label, 80) + steps)
    more = f" and {len(activities) - RUNNING_SHOWN} more" if len(activities) > RUNNING_SHOWN else ""
    return f'<div style="opacity:.7">running: {escape("; ".join(shown))}{more}</div>'


def _failed(groups: Sequence[Any]) -> str:
    if not groups:
        return ""
    rows = "".join(_group(group) for group in groups[:GROUPS_SHOWN])
    more = f"<div>and {len(groups) - GROUPS_SHOWN} more errors</div>" if len(groups) > GROUPS_SHOWN else ""
    return f'<div style="color:#c03d3e">failures:</div>{rows}{more}'


def _group(group: Any) -> str:
    title, *configurations = group.lines(LISTED_OF_EACH)
    items = "".join(f"<li>{escape(line.strip())}</li>" for line in configurations)
    example = group.examples[0]
    spent = f"the first after {duration(example.duration)}"
    printed = "\n".join(one_line(line) for line in example.log.splitlines()[-5:])
    log = f"<pre>{escape(printed)}</pre>" if printed.strip() else ""
    return f"<details><summary>{escape(title)}</summary><ul>{items}</ul><div>{spent}</div>{log}</details>"
