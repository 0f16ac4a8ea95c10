"""Mails, to a real server: checked TLS, login, no injected header, no password in an error."""

from __future__ import annotations

import smtplib
import socket
import ssl
import time
from email import message_from_bytes
from email.policy import default

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
from hypothesis import given
from hypothesis import strategies as st

from memento.errors import NotificationError, OptionError
from memento.notifications import DigestPolicy, EmailNotificationProvider, SmtpConfiguration
from tests.notifications.telling import eventually, failed, finished, started, succeeded, tell
from tests.ports import free_port

# The server warns about what some of these tests are for.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

PASSWORD = "correct-horse-battery"


class Inbox:
    """Keeps what a server takes, and what its clients say when they log in."""

    def __init__(self):
        self.mails = []
        self.logins = []
        self.refused = ()

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((session.ssl is not None, envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"

    def authenticate(self, server, session, envelope, mechanism, data):
        self.logins.append((session.ssl is not None, data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)

    def messages(self):
        return [message_from_bytes(content, policy=default) for _, _, _, content in self.mails]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def serve(authority):
    """Start mail servers; each returns its inbox and port."""
    running = []

    def start(*, name="localhost", tls=True, login=True):
        inbox, options = Inbox(), {}
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert(name).configure_cert(context)
            options |= {"tls_context": context, "require_starttls": True}
        if login:
            options |= {"authenticator": inbox.authenticate, "auth_required": True, "auth_require_tls": tls}
        controller = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
        controller.start()
        running.append(controller)
        return inbox, controller.port

    yield start
    for controller in running:
        controller.stop()


def provider(port, trusting, *, password=PASSWORD, require_tls=True, **options):
    smtp = SmtpConfiguration("localhost", port, "ada", password, require_tls)
    return EmailNotificationProvider(smtp, "ada@example.org", ["bob@example.org"], context=trusting, **options)


def test_a_mail_goes_over_starttls_after_a_login_to_all_readers(serve, trusting):
    inbox, port = serve()
    smtp = SmtpConfiguration("localhost", port, "ada", PASSWORD)
    mails = EmailNotificationProvider(
        smtp, "Ada <ada@example.org>", ["bob@example.org", "eve@example.org"], context=trusting
    )

    tell(mails, started(name="train"), failed(1, log="epoch 1\n"))

    assert inbox.logins == [(True, "ada", PASSWORD)]
    ((encrypted, sender, readers, _),) = inbox.mails
    assert (encrypted, sender, readers) == (True, "ada@example.org", ["bob@example.org", "eve@example.org"])
    (message,) = inbox.messages()
    assert message["Subject"] == "Task failed: ValueError: singular matrix"
    assert message["From"] == "Ada <ada@example.org>"
    assert message["To"] == "bob@example.org, eve@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime.tzinfo is not None
    assert message["Message-ID"].endswith("@example.org>")
    assert message.get_content().splitlines()[:-1] == [
        "Task failed: ValueError: singular matrix",
        "Experiment: train",
        "Error: ValueError: singular matrix",
        "Configuration: {'model': 'svm', 'lr': 0.2}",
        "Duration: 3.2 s",
        "Attempt: 1",
        "Progress: 2 of 4 done, 1 failed, about 2 min 10 s left",
        "",
        "Traceback (most recent call last):",
        '  File "train.py", line 7, in fit',
        "ValueError: singular matrix",
        "",
        "Last output:",
        "epoch 1",
        "",
    ]


def test_ten_thousand_failures_are_a_handful_of_mails(serve, trusting):
    inbox, port = serve()
    errors = [("ValueError", "bad value {}"), ("OSError", "disk {} is full")]
    failures = [failed(n, errors[n % 2][1].format(n), errors[n % 2][0]) for n in range(10_000)]

    tell(provider(port, trusting), started(), succeeded(), *failures, finished())

    assert [message["Subject"] for message in inbox.messages()] == [
        "Task failed: ValueError: bad value 0",
        "All tasks completed: 12 configurations: 4 stored, 7 succeeded, 1 failed in 3.2 s",
    ]
    lines = inbox.messages()[1].get_content().splitlines()
    assert lines[4:14] == [
        "Failures:",
        "  ValueError: bad value 0 (5,000 times, and similar)",
        "      model='svm' lr=0.1",
        "      model='tree' lr=0.1",
        "      model='svm' lr=0.1",
        "      and 4,997 more configurations",
        "  OSError: disk 1 is full (5,000 times, and similar)",
        "      model='svm' lr=0.2",
        "      model='tree' lr=0.2",
        "      model='svm' lr=0.2",
    ]


def test_a_digest_says_how_many_failed_and_why(serve, trusting):
    inbox, port = serve()

    tell(provider(port, trusting), *[failed(n) for n in range(8)], notify_on_complete=False)

    assert [message["Subject"] for message in inbox.messages()] == [
        "Task failed: ValueError: singular matrix",
        "Task failed: 7 more failures",
    ]
    assert "ValueError: singular matrix (7 times)" in inbox.messages()[1].get_content()


def test_each_failure_by_its_own_mail_is_a_matter_of_the_policy(serve, trusting):
    inbox, port = serve()

    tell(provider(port, trusting, policy=DigestPolicy(first=None)), *[failed(n) for n in range(5)])

    assert len(inbox.mails) == 5


def test_methods_called_by_hand_send_a_mail_with_the_words_of_memento_ml(serve, trusting):
    inbox, port = serve()
    mails = provider(port, trusting)

    mails.task_completed()
    mails.task_failure()
    mails.all_tasks_completed()

    subjects = [message["Subject"] for message in inbox.messages()]
    assert subjects == ["Task completed", "Task failed", "All tasks completed"]


def test_an_overridden_create_message_decides_what_is_sent(serve, trusting):
    class Copied(EmailNotificationProvider):
        def create_message(self, subject, content):
            message = super().create_message("[cluster] " + subject, content)
            message["Cc"] = "eve@example.org"
            return message

    inbox, port = serve()
    smtp = SmtpConfiguration("localhost", port, "ada", PASSWORD)

    Copied(smtp, "ada@example.org", "bob@example.org", context=trusting).all_tasks_completed()

    assert inbox.messages()[0]["Subject"] == "[cluster] All tasks completed"
    assert inbox.mails[0][2] == ["bob@example.org", "eve@example.org"]


def test_a_certificate_of_an_unknown_authority_is_refused_before_the_login(serve):
    inbox, port = serve()
    smtp = SmtpConfiguration("localhost", port, "ada", PASSWORD)

    with pytest.raises(NotificationError, match="certificate verify failed"):
        EmailNotificationProvider(smtp, "ada@example.org", "bob@example.org").task_failure()

    assert (inbox.mails, inbox.logins) == ([], [])


def test_a_certificate_for_another_host_is_refused_before_the_login(serve, trusting):
    inbox, port = serve(name="mail.example.org")

    with pytest.raises(NotificationError, match="certificate is not valid for 'localhost'"):
        provider(port, trusting).task_failure()

    assert (inbox.mails, inbox.logins) == ([], [])


def test_a_server_without_tls_is_refused_before_the_login(serve, trusting):
    inbox, port = serve(tls=False)

    with pytest.raises(NotificationError) as refusal:
        provider(port, trusting).task_failure()

    assert str(refusal.value) == (
        f"the mail server localhost:{port} offers no STARTTLS, so nothing was sent; use a port with TLS (465 or 587), "
        "or require_tls=False for a server that needs none"
    )
    assert (inbox.mails, inbox.logins) == ([], [])


def test_require_tls_false_accepts_a_server_without_tls(serve, trusting):
    inbox, port = serve(tls=False)

    provider(port, trusting, require_tls=False).task_failure()

    assert inbox.logins == [(False, "ada", PASSWORD)]


def test_without_a_username_there_is_no_login(serve, trusting):
    inbox, port = serve(login=False)

    mails = EmailNotificationProvider(
        SmtpConfiguration("localhost", port), "ada@example.org", "bob@example.org", context=trusting
    )
    mails.task_failure()

    assert len(inbox.mails) == 1
    assert inbox.logins == []


def test_port_465_is_tls_from_the_first_byte(authority, trusting, monkeypatch):
    inbox = Inbox()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    class Smtps(Controller):
        def factory(self):
            return SMTP(self.handler, authenticator=inbox.authenticate, auth_required=True, auth_require_tls=False)

    controller = Smtps(inbox, hostname="127.0.0.1", port=free_port(), ssl_context=context)
    # The one thing a test cannot have is the port itself, which needs privileges.
    monkeypatch.setattr("memento.notifications.smtp.SMTPS_PORT", controller.port)
    # aiosmtpd looks at its own server over a context of its own making, which does not know our authority.
    monkeypatch.setattr(ssl, "create_default_context", lambda *_, **__: trusting)
    controller.start()
    try:
        provider(controller.port, trusting).task_failure()
    finally:
        controller.stop()

    assert [login[1:] for login in inbox.logins] == [("ada", PASSWORD)]
    assert len(inbox.mails) == 1


def test_a_connected_smtp_object_is_used_as_it_is(serve, trusting):
    inbox, port = serve()
    with smtplib.SMTP("localhost", port) as connection:
        connection.starttls(context=trusting)
        connection.login("ada", PASSWORD)
        mails = EmailNotificationProvider(connection, "ada@example.org", "bob@example.org")
        mails.task_failure()
        mails.all_tasks_completed()

    assert len(inbox.mails) == 2
    assert PASSWORD not in repr(mails)


def test_a_refused_login_is_an_error_without_the_password(serve, trusting):
    _, port = serve()

    with pytest.raises(NotificationError) as refusal:
        provider(port, trusting, password="wrong-horse").task_failure()

    assert str(refusal.value) == (
        f"the mail server localhost:{port} refused the login (code 535); check username and password"
    )
    assert refusal.value.__context__ is None


def test_a_missing_password_is_said(serve, trusting):
    _, port = serve()

    with pytest.raises(NotificationError, match="needs the password of 'ada': give it"):
        provider(port, trusting, password=None).task_failure()


def test_refused_readers_are_named(serve, trusting):
    inbox, port = serve(login=False)
    inbox.refused = ("eve@example.org",)
    smtp = SmtpConfiguration("localhost", port)
    mails = EmailNotificationProvider(smtp, "ada@example.org", ["bob@example.org", "eve@example.org"], context=trusting)

    with pytest.raises(NotificationError, match=r"refused the recipients eve@example\.org"):
        mails.task_failure()
    assert inbox.mails[0][2] == ["bob@example.org"]


def test_a_server_that_is_not_there_is_reported_and_the_run_goes_on(trusting):
    reports = []

    tell(provider(free_port(), trusting), failed(), failed(), finished(), report=reports.append)

    assert len(reports) == 1
    assert "the notification provider EmailNotificationProvider failed: NotificationError: " in reports[0]
    assert "ConnectionRefusedError" in reports[0]


def test_a_server_that_says_nothing_is_given_up_after_the_timeout(trusting):
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(NotificationError, match="timed out"):
        provider(silent.getsockname()[1], trusting, timeout=0.05).task_failure()


def test_a_server_that_says_nothing_does_not_hold_up_the_run(trusting):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reports = []
        before = time.monotonic()
        mails = provider(silent.getsockname()[1], trusting, timeout=2)
        tell(mails, failed(), finished(), patience=0.05, report=reports.append)
        assert time.monotonic() - before < 1.5
    assert "did not finish within 0.05 s" in reports[0]


def test_an_error_message_cannot_become_a_header(serve, trusting):
    inbox, port = serve()

    tell(provider(port, trusting), failed(0, "boom\r\nBcc: eve@example.org\r\n\r\nBuy now"))

    (message,) = inbox.messages()
    assert message["Bcc"] is None
    assert message["Subject"] == "Task failed: ValueError: boom Bcc: eve@example.org Buy now"
    assert inbox.mails[0][2] == ["bob@example.org"]


def test_the_first_failure_is_mailed_whatever_a_file_name_holds(serve, trusting):
    inbox, port = serve()
    tell(provider(port, trusting), failed(1, message="no such file: 'd\udce4ta.csv'"))
    (message,) = inbox.messages()
    assert message["Subject"] == "Task failed: ValueError: no such file: 'd\\udce4ta.csv'"


@given(subject=st.text(st.characters(exclude_categories=())), content=st.text(st.characters(exclude_categories=())))
def test_whatever_a_subject_and_a_content_hold_the_headers_stay_ours(subject, content):
    mails = EmailNotificationProvider(SmtpConfiguration("h", 587), "ada@example.org", "bob@example.org")

    message = message_from_bytes(mails.create_message(subject, content).as_bytes(), policy=default)

    ours = {"Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted"}
    body = {"Content-Type", "Content-Transfer-Encoding", "MIME-Version"}
    assert set(message.keys()) == ours | body
    assert message["To"] == "bob@example.org"


@pytest.mark.parametrize("address", ["a@b\nBcc: c@d", "a@b\r\nBcc: c@d", "a@b\0", "", "  ", 7])
def test_an_address_with_a_line_break_is_refused(address):
    smtp = SmtpConfiguration("h", 587)

    with pytest.raises(OptionError) as refusal:
        EmailNotificationProvider(smtp, address, "bob@example.org")
    assert str(refusal.value) == f"from_addr: {address!r} is not an address; write it as 'name@example.org'"
    with pytest.raises(OptionError, match="to_addrs"):
        EmailNotificationProvider(smtp, "ada@example.org", ["bob@example.org", address])


def test_no_readers_at_all_are_refused():
    with pytest.raises(OptionError, match="to_addrs is empty: give the address to send to"):
        EmailNotificationProvider(SmtpConfiguration("h", 587), "ada@example.org", [])


def test_the_first_failure_is_mailed_while_the_run_goes_on(serve, trusting):
    from memento.notifications import ProviderListener

    inbox, port = serve()
    listener = ProviderListener(provider(port, trusting))
    listener.handle(failed())

    eventually(lambda: len(inbox.mails) == 1)
    listener.close()
