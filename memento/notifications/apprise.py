"""Notifications over any of the services that Apprise knows (the extra `notify`)."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from memento.errors import MissingExtra, NotificationError, OptionError
from memento.notifications.base import MessageProvider
from memento.notifications.message import Notification
from memento.notifications.policy import DigestPolicy
from memento.notifications.secret import Secret, redacted


class AppriseNotificationProvider(MessageProvider):
    """Sends notifications to the services that `urls` name; of these only the scheme is ever shown.

    Args:
        urls: Addresses as Apprise writes them, for example "tgram://bot/chat".
        policy: When to send; see `DigestPolicy`.

    Raises:
        MissingExtra: Apprise is not installed.
        OptionError: Apprise does not understand an address.

    Example:
        >>> AppriseNotificationProvider("json://localhost/secret")
        AppriseNotificationProvider('json://…')
    """

    policy = DigestPolicy()

    def __init__(self, *urls: str, policy: DigestPolicy | None = None) -> None:
        if not urls:
            raise OptionError(
                "AppriseNotificationProvider() needs at least one address, such as 'json://localhost'", option="urls"
            )
        self._urls = tuple(Secret(url) for url in urls)
        self._schemes = tuple(url.partition("://")[0] if re.match(r"\w+://", url) else "?" for url in urls)
        if policy is not None:
            self.policy = policy
        self._services()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(scheme + '://…') for scheme in self._schemes)})"

    def deliver(self, notification: Notification) -> None:
        """Send the notification to every service.

        Raises:
            NotificationError: at least one did not take it.
        """
        services = self._services()
        with _quiet_log(self._reveal()):
            sent = services.notify(title=notification.title, body=notification.text, body_format="text")
        if not sent:
            raise NotificationError(f"a service among {', '.join(self._schemes)} did not take the notification")

    def _reveal(self) -> list[str]:
        return [url.reveal() for url in self._urls]

    def _services(self) -> Any:
        apprise = _apprise()
        services = apprise.Apprise()
        urls = self._reveal()
        with _quiet_log(urls):
            for position, url in enumerate(urls):
                if not services.add(url):
                    raise OptionError(
                        f"urls[{position}] ({self._schemes[position]}://…) is not an address that Apprise understands; "
                        "see its list of services",
                        option="urls",
                    )
        return services


def _apprise() -> Any:
    try:
        return import_module("apprise")
    except ImportError:
        raise MissingExtra("apprise", "notify") from None


@contextmanager
def _quiet_log(urls: list[str]) -> Iterator[None]:
    """Keep what `urls` hold out of the logs of Apprise and of its HTTP library, which quote them."""
    secrets = {piece for url in urls for piece in _pieces(url) if len(piece) > 3}

    def redact(record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage(), secrets), ()
        return True

    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3.connectionpool")]
    for logger in loggers:
        logger.addFilter(redact)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(redact)


def _pieces(url: str) -> list[str]:
    """Return `url` and its parts, as they stand there, without percent signs, and as HTTP sends a login."""
    pieces = [url, *re.split(r"[:/@?&=]+", url)[1:]]
    login = unquote(url.partition("://")[2].rpartition("@")[0])
    return [*pieces, *map(unquote, pieces), base64.b64encode(login.encode()).decode()]
