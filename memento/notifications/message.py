"""An event in words: a title for a mail, one line for a console, a text for a reader who was not there."""

from __future__ import annotations

from dataclasses import dataclass

from memento.error_groups import ErrorGroup
from memento.events import Event, Failed, RunFinished, Succeeded
from memento.notifications.policy import FailureDigest, RunSummary
from memento.wording import duration, ending, label, one_line, plural, standing, totals

HEADINGS = {
    "task_completed": "Task completed",
    "task_failure": "Task failed",
    "task_retried": "Task retried",
    "all_tasks_completed": "All tasks completed",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """What is to be told: `what` is the provider's method, `title` and `line` are one line each.

    `text` is complete, over several lines. `event` is None when a provider's method was called by hand.
    """

    what: str
    title: str
    line: str
    text: str
    event: Event | None = None
    experiment: str | None = None


def describe(what: str, event: Event | None, experiment: str | None = None) -> Notification:
    """Return the notification of `event` for the provider's method `what`."""
    heading = HEADINGS[what]
    if isinstance(event, RunFinished) and event.interrupted:
        heading = "Run interrupted"
    elif isinstance(event, RunFinished) and event.stopped:
        heading = "Run stopped early"
    short, line, body = _words(event)
    title = ": ".join(filter(None, (heading, short)))
    text = [title, *([f"Experiment: {experiment}"] if experiment else []), *body]
    return Notification(
        what=what,
        title=one_line(title, 160),
        line=": ".join(filter(None, (heading, line))),
        text="\n".join(text),
        event=event,
        experiment=experiment,
    )


def _words(event: Event | None) -> tuple[str, str, list[str]]:
    """Return a few words, a line, and the lines of a text."""
    match event:
        case Succeeded():
            return _success(event)
        case Failed():
            return _failure(event)
        case FailureDigest():
            return _digest(event)
        case RunFinished():
            return _end(event)
        case _:
            return "", "", []


def _success(event: Succeeded) -> tuple[str, str, list[str]]:
    progress = standing(event.counts, event.left)
    line = f"{one_line(event.config, 500)} in {duration(event.duration)} ({progress})"
    return label(event.config), line, [*_facts(event), f"Progress: {progress}"]


def _failure(event: Failed) -> tuple[str, str, list[str]]:
    error = one_line(event.failure.title, 300)
    progress = standing(event.counts, event.left)
    spent = f"after {duration(event.duration)}" + (f", attempt {event.attempt}" if event.attempt > 1 else "")
    line = f"{one_line(event.config, 500)}: {error} ({spent}; {progress})"
    body = [f"Error: {error}", *_facts(event), f"Progress: {progress}"]
    return error, line, [*body, *_details(event)]


def _facts(event: Succeeded | Failed) -> list[str]:
    return [
        f"Configuration: {one_line(event.config, 2000)}",
        f"Duration: {duration(event.duration)}",
        f"Attempt: {event.attempt}",
    ]


def _details(event: Failed) -> list[str]:
    traceback = ["", event.failure.traceback.rstrip()] if event.failure.traceback else []
    return [*traceback, *(["", "Last output:", event.log.rstrip()] if event.log.strip() else [])]


def _digest(event: FailureDigest) -> tuple[str, str, list[str]]:
    short = f"{plural(event.failures, 'more failure')}"
    progress = standing(event.counts, event.left)
    errors = "; ".join(group.title for group in event.groups[:3])
    errors += f"; and {plural(len(event.groups) - 3, 'other error')}" if len(event.groups) > 3 else ""
    return short, f"{short}: {errors} ({progress})", [f"Progress: {progress}", *_grouped(event.groups)]


def _end(event: RunFinished) -> tuple[str, str, list[str]]:
    short = totals(event.counts, event.elapsed)
    reason = f"; {one_line(event.stopped)}" if event.stopped else ""
    reason += f"; {one_line(event.interrupted)}" if event.interrupted else ""
    groups = event.groups if isinstance(event, RunSummary) else ()
    return short, short + reason, [*ending(event), *_grouped(groups)]


def _grouped(groups: tuple[ErrorGroup, ...]) -> list[str]:
    if not groups:
        return []
    lines = ["", "Failures:"]
    for group in groups:
        lines += [f"  {line}" for line in group.lines()]
    return [*lines, *(_details(groups[0].examples[0]) if groups[0].examples else [])]
