"""A canary given to each provider as its secret must not sing: in no repr, pickle, error, warning, log or task."""

from __future__ import annotations

import copy
import pickle
import socket
import traceback
import warnings

import cloudpickle
import pytest

from memento.errors import NotificationError
from memento.notifications import (
    AppriseNotificationProvider,
    EmailNotificationProvider,
    ProviderListener,
    SmtpConfiguration,
    WebhookNotificationProvider,
)
from memento.notifications.secret import Secret, redacted
from tests.notifications.telling import failed, finished, tell
from tests.ports import free_port

CANARY = "k4n4r1envogel"


def mail():
    smtp = SmtpConfiguration("127.0.0.1", free_port(), "ada", CANARY)
    return EmailNotificationProvider(smtp, "ada@example.org", "bob@example.org")


def path_of_webhook():
    return WebhookNotificationProvider(f"http://127.0.0.1:{free_port()}/services/{CANARY}", retries=0)


def query_of_webhook():
    return WebhookNotificationProvider(f"http://127.0.0.1:{free_port()}/?token={CANARY}", retries=0)


def header_of_webhook():
    url = f"http://127.0.0.1:{free_port()}/"
    return WebhookNotificationProvider(url, headers={"Authorization": CANARY}, retries=0)


def apprise():
    return AppriseNotificationProvider(f"json://ada:{CANARY}@127.0.0.1:{free_port()}/{CANARY}")


MAKERS = [mail, path_of_webhook, query_of_webhook, header_of_webhook, apprise]


@pytest.mark.parametrize("make", MAKERS)
def test_a_secret_shows_in_no_text(make):
    provider = make()
    listener = ProviderListener(provider)

    for thing in (provider, listener, vars(provider), vars(listener)):
        assert CANARY not in repr(thing) + str(thing)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_a_secret_is_in_no_pickle_and_so_in_no_task_that_refers_to_a_provider(make, pickler):
    data = pickler.dumps(make())

    assert CANARY.encode() not in data
    with pytest.raises(NotificationError, match="pickle"):
        pickle.loads(data).task_failure()


@pytest.mark.parametrize("make", MAKERS)
def test_a_secret_is_in_no_error(make, caplog, capfd):
    with pytest.raises(NotificationError) as failure:
        make().task_failure()

    assert CANARY not in "".join(traceback.format_exception(failure.value)) + repr(vars(failure.value))
    assert failure.value.__context__ is None
    assert CANARY not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize("make", MAKERS)
def test_a_secret_is_in_no_warning(make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tell(make(), failed(), finished())

    messages = [str(warning.message) for warning in caught]
    assert sum("failed: NotificationError" in message for message in messages) == 1
    assert CANARY not in "".join(messages)


def test_a_server_that_repeats_the_password_does_not_get_it_into_an_error():
    def parrot(connection):
        connection.sendall(f"554 {CANARY} is welcome elsewhere\r\n".encode())

    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                parrot(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        smtp = SmtpConfiguration("127.0.0.1", server.getsockname()[1], "ada", CANARY)
        with pytest.raises(NotificationError, match=r"\*\*\* is welcome elsewhere") as failure:
            EmailNotificationProvider(smtp, "ada@example.org", "bob@example.org").task_failure()
        thread.join()

    assert CANARY not in str(failure.value)


def test_copies_keep_the_secret():
    smtp = SmtpConfiguration("h", 587, "ada", CANARY)
    secret = Secret(CANARY)

    assert copy.copy(smtp).password == copy.deepcopy(smtp).password == CANARY
    assert copy.copy(secret).reveal() == copy.deepcopy(secret).reveal() == CANARY


def test_longer_secrets_are_taken_out_first():
    assert redacted("see abc/def and abc", ["abc", "abc/def", ""]) == "see *** and ***"
