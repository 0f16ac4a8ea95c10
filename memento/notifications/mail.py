"""Notifications by e-mail, over checked TLS.

The standard library's mail modules take 40 ms to import, so they wait for the first mail.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from memento.errors import NotificationError, OptionError
from memento.notifications.base import MessageProvider
from memento.notifications.message import Notification
from memento.notifications.policy import DigestPolicy
from memento.wording import one_line

if TYPE_CHECKING:
    import smtplib
    import ssl
    from email.message import EmailMessage


@dataclass(frozen=True)
class SmtpConfiguration:
    """How to reach a mail server; the password shows neither in `repr` nor in pickles.

    Args:
        host: Its name, which its certificate must carry.
        port: 465 for TLS from the start; else (usually 587) the connection is upgraded by STARTTLS.
        username: Who logs in (None: nobody does).
        password: Their password.
        require_tls: Whether to refuse a server that offers no TLS.

    Raises:
        OptionError: the port is no number.

    Example:
        >>> SmtpConfiguration("smtp.example.org", 587, "ada", "hunter2")
        SmtpConfiguration(host='smtp.example.org', port=587, username='ada', require_tls=True)
    """

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    require_tls: bool = True

    def __post_init__(self) -> None:
        if type(self.port) is not int:
            raise OptionError(f"port={self.port!r} is not a whole number, such as 587", option="port", value=self.port)

    def __reduce__(self) -> tuple[Any, ...]:
        return SmtpConfiguration, (self.host, self.port, self.username, None, self.require_tls)

    def __copy__(self) -> SmtpConfiguration:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SmtpConfiguration:
        return self


class EmailNotificationProvider(MessageProvider):
    """Sends mails: the first failure at once, then digests, and one at the end (see `policy`).

    Args:
        smtp: How to reach the server; or an `smtplib.SMTP` that is connected, for which its maker answers.
        from_addr: The sender's address.
        to_addrs: The readers' address or addresses.
        context: How certificates are checked, where the system's authorities are not enough.
        timeout: Seconds to wait for the server at each step.
        policy: When to send; each failure by its own mail is `DigestPolicy(first=None)`.

    Raises:
        OptionError: an address that cannot be one, or a server in words only.

    Example:
        >>> smtp = SmtpConfiguration("smtp.example.org", 587, "ada", "hunter2")
        >>> mails = EmailNotificationProvider(smtp, "ada@example.org", ["ada@example.org", "bob@example.org"])
        >>> mails.create_message("All tasks completed", "…")["To"]
        'ada@example.org, bob@example.org'
    """

    policy = DigestPolicy()

    def __init__(
        self,
        smtp: SmtpConfiguration | smtplib.SMTP,
        from_addr: str,
        to_addrs: str | Sequence[str],
        *,
        context: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        policy: DigestPolicy | None = None,
    ) -> None:
        if isinstance(smtp, str | type) or smtp is None:
            raise OptionError(
                f"smtp={smtp!r} is no connection to a mail server; "
                "write SmtpConfiguration('smtp.example.org', 587, ...)",
                option="smtp",
                value=smtp,
            )
        self._smtp = smtp
        self._context = context
        self._timeout = timeout
        self.from_addr = _address(from_addr, "from_addr")
        several = [to_addrs] if isinstance(to_addrs, str) else list(to_addrs)
        if not several:
            raise OptionError("to_addrs is empty: give the address to send to", option="to_addrs", value=to_addrs)
        self.to_addrs = tuple(_address(address, "to_addrs") for address in several)
        if policy is not None:
            self.policy = policy

    def __repr__(self) -> str:
        server = self._smtp if isinstance(self._smtp, SmtpConfiguration) else "<connected SMTP>"
        return f"{type(self).__name__}({server!r}, {self.from_addr!r}, {self.to_addrs!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_context": None}

    def create_message(self, subject: str, content: str) -> EmailMessage:
        """Return the mail to send; override it to add headers or another layout."""
        from email.message import EmailMessage
        from email.utils import format_datetime, localtime, make_msgid, parseaddr

        message = EmailMessage()
        # A line break would begin a header of the attacker's choice: an error message is a stranger's text.
        message["Subject"] = _showable(one_line(subject, 160))
        message["From"] = self.from_addr
        message["To"] = ", ".join(self.to_addrs)
        message["Date"] = format_datetime(localtime())
        domain = parseaddr(self.from_addr)[1].rpartition("@")[2]
        message["Message-ID"] = make_msgid(domain=domain if domain.isascii() and domain else "localhost")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(_showable(content))
        return message

    def deliver(self, notification: Notification) -> None:
        """Send a mail.

        Raises:
            NotificationError: it could not be sent; the message names no password.
        """
        from memento.notifications.smtp import send

        content = f"{notification.text}\n\nSent by memento on {platform.node()}.\n"
        problem = send(self._smtp, self.create_message(notification.title, content), self._context, self._timeout)
        if problem:
            raise NotificationError(problem)


def _address(address: str, option: str) -> str:
    if not isinstance(address, str) or not address.strip() or any(ord(c) < 32 or ord(c) == 127 for c in address):
        raise OptionError(
            f"{option}: {address!r} is not an address; write it as 'name@example.org'", option=option, value=address
        )
    return address


def _showable(content: str) -> str:
    """Return `content` without what a mail cannot carry: control characters and lone surrogates."""
    kept = "".join(char for char in content if char in "\n\t" or not (ord(char) < 32 or ord(char) == 127))
    return kept.encode("utf-8", "backslashreplace").decode("utf-8")
