"""Webhooks, to a real HTTP server: what is posted, when it is tried again, and that nothing secret is shown."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from memento.errors import NotificationError, OptionError
from memento.events import Counts
from memento.notifications import DefaultNotificationProvider, WebhookNotificationProvider, webhook
from memento.notifications.message import describe
from memento.notifications.webhook import payload
from tests.notifications.telling import failed, finished, started, succeeded, tell


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted, and answers with the codes given, then 200."""

    def __init__(self, *codes, context=None, location=None, retry_after=None):
        self.codes = list(codes)
        self.headers = {name: text for name, text in (("Location", location), ("Retry-After", retry_after)) if text}
        self.requests = []
        super().__init__(("127.0.0.1", 0), Answer)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def posted(self):
        return [json.loads(body) for _, _, body in self.requests]

    def handle_error(self, request, client_address):
        """A client that does not like our certificate is no error here."""


class Answer(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        self.send_response(self.server.codes.pop(0) if self.server.codes else 200)
        for name, text in self.server.headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Quiet."""


@pytest.fixture
def serve():
    running = []

    def start(*codes, **options):
        server = Receiver(*codes, **options)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def hook(server, **options):
    options = {"backoff": 0.001, **options}
    return WebhookNotificationProvider(f"http://127.0.0.1:{server.server_port}/services/T01?token=x9", **options)


def test_a_failure_is_posted_as_json_with_text_and_fields(serve):
    server = serve()

    tell(hook(server, headers={"Authorization": "Bearer b0"}), started(name="train"), failed(1, attempt=2))

    ((path, headers, body),) = server.requests
    assert path == "/services/T01?token=x9"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Authorization"] == "Bearer b0"
    posted = json.loads(body)
    assert posted.pop("text").splitlines()[:3] == [
        "Task failed: ValueError: singular matrix",
        "Experiment: train",
        "Error: ValueError: singular matrix",
    ]
    assert posted.pop("key") == failed(1).key
    assert posted.pop("error").pop("traceback").endswith("ValueError: singular matrix\n")
    assert posted == {
        "event": "task_failure",
        "experiment": "train",
        "configuration": {"model": "svm", "lr": 0.2},
        "status": "failed",
        "attempt": 2,
        "duration": 3.21,
        "seconds": 4.0,
        "left": 130.0,
        "counts": {
            "total": 4,
            "done": 2,
            "stored": 1,
            "succeeded": 0,
            "failed": 1,
            "cancelled": 0,
            "running": 0,
            "waiting": 2,
        },
    }


def test_ten_thousand_failures_are_two_posts_and_the_second_groups_them(serve):
    server = serve()

    tell(hook(server), succeeded(), *[failed(n, f"bad value {n}") for n in range(10_000)], finished(resume="again"))

    first, last = server.posted
    assert (first["event"], last["event"]) == ("task_failure", "all_tasks_completed")
    assert last["groups"] == [
        {
            "type": "ValueError",
            "message": "bad value 0",
            "count": 10_000,
            "configuration": {"model": "svm", "lr": 0.1},
        }
    ]
    assert (last["interrupted"], last["stopped"], last["resume"]) == (None, None, "again")
    assert last["counts"]["succeeded"] == 7


def test_text_cannot_give_slack_a_command(serve):
    server = serve()

    tell(hook(server), failed(0, "<!channel> a & b"))

    assert "&lt;!channel&gt; a &amp; b" in server.posted[0]["text"]


def test_values_that_json_cannot_say_are_told_as_text():
    class Config:
        label = "x"

        def asdict(self):
            return {"nan": float("nan"), "cls": ValueError, "list": [1, 2], "flag": True}

    event = failed()
    object.__setattr__(event, "config", Config())

    fields = payload(describe("task_failure", event))

    assert fields["configuration"] == {"nan": "nan", "cls": "ValueError", "list": "[1, 2]", "flag": True}


def test_a_method_called_by_hand_posts_the_words_of_memento_ml(serve):
    server = serve()

    hook(server).all_tasks_completed()

    assert server.posted == [{"text": "All tasks completed", "event": "all_tasks_completed", "experiment": None}]


@pytest.mark.parametrize("code", [500, 503, 429])
def test_a_server_in_trouble_is_tried_again(serve, code):
    server = serve(code, code)

    hook(server).task_failure()

    assert len(server.requests) == 3


def test_retries_are_bounded(serve):
    server = serve(*[502] * 10)

    with pytest.raises(NotificationError) as failure:
        hook(server, retries=2).task_failure()

    assert str(failure.value) == f"the webhook at http://127.0.0.1:{server.server_port} answered 502"
    assert len(server.requests) == 3


def test_pauses_grow_and_are_half_a_minute_at_most_whatever_the_server_asks_for(serve, monkeypatch):
    paused = []
    monkeypatch.setattr(webhook.time, "sleep", paused.append)
    for retry_after in (None, "5", "3600"):
        hook(serve(503, 503, 503, retry_after=retry_after), backoff=2.0).task_failure()

    assert paused == [2, 4, 8, 5, 5, 8, 30, 30, 30]


@pytest.mark.parametrize("code", [400, 403, 404, 410])
def test_what_is_our_own_fault_is_not_tried_again(serve, code):
    server = serve(code)

    with pytest.raises(NotificationError, match=f"answered {code}"):
        hook(server).task_failure()

    assert len(server.requests) == 1


def test_a_redirect_is_not_followed_with_our_headers(serve):
    other = serve()
    server = serve(302, location=f"http://127.0.0.1:{other.server_port}/")

    with pytest.raises(NotificationError, match="answered 302"):
        hook(server).task_failure()

    assert other.requests == []


def test_a_server_that_is_not_there_is_an_error_without_the_token(serve):
    server = serve()
    provider = hook(server, retries=1)
    server.shutdown()
    server.server_close()

    with pytest.raises(NotificationError) as failure:
        provider.task_failure()

    assert str(failure.value) == (
        f"the webhook at http://127.0.0.1:{server.server_port} could not be reached: "
        "ConnectionRefusedError: [Errno 111] Connection refused"
    )


def test_an_environment_with_a_proxy_does_not_send_what_is_for_this_machine_elsewhere(serve, monkeypatch):
    server = serve()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    hook(server).task_failure()

    assert len(server.requests) == 1


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def encrypted(authority, name):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_https_is_checked_by_authority_and_name(serve, authority):
    right = serve(context=encrypted(authority, "localhost"))
    wrong = serve(context=encrypted(authority, "hooks.example.org"))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    WebhookNotificationProvider(f"https://localhost:{right.server_port}/", context=trusting).task_failure()
    with pytest.raises(NotificationError, match="certificate is not valid for 'localhost'"):
        WebhookNotificationProvider(f"https://localhost:{wrong.server_port}/", context=trusting).task_failure()
    with pytest.raises(NotificationError, match="certificate verify failed"):
        WebhookNotificationProvider(f"https://localhost:{right.server_port}/").task_failure()

    assert len(right.requests) == 1
    assert wrong.requests == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://hooks.example.org/SECRET", "url: not an address of the form https://host/path"),
        ("file:///etc/SECRET", "url: not an address of the form https://host/path"),
        ("https:///SECRET", "url: not an address of the form https://host/path"),
        ("https://me:SECRET@hooks.example.org/", "url: not an address of the form https://host/path"),
        ("https://hooks.example.org/SECRET\r\nHost: x", "url: not an address of the form https://host/path"),
        ("https://hooks.example.org:SECRET/", "url: not an address of the form https://host/path"),
        ("https://[SECRET/", "url: not an address of the form https://host/path"),
        ("http://hooks.example.org/SECRET", "url: http to hooks.example.org would send the notification in the clear"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_quoted(url, message):
    with pytest.raises(OptionError) as refusal:
        WebhookNotificationProvider(url)

    assert str(refusal.value).startswith(message)
    assert "SECRET" not in str(refusal.value) + repr(refusal.value) + repr(vars(refusal.value))
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("headers", [{"X-Key": "SECRET\r\nX-Other: 1"}, {"X-Key": "SECRÉT"}, {"X: Y": "SECRET"}])
def test_a_header_that_cannot_be_one_is_refused_without_its_value(headers):
    with pytest.raises(OptionError) as refusal:
        WebhookNotificationProvider("https://hooks.example.org/", headers=headers)

    assert str(refusal.value).startswith("headers: ")
    assert "SECR" not in str(refusal.value)


def test_a_provider_next_to_a_failing_webhook_is_told_all(serve):
    told, server = [], serve(*[500] * 10)

    class Other(DefaultNotificationProvider):
        def task_failure(self):
            told.append("failure")

    reports = []
    tell(hook(server, retries=0), failed(counts=Counts(total=1, failed=1)), report=reports.append)
    tell(Other(), failed(), report=reports.append)

    assert told == ["failure"]
    assert len(reports) == 1


@pytest.mark.parametrize("retries", ["3", True, -1, 1.5])
def test_retries_that_are_no_number_of_times_are_refused_when_it_is_made(retries):
    with pytest.raises(OptionError, match="is not a whole number from 0 on"):
        WebhookNotificationProvider("https://hooks.example.org/T01", retries=retries)


@pytest.mark.parametrize(
    ("waits", "message"),
    [
        ({"timeout": "10"}, "timeout='10' is not a number of seconds above 0"),
        ({"backoff": -1}, "backoff=-1 is not a finite number from 0 on"),
    ],
)
def test_a_time_to_wait_that_is_none_is_refused_when_it_is_made(waits, message):
    with pytest.raises(OptionError, match=f"^{message}$"):
        WebhookNotificationProvider("https://hooks.example.org/T01", **waits)
