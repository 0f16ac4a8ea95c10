"""Notifications as lines in a file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TextIO

from memento.errors import OptionError
from memento.events import Failed
from memento.notifications.base import MessageProvider
from memento.notifications.message import Notification


class FileSystemNotificationProvider(MessageProvider):
    """Appends a line for each event to a file; a failure's traceback follows, indented.

    Args:
        filepath: Where to; a relative path is taken from today's working directory, and missing folders are made.
            An open text file is written to and flushed, never closed.

    Raises:
        OptionError: it is neither.

    Example:
        >>> import io
        >>> log = io.StringIO()
        >>> FileSystemNotificationProvider(log).task_completed()
        >>> log.getvalue()[:14]
        'Task completed'
    """

    def __init__(self, filepath: str | Path | TextIO = "logs.txt") -> None:
        if not isinstance(filepath, str | Path) and not callable(getattr(filepath, "write", None)):
            raise OptionError(
                f"filepath={filepath!r} is neither a path nor an open text file; write for example 'logs.txt'",
                option="filepath",
                value=filepath,
            )
        # Absolute from the start: an experiment in the same process may change the working directory.
        self.filepath = Path(filepath).absolute() if isinstance(filepath, str | Path) else filepath

    def __repr__(self) -> str:
        return f"FileSystemNotificationProvider({self.filepath!r})"

    def deliver(self, notification: Notification) -> None:
        """Append the entry in one write."""
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        entry = f"{notification.line} [{now}]\n{_traceback(notification)}"
        if not isinstance(self.filepath, Path):
            self.filepath.write(entry)
            self.filepath.flush()
            return
        self.filepath.parent.mkdir(parents=True, exist_ok=True)
        with self.filepath.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(entry)


def _traceback(notification: Notification) -> str:
    event = notification.event
    if not isinstance(event, Failed):
        return ""
    return "".join(f"    {line}\n" for line in event.failure.traceback.splitlines())
