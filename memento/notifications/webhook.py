"""Notifications as JSON by POST, which Slack and its like understand.

The standard library's HTTP modules take 30 ms to import, so they wait for the first notification.
"""

from __future__ import annotations

import ipaddress
import json
import math
import time
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from memento.error_groups import ErrorGroup
from memento.errors import NotificationError, OptionError
from memento.events import Failed, RunFinished, Succeeded
from memento.given import number, seconds, whole
from memento.notifications.base import MessageProvider
from memento.notifications.message import Notification
from memento.notifications.policy import DigestPolicy, FailureDigest, RunSummary
from memento.notifications.secret import Secret
from memento.wording import one_line

if TYPE_CHECKING:
    import ssl

LONGEST_WAIT = 30.0
LONGEST_TEXT = 3000


class WebhookNotificationProvider(MessageProvider):
    """Posts JSON: `text` for people (as Slack reads it), and the same in fields for programs.

    The fields are `event`, `experiment`, `configuration`, `status`, `error`, `groups`, `counts`, `seconds`, `duration`
    and `left`, as far as they apply. Only scheme and host of the address are ever shown.

    Args:
        url: Where to; https, or http on this machine.
        headers: Further headers, for example an authorization.
        timeout: Seconds to wait for the server at each step.
        retries: How often to try again when the server cannot be reached or says that it is its own fault.
        backoff: Seconds before the first retry, doubled before each further one.
        context: How certificates are checked, where the system's authorities are not enough.
        policy: When to post; see `DigestPolicy`.

    Raises:
        OptionError: an address, a header or a number that cannot be used.

    Example:
        >>> WebhookNotificationProvider("https://hooks.example.org/services/T01/abcdef")
        WebhookNotificationProvider('https://hooks.example.org/…')
    """

    policy = DigestPolicy()

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: float = 1.0,
        context: ssl.SSLContext | None = None,
        policy: DigestPolicy | None = None,
    ) -> None:
        self._where = _checked(url)
        self._url = Secret(url)
        self._headers = {name: Secret(value) for name, value in _checked_headers(headers or {}).items()}
        self._timeout = seconds("timeout", timeout)
        self._retries = whole("retries", retries, 0)
        self._backoff = number("backoff", backoff, 0)
        self._context = context
        if policy is not None:
            self.policy = policy

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._where + '/…'!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_context": None}

    def deliver(self, notification: Notification) -> None:
        """Post the notification, again after a pause when that may help.

        Raises:
            NotificationError: it could not be posted; the message names neither the path nor a header.
        """
        from memento.notifications.posting import post

        url = self._url.reveal()
        headers = {name: value.reveal() for name, value in self._headers.items()}
        body = json.dumps(payload(notification)).encode()
        wait = self._backoff
        for attempt in range(self._retries + 1):
            problem, pause = post(url, body, headers, self._timeout, self._context)
            if problem is None:
                return
            if pause is None or attempt == self._retries:
                break
            time.sleep(min(max(wait, pause), LONGEST_WAIT))
            wait *= 2
        raise NotificationError(f"the webhook at {self._where} {problem}")


def payload(notification: Notification) -> dict[str, Any]:
    """Return what is posted for a notification."""
    event = notification.event
    fields: dict[str, Any] = {
        "text": _escaped(notification.text[:LONGEST_TEXT]),
        "event": notification.what,
        "experiment": notification.experiment,
    }
    if event is None:
        return fields
    counts = event.counts
    names = ("total", "done", "stored", "succeeded", "failed", "cancelled", "running", "waiting")
    fields |= {"counts": {name: getattr(counts, name) for name in names}, "seconds": event.elapsed, "left": event.left}
    if isinstance(event, Succeeded | Failed):
        fields |= {"configuration": _parameters(event.config), "key": event.key, "duration": event.duration}
        fields |= {"attempt": event.attempt}
    if isinstance(event, Failed):
        failure = event.failure
        fields |= {"status": event.status.value}
        fields |= {"error": {"type": failure.type, "message": failure.message, "traceback": failure.traceback}}
    if isinstance(event, FailureDigest | RunSummary):
        fields |= {"groups": [_group(group) for group in event.groups]}
    if isinstance(event, RunFinished):
        fields |= {"interrupted": event.interrupted, "stopped": event.stopped, "resume": event.resume}
    return fields


def _group(group: ErrorGroup) -> dict[str, Any]:
    example = _parameters(group.examples[0].config) if group.examples else None
    return {"type": group.type, "message": group.message, "count": group.count, "configuration": example}


def _parameters(config: Any) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in dict(config.asdict()).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.__qualname__ if isinstance(value, type) else one_line(repr(value))


def _escaped(text: str) -> str:
    """Return `text` so that Slack takes nothing in it for a command such as a mention of everybody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _checked(url: str) -> str:
    """Return scheme and host of `url`, or refuse it without quoting the rest of it, which is a secret."""
    scheme, host, where = _split(url)
    if scheme not in ("http", "https") or not host:
        raise OptionError(
            "url: not an address of the form https://host/path (not shown here, as it may hold a token)", option="url"
        )
    if scheme == "http" and not is_here(host):
        raise OptionError(f"url: http to {host} would send the notification in the clear; use https", option="url")
    return where


def _split(url: str) -> tuple[str, str, str]:
    if not isinstance(url, str) or not url.isascii() or any(ord(char) <= 32 or ord(char) == 127 for char in url):
        return "", "", ""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "", "", ""
    if "@" in parts.netloc:
        return "", "", ""
    shown = f"[{host}]" if ":" in host else host
    return parts.scheme, host, f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def is_here(host: str) -> bool:
    """Return whether `host` is this machine, so that nothing sent to it crosses a network."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if any(ord(char) < 32 or ord(char) in (127, 58) for char in name) or any(char in value for char in "\r\n\0"):
            raise OptionError(f"headers: {name!r} has a name or a value that no header can have", option="headers")
        if not value.isascii() or not name.isascii():
            raise OptionError(f"headers: {name!r} has characters beyond ASCII; encode them first", option="headers")
    return dict(headers)
