"""Apprise: notifications over its services, to a real receiver; and a clear word where it is not installed."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from memento.errors import MissingExtra, NotificationError, OptionError
from memento.notifications import AppriseNotificationProvider
from tests.notifications.telling import failed, finished, tell
from tests.notifications.test_webhook import serve

__all__ = ["serve"]  # the fixture


def test_a_notification_reaches_each_service(serve):
    one, two = serve(), serve()
    urls = [f"json://127.0.0.1:{server.server_port}/hidden-path" for server in (one, two)]

    tell(AppriseNotificationProvider(*urls), *[failed(n) for n in range(1000)], finished())

    for server in (one, two):
        posted = [json.loads(body) for _, _, body in server.requests]
        assert [message["title"] for message in posted] == [
            "Task failed: ValueError: singular matrix",
            "All tasks completed: 12 configurations: 4 stored, 7 succeeded, 1 failed in 3.2 s",
        ]
        assert "ValueError: singular matrix (1,000 times)" in posted[1]["message"]


def test_a_service_that_does_not_take_it_is_an_error_without_the_address(serve, caplog):
    server = serve(*[500] * 20)
    provider = AppriseNotificationProvider(f"json://ada:hidden%21word@127.0.0.1:{server.server_port}/hidden%20path")

    with caplog.at_level(logging.DEBUG), pytest.raises(NotificationError) as failure:
        provider.task_failure()

    assert str(failure.value) == "a service among json did not take the notification"
    assert "hidden" not in caplog.text


def test_an_address_that_apprise_does_not_know_is_refused_without_being_quoted(caplog):
    with pytest.raises(OptionError) as refusal:
        AppriseNotificationProvider("json://localhost/fine", "nowhere://hidden-word/hidden-path")

    assert str(refusal.value) == (
        "urls[1] (nowhere://…) is not an address that Apprise understands; see its list of services"
    )
    assert "hidden" not in caplog.text


def test_no_address_at_all_is_refused():
    with pytest.raises(OptionError, match="needs at least one address, such as 'json://localhost'"):
        AppriseNotificationProvider()


def test_only_the_scheme_of_an_address_is_shown():
    provider = AppriseNotificationProvider("json://ada:hidden-word@localhost/hidden-path")

    assert repr(provider) == "AppriseNotificationProvider('json://…')"


def test_without_apprise_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(MissingExtra) as missing:
        AppriseNotificationProvider("json://localhost")

    assert str(missing.value) == (
        "this needs apprise, which is not installed; install it with: pip install 'memento[notify]'"
    )


def test_nothing_slow_is_imported_before_it_is_used():
    slow = {"apprise", "smtplib", "http.client", "urllib.request", "email.message", "ssl", "IPython", "tqdm"}
    code = f"import memento.notifications, memento.progress, sys; print(sorted({slow} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
