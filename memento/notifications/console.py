"""Notifications as lines on standard output."""

from __future__ import annotations

import sys

from memento.notifications.base import MessageProvider
from memento.notifications.message import Notification
from memento.wording import encodable


class ConsoleNotificationProvider(MessageProvider):
    """Prints a line for each event, and is told each one.

    Example:
        >>> ConsoleNotificationProvider().all_tasks_completed()
        All tasks completed
    """

    def deliver(self, notification: Notification) -> None:
        """Print the line; it goes above a progress bar on the same terminal."""
        stream = sys.stdout
        line = encodable(notification.line, stream)
        bars = sys.modules.get("tqdm.std")
        if bars is not None and stream.isatty():
            # Without the lock: making it would fix the start method of multiprocessing for the whole process.
            bars.tqdm.write(line, file=stream, nolock=True)
        else:
            stream.write(line + "\n")
            stream.flush()
