"""What a notification provider is: a few methods, each of which may take the event or do without."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

from memento.events import Event, RunStarted
from memento.notifications.message import Notification, describe
from memento.notifications.policy import EVERY_EVENT, DigestPolicy

Method = TypeVar("Method", bound=Callable[..., None])


def never_called(method: Method) -> Method:
    """Mark a method that does nothing, so that nothing is spent on calling it."""
    method.memento_calls = "never"  # type: ignore[attr-defined]
    return method


def called_on_request(method: Method) -> Method:
    """Mark a method that is called during a run only when the policy asks for successes.

    An override does not carry the mark: who overrides `task_completed` wants to hear of each success.
    """
    method.memento_calls = "on request"  # type: ignore[attr-defined]
    return method


class NotificationProvider(ABC):
    """Is told what happens in a run.

    Each method may be written with or without the event: `def task_failure(self)` and
    `def task_failure(self, event)` both work. `policy` says when it is told about failures; the methods
    run on a thread of their own, so a slow or failing provider never slows or fails an experiment.

    Example:
        >>> from memento import Memento
        >>> class Bell(NotificationProvider):
        ...     def task_completed(self):
        ...         print("ding")
        ...     def task_failure(self, event):
        ...         print("buzz:", event.failure.message)
        ...     def all_tasks_completed(self):
        ...         print("dong")
        >>> def invert(x):
        ...     return 1 / x
        >>> memento = Memento(invert, Bell(), executor="serial")
        >>> results = memento.run({"parameters": {"x": [0]}}, on_error="return")
        buzz: division by zero
        dong
    """

    policy: DigestPolicy = EVERY_EVENT

    @abstractmethod
    @never_called
    def task_completed(self, event: Event | None = None) -> None:
        """An experiment returned; `event` is an `events.Succeeded`."""

    @abstractmethod
    @never_called
    def all_tasks_completed(self, event: Event | None = None) -> None:
        """The run is over; `event` is a `RunSummary`."""

    @abstractmethod
    @never_called
    def task_failure(self, event: Event | None = None) -> None:
        """An experiment failed for good, or several did; `event` is an `events.Failed` or a `FailureDigest`."""

    @never_called  # noqa: B027 - may be overridden, need not be
    def task_retried(self, event: Event | None = None) -> None:
        """An attempt failed and another follows; `event` is an `events.Failed`."""

    @never_called  # noqa: B027 - may be overridden, need not be
    def run_started(self, event: Event | None = None) -> None:
        """A run begins; `event` is an `events.RunStarted`."""


class DefaultNotificationProvider(NotificationProvider):
    """Does nothing; override what you want to hear.

    Example:
        >>> class Bell(DefaultNotificationProvider):
        ...     def task_failure(self):
        ...         print("ding")
        >>> Bell().task_failure()
        ding
    """

    @never_called
    def task_completed(self, event: Event | None = None) -> None:
        """Do nothing."""

    @never_called
    def all_tasks_completed(self, event: Event | None = None) -> None:
        """Do nothing."""

    @never_called
    def task_failure(self, event: Event | None = None) -> None:
        """Do nothing."""


class MessageProvider(NotificationProvider):
    """Puts each event into words; a subclass says in `deliver` where the words go.

    Example:
        >>> class Speaker(MessageProvider):
        ...     def deliver(self, notification):
        ...         print("saying:", notification.line)
        >>> Speaker().task_failure()
        saying: Task failed
    """

    experiment: str | None = None

    @abstractmethod
    def deliver(self, notification: Notification) -> None:
        """Bring a notification to its reader."""

    def run_started(self, event: Event | None = None) -> None:
        """Remember whose run it is."""
        if isinstance(event, RunStarted):
            self.experiment = event.name

    @called_on_request
    def task_completed(self, event: Event | None = None) -> None:
        """Tell of a success."""
        self._tell("task_completed", event)

    @called_on_request
    def task_retried(self, event: Event | None = None) -> None:
        """Tell of an attempt that failed and is made again."""
        self._tell("task_retried", event)

    def task_failure(self, event: Event | None = None) -> None:
        """Tell of a failure, or of several in a digest."""
        self._tell("task_failure", event)

    def all_tasks_completed(self, event: Event | None = None) -> None:
        """Tell how the run ended."""
        self._tell("all_tasks_completed", event)

    def _tell(self, what: str, event: Event | None) -> None:
        self.deliver(describe(what, event, self.experiment))


def calls(method: Any) -> str:
    """Return when a provider's method is called: "always", "on request" or "never"."""
    return str(getattr(method, "memento_calls", "always")) if callable(method) else "never"
