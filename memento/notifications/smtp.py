"""One conversation with a mail server: TLS first, then the login, then the mail. Imported when a mail is sent."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from typing import TYPE_CHECKING

from memento.notifications.secret import redacted
from memento.wording import one_line

if TYPE_CHECKING:
    from memento.notifications.mail import SmtpConfiguration

SMTPS_PORT = 465


class Refused(Exception):
    """What we ourselves find wrong with a server; its text is ours, so it holds no secret."""


def send(
    smtp: SmtpConfiguration | smtplib.SMTP, message: EmailMessage, context: ssl.SSLContext | None, timeout: float
) -> str | None:
    """Send `message`; returns what went wrong, as text: the exceptions themselves may quote the dialogue."""
    if isinstance(smtp, smtplib.SMTP):
        connection = smtp
        return _problem(lambda: _transmit(connection, message), "the given SMTP connection", "")
    server = smtp
    checks = context or ssl.create_default_context()
    return _problem(
        lambda: _converse(server, message, checks, timeout),
        f"the mail server {smtp.host}:{smtp.port}",
        smtp.password or "",
    )


def _converse(smtp: SmtpConfiguration, message: EmailMessage, context: ssl.SSLContext, timeout: float) -> None:
    if smtp.username is not None and smtp.password is None:
        raise Refused(f"needs the password of {smtp.username!r}: give it (a pickle does not carry it)")
    with _connect(smtp, context, timeout) as connection:
        if not isinstance(connection, smtplib.SMTP_SSL):
            connection.ehlo()
            if connection.has_extn("starttls"):
                connection.starttls(context=context)
                connection.ehlo()
            elif smtp.require_tls:
                raise Refused(
                    "offers no STARTTLS, so nothing was sent; use a port with TLS (465 or 587), "
                    "or require_tls=False for a server that needs none"
                )
        if smtp.username is not None and smtp.password is not None:
            connection.login(smtp.username, smtp.password)
        _transmit(connection, message)


def _connect(smtp: SmtpConfiguration, context: ssl.SSLContext, timeout: float) -> smtplib.SMTP:
    if smtp.port == SMTPS_PORT:
        return smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=timeout, context=context)
    return smtplib.SMTP(smtp.host, smtp.port, timeout=timeout)


def _transmit(connection: smtplib.SMTP, message: EmailMessage) -> None:
    refused = connection.send_message(message)
    if refused:
        raise Refused(f"refused the recipients {', '.join(sorted(refused))}")


def _problem(action: Callable[[], None], server: str, password: str) -> str | None:
    try:
        action()
    except Refused as error:
        return f"{server} {error}"
    except smtplib.SMTPAuthenticationError as error:
        # Not the server's words: some quote the command they refuse, which holds the password.
        return f"{server} refused the login (code {error.smtp_code}); check username and password"
    except (OSError, ValueError, smtplib.SMTPException) as error:
        return redacted(one_line(f"{server} failed: {type(error).__name__}: {error}", 400), [password])
    return None
