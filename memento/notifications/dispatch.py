"""Tells a provider what happens in a run, on a thread of its own.

::

    run's thread                            provider's thread
    handle(event) ──▶ queue (bounded) ────▶ provider.task_failure(event) …
             └─full, or after the first──▶ error groups ──due──▶ one FailureDigest

Guarantees: `handle` never waits for the provider; no failure is lost, at worst it is only counted in its group;
successes are dropped when the provider does not keep up; what the provider raises is reported once, from
`handle` or `close`, so on the run's own thread.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from memento.error_groups import ErrorGroups
from memento.events import Event, Failed, RunFinished, RunStarted, Succeeded
from memento.notifications.base import calls
from memento.notifications.policy import EVERY_EVENT, DigestPolicy, FailureDigest, RunSummary
from memento.user_warnings import report as warn
from memento.wording import one_line, plural

ROOM = 200
METHODS: dict[str, type[Event]] = {
    "run_started": RunStarted,
    "task_completed": Succeeded,
    "task_failure": Failed,
    "task_retried": Failed,
    "all_tasks_completed": RunFinished,
}


class ProviderListener:
    """A `Listener` that passes on to `provider` what it wants to hear.

    Args:
        provider: A `NotificationProvider`, or anything with some of its methods.
        policy: When to tell it of failures (None: as the provider's class says).
        notify_on_complete: Whether to call `all_tasks_completed`.
        patience: Seconds that `close` waits for what is still to be told.
        report: Told, in words, of the first problem with the provider; a warning by default.

    Example:
        >>> from memento.notifications import ConsoleNotificationProvider
        >>> ProviderListener(ConsoleNotificationProvider())
        <ProviderListener of ConsoleNotificationProvider>
    """

    def __init__(
        self,
        provider: Any,
        policy: DigestPolicy | None = None,
        *,
        notify_on_complete: bool = True,
        patience: float = 10.0,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._name = type(provider).__name__
        self._policy: DigestPolicy = policy or getattr(provider, "policy", None) or EVERY_EVENT
        self._patience = patience
        self._report = report or warn
        wanted = {name: _call(provider, name, self._policy) for name in METHODS}
        self._calls = {name: call for name, call in wanted.items() if call is not None}
        if not notify_on_complete:
            self._calls.pop("all_tasks_completed", None)
        self._hears = tuple({METHODS[name] for name in self._calls} | ({Failed} if self._summarises else set()))
        self._changed = threading.Condition()
        self._queue: deque[tuple[str, Event]] = deque()
        self._every_failure = ErrorGroups()
        self._held_back = ErrorGroups()
        self._latest = Event()
        self._told_at_once = 0
        self._due = 0.0
        self._interval = 0.0 if self._policy.first is None else self._policy.every
        self._closing = False
        self._problem: str | None = None
        self._reported = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<ProviderListener of {self._name}>"

    @property
    def _summarises(self) -> bool:
        return "all_tasks_completed" in self._calls

    @property
    def hears(self) -> tuple[type[Event], ...]:
        """The types of events that some method of the provider is for."""
        return self._hears

    def handle(self, event: Event) -> None:
        """Take note of `event`; returns at once."""
        with self._changed:
            self._take(event)
            if self._thread is None and (self._queue or self._held_back.total):
                self._thread = threading.Thread(target=self._work, name="memento-notifications", daemon=True)
                self._thread.start()
            self._changed.notify()
        self._report_problem()

    def close(self) -> None:
        """Tell what is left to tell, for at most `patience` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(min(self._patience, threading.TIMEOUT_MAX))
            with self._changed:
                self._abandon()
        self._report_problem()

    def _take(self, event: Event) -> None:
        match event:
            case Failed(will_retry=True):
                self._offer("task_retried", event)
            case Failed():
                self._take_failure(event)
            case RunFinished() if self._summarises:
                self._queue.append(("all_tasks_completed", self._summary(event)))
                self._every_failure, self._held_back = ErrorGroups(), ErrorGroups()
            case RunStarted() if "run_started" in self._calls:
                self._queue.append(("run_started", event))
            case Succeeded():
                self._offer("task_completed", event)

    def _offer(self, method: str, event: Event) -> None:
        """Queue what may be left out, unless the provider is too far behind."""
        if method not in self._calls:
            return
        if len(self._queue) < ROOM:
            self._queue.append((method, event))
        else:
            self._note("is slow: some successes and retries are not told")

    def _take_failure(self, event: Failed) -> None:
        self._every_failure.add(event)
        if "task_failure" not in self._calls:
            return
        first = self._policy.first
        if (first is None or self._told_at_once < first) and len(self._queue) < ROOM:
            self._told_at_once += 1
            self._queue.append(("task_failure", event))
            self._due = time.monotonic() + self._interval
        else:
            self._held_back.add(event)
            self._latest = event
            self._due = self._due or time.monotonic() + self._interval

    def _summary(self, event: RunFinished) -> RunSummary:
        return RunSummary(
            counts=event.counts,
            elapsed=event.elapsed,
            left=event.left,
            name=event.name,
            interrupted=event.interrupted,
            stopped=event.stopped,
            resume=event.resume,
            groups=self._every_failure.snapshot(),
        )

    def _work(self) -> None:
        while (delivery := self._next()) is not None:
            method, event = delivery
            try:
                self._calls[method](event)
            except BaseException as error:  # also SystemExit: this thread must outlive whatever the provider does
                with self._changed:
                    self._note(f"failed: {type(error).__name__}: {one_line(error, 400)}")

    def _next(self) -> tuple[str, Event] | None:
        """Return what to tell next, waiting for it; None when there is nothing more."""
        with self._changed:
            while True:
                if self._queue:
                    return self._queue.popleft()
                now = time.monotonic()
                if self._held_back.total and (self._closing or now >= self._due):
                    return "task_failure", self._digest(now)
                if self._closing:
                    return None
                # As long as a lock can wait at most: a digest may be due never.
                self._changed.wait(min(self._due - now, threading.TIMEOUT_MAX) if self._held_back.total else None)

    def _digest(self, now: float) -> FailureDigest:
        held, self._held_back = self._held_back, ErrorGroups()
        self._interval = min(self._interval * self._policy.growth, self._policy.longest)
        self._due = now + self._interval
        latest = self._latest
        return FailureDigest(
            counts=latest.counts, elapsed=latest.elapsed, left=latest.left, groups=held.snapshot(), failures=held.total
        )

    def _abandon(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            return
        untold = len(self._queue) + 1 + (1 if self._held_back.total else 0)
        self._queue.clear()
        self._held_back = ErrorGroups()
        self._note(f"did not finish within {self._patience:g} s: {plural(untold, 'notification')} may be missing")

    def _note(self, problem: str) -> None:
        if self._problem is None:
            self._problem = (
                f"the notification provider {self._name} {problem} (further problems with it are not reported)"
            )

    def _report_problem(self) -> None:
        if self._problem is None or self._reported:
            return
        self._reported = True
        self._report(self._problem)


class PartOf:
    """A `Listener` that tells `whole` of one of several runs: the end of this one is not the end of what it hears."""

    def __init__(self, whole: ProviderListener) -> None:
        self._whole = whole

    @property
    def hears(self) -> tuple[type[Event], ...]:
        """What `whole` hears, without the end."""
        return tuple(kind for kind in self._whole.hears if kind is not RunFinished)

    def handle(self, event: Event) -> None:
        """Take note of `event`; returns at once."""
        self._whole.handle(event)

    def close(self) -> None:
        """Leave `whole` to hear of the next run."""


def _call(provider: Any, name: str, policy: DigestPolicy) -> Callable[[Event], None] | None:
    """Return how to call a method of `provider` with an event, or None when there is no need to."""
    method = getattr(provider, name, None)
    when = calls(method)
    if method is None or when == "never" or (when == "on request" and not policy.successes):
        return None
    return method if _takes_event(method) else lambda event: method()


def _takes_event(method: Callable[..., Any]) -> bool:
    """Whether `method` has a place for the event: a parameter of that name, a required one, or `*args`."""
    try:
        parameters = inspect.signature(method).parameters.values()
    except (TypeError, ValueError):  # some callables of C extensions have none
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(
        parameter.kind is inspect.Parameter.VAR_POSITIONAL
        or (parameter.kind in positional and (parameter.name == "event" or parameter.default is parameter.empty))
        for parameter in parameters
    )
