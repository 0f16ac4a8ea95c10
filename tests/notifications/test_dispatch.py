"""How a run tells a provider: on another thread, what it wants, when its policy says, and never at the run's cost."""

from __future__ import annotations

import math
import sys
import threading
import time
import warnings

import pytest

from memento.errors import OptionError
from memento.events import Counts, Failed, RunFinished, RunProgressed, RunStarted, Started, Succeeded
from memento.notifications import (
    EVERY_EVENT,
    ConsoleNotificationProvider,
    DefaultNotificationProvider,
    DigestPolicy,
    EmailNotificationProvider,
    FailureDigest,
    MessageProvider,
    ProviderListener,
    RunSummary,
    SmtpConfiguration,
)
from memento.notifications.dispatch import ROOM
from memento.protocols import Listener
from tests.notifications.telling import eventually, failed, finished, started, succeeded, tell

NEVER = DigestPolicy(every=10_000)


class Recorder(DefaultNotificationProvider):
    """Remembers what it was told, in the new style."""

    def __init__(self):
        self.told = []

    def task_completed(self, event=None):
        self.told.append(("completed", event))

    def task_failure(self, event=None):
        self.told.append(("failure", event))

    def all_tasks_completed(self, event=None):
        self.told.append(("all", event))

    @property
    def names(self):
        return [name for name, _ in self.told]


class Stuck(Recorder):
    """Does not come back from its first failure until it is let go."""

    def __init__(self):
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def task_failure(self, event=None):
        super().task_failure(event)
        self.entered.set()
        self.go_on.wait(20)


def test_a_provider_listener_is_a_listener():
    assert isinstance(ProviderListener(Recorder()), Listener)
    assert repr(ProviderListener(Recorder())) == "<ProviderListener of Recorder>"


def test_methods_written_for_memento_ml_are_called_without_the_event():
    told = []

    class Old(DefaultNotificationProvider):
        def task_completed(self):
            told.append("completed")

        def task_failure(self):
            told.append("failure")

        def all_tasks_completed(self):
            told.append("all")

    tell(Old(), succeeded(), failed(), finished())

    assert told == ["completed", "failure", "all"]


def test_methods_that_take_the_event_get_it_whatever_they_call_it():
    told = []

    class New(DefaultNotificationProvider):
        def task_completed(self, what_happened):
            told.append(what_happened)

        def task_failure(self, *args):
            told.extend(args)

        def all_tasks_completed(self, event=None):
            told.append(event)

    success, failure = succeeded(), failed()
    tell(New(), success, failure, finished())

    assert told[:2] == [success, failure]
    assert told[2].counts == Counts(total=12, stored=4, succeeded=7, failed=1)


def test_a_method_with_an_option_of_its_own_does_not_get_the_event_in_its_place():
    told = []

    class Old(DefaultNotificationProvider):
        def task_failure(self, loud=False):
            told.append(loud)

    tell(Old(), failed())

    assert told == [False]


def test_any_object_with_some_of_the_methods_is_a_provider():
    told = []

    class Duck:
        def task_failure(self):
            told.append("failure")

    listener = tell(Duck(), succeeded(), failed(), finished())

    assert told == ["failure"]
    assert listener.hears == (Failed,)


def test_an_event_carries_what_happened():
    provider = Recorder()

    tell(provider, failed(1, attempt=2, log="epoch 1\n"))

    ((_, event),) = provider.told
    assert str(event.config) == "{'model': 'svm', 'lr': 0.2}"
    assert (event.failure.type, event.failure.message) == ("ValueError", "singular matrix")
    assert "line 7, in fit" in event.failure.traceback
    assert (event.duration, event.left, event.attempt, event.log) == (3.21, 130.0, 2, "epoch 1\n")
    assert event.counts.done == 2


def test_only_what_a_provider_overrides_is_heard():
    class OnlyFailures(DefaultNotificationProvider):
        def task_failure(self):
            """Be told."""

    assert set(ProviderListener(OnlyFailures()).hears) == {Failed}
    assert set(ProviderListener(ConsoleNotificationProvider()).hears) == {Succeeded, Failed, RunStarted, RunFinished}
    assert not {RunProgressed, Started} & set(ProviderListener(ConsoleNotificationProvider()).hears)


def test_a_retried_attempt_is_no_failure_but_has_a_hook():
    told = []

    class Patient(Recorder):
        def task_retried(self, event):
            told.append(event.attempt)

    provider = Patient()
    tell(provider, failed(will_retry=True), failed(attempt=2))

    assert told == [1]
    assert provider.names == ["failure"]


def test_notify_on_complete_false_leaves_out_the_end_but_not_the_failures():
    provider = Recorder()

    listener = tell(provider, failed(), failed(), finished(), policy=NEVER, notify_on_complete=False)

    assert provider.names == ["failure", "failure"]
    assert RunFinished not in listener.hears


def test_the_provider_runs_on_a_thread_of_its_own_that_ends():
    threads = []

    class Where(DefaultNotificationProvider):
        def task_failure(self):
            threads.append(threading.current_thread())

    tell(Where(), failed())

    assert threads[0] is not threading.main_thread()
    assert threads[0].daemon
    assert not threads[0].is_alive()


def test_no_thread_is_started_for_a_run_of_which_there_is_nothing_to_tell():
    before = threading.active_count()
    listener = ProviderListener(EmailNotificationProvider(SmtpConfiguration("h", 25), "a@b", "c@d"))

    assert threading.active_count() == before
    listener.close()


def test_every_event_is_told_in_order_by_default():
    provider = Recorder()
    events = [started(), succeeded(), failed(1), succeeded(2), failed(3), finished()]

    tell(provider, *events)

    assert provider.names == ["completed", "failure", "completed", "failure", "all"]


def test_by_digest_the_first_failure_is_told_at_once_and_the_last_in_the_summary():
    provider = Recorder()
    listener = ProviderListener(provider, NEVER)

    listener.handle(failed(0, "first"))
    eventually(lambda: provider.names == ["failure"])
    for number in range(9_999):
        listener.handle(failed(number, f"cell {number} is empty" if number % 2 else "no such file", "OSError"))
    assert provider.names == ["failure"]
    listener.handle(finished())
    listener.close()

    assert provider.names == ["failure", "all"]
    summary = provider.told[1][1]
    assert isinstance(summary, RunSummary)
    assert [(group.message, group.count, group.similar) for group in summary.groups] == [
        ("no such file", 5000, False),
        ("cell 1 is empty", 4999, True),
        ("first", 1, False),
    ]


def test_later_failures_come_in_digests_grouped_by_error_with_counts_and_examples():
    provider = Recorder()
    listener = ProviderListener(provider, DigestPolicy(every=0.05, growth=1))

    for number in range(40):
        listener.handle(failed(number, counts=Counts(total=40, failed=number + 1)))
    eventually(lambda: len(provider.told) == 2)
    listener.close()

    first, digest = (event for _, event in provider.told)
    assert isinstance(first, Failed)
    assert isinstance(digest, FailureDigest)
    assert (digest.failures, digest.counts.failed) == (39, 40)
    assert [(group.title, str(group.examples[0].config)) for group in digest.groups] == [
        ("ValueError: singular matrix (39 times)", "{'model': 'svm', 'lr': 0.2}")
    ]


def test_digests_come_at_growing_intervals():
    times = []

    class Clock(DefaultNotificationProvider):
        def task_failure(self):
            times.append(time.monotonic())

    listener = ProviderListener(Clock(), DigestPolicy(every=0.05, growth=3))
    begin = time.monotonic()
    while len(times) < 4:
        listener.handle(failed())
        time.sleep(0.001)
    listener.close()

    assert times[1] - begin >= 0.05
    assert times[2] - begin >= 0.05 + 0.15
    assert times[3] - begin >= 0.05 + 0.15 + 0.45


def test_the_interval_stops_growing_at_the_longest():
    digests = []

    class Clock(DefaultNotificationProvider):
        def task_failure(self):
            digests.append(1)

    listener = ProviderListener(Clock(), DigestPolicy(every=0.01, growth=1000, longest=0.02))
    deadline = time.monotonic() + 5
    while len(digests) < 6 and time.monotonic() < deadline:
        listener.handle(failed())
        time.sleep(0.001)
    listener.close()

    assert len(digests) >= 6


def test_a_digest_that_is_never_due_leaves_all_but_the_first_to_the_summary():
    provider = Recorder()
    listener = ProviderListener(provider, DigestPolicy(every=math.inf, longest=math.inf), patience=math.inf)
    listener.handle(failed())
    eventually(lambda: provider.names == ["failure"])
    listener.handle(failed())
    time.sleep(0.05)  # until the provider's thread waits for the digest
    listener.handle(finished())
    listener.close()

    assert provider.names == ["failure", "all"]
    assert provider.told[1][1].groups[0].count == 2


def test_how_many_failures_are_told_one_by_one_is_adjustable():
    provider = Recorder()

    tell(provider, *[failed(number) for number in range(6)], finished(), policy=DigestPolicy(first=3, every=10_000))

    assert provider.names == ["failure"] * 3 + ["all"]


def test_close_tells_what_was_held_back_even_where_nobody_hears_of_the_end():
    told = []

    class OnlyFailures(DefaultNotificationProvider):
        policy = NEVER

        def task_failure(self, event):
            told.append(event)

    tell(OnlyFailures(), *[failed()] * 5, finished())

    assert [type(event).__name__ for event in told] == ["Failed", "FailureDigest"]
    assert told[1].failures == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": -1}, "first=-1 is not a number from 0 on"),
        ({"first": True}, "first=True is not a number from 0 on"),
        ({"every": "5m"}, "every='5m' is not a number from 0 on"),
        ({"growth": 0.5}, "growth=0.5 is not a number from 1 on"),
        ({"longest": None}, "longest=None is not a number from 0 on"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(options, message):
    with pytest.raises(OptionError) as refusal:
        DigestPolicy(**options)
    assert str(refusal.value) == message


def test_mail_webhook_and_apprise_send_digests_and_do_not_hear_of_successes():
    mail = EmailNotificationProvider(SmtpConfiguration("h", 25), "a@b", "c@d")

    assert mail.policy == DigestPolicy()
    assert Succeeded not in ProviderListener(mail).hears
    assert Succeeded in ProviderListener(mail, EVERY_EVENT).hears


def test_a_subclass_of_a_mail_provider_that_overrides_task_completed_hears_of_each():
    told = []

    class Cheerful(EmailNotificationProvider):
        def task_completed(self):
            told.append("completed")

        def task_failure(self):
            told.append("failure")

        def all_tasks_completed(self):
            told.append("all")

    mail = Cheerful(SmtpConfiguration("h", 25), "a@b", "c@d")
    tell(mail, succeeded(), succeeded(), *[failed()] * 1000, finished())

    assert told == ["completed", "completed", "failure", "all"]


def test_a_slow_provider_never_slows_the_run_and_loses_no_failure():
    provider = Stuck()
    listener = ProviderListener(provider)
    listener.handle(failed())
    provider.entered.wait(20)

    for number in range(5_000):
        listener.handle(failed(number))
    assert provider.names == ["failure"]
    provider.go_on.set()
    listener.close()

    told = [event for _, event in provider.told]
    assert sum(event.failures if isinstance(event, FailureDigest) else 1 for event in told) == 5_001
    assert len(told) == ROOM + 2


def test_successes_that_a_slow_provider_cannot_take_are_dropped_and_that_is_reported_once():
    provider, reports = Stuck(), []
    listener = ProviderListener(provider, report=reports.append)
    listener.handle(failed())
    provider.entered.wait(20)

    for number in range(5_000):
        listener.handle(succeeded(number))
    provider.go_on.set()
    listener.close()

    assert provider.names.count("completed") == ROOM
    assert reports == [
        "the notification provider Stuck is slow: some successes and retries are not told "
        "(further problems with it are not reported)"
    ]


def test_a_provider_that_does_not_finish_is_left_behind_and_reported():
    provider, reports = Stuck(), []
    listener = ProviderListener(provider, report=reports.append, patience=0.05)
    listener.handle(failed())
    provider.entered.wait(20)
    listener.handle(failed())
    listener.close()

    assert reports == [
        "the notification provider Stuck did not finish within 0.05 s: 2 notifications may be missing "
        "(further problems with it are not reported)"
    ]
    provider.go_on.set()
    listener.close()


@pytest.mark.parametrize("error", [RuntimeError("out of paper"), SystemExit("out of paper")])
def test_what_a_provider_raises_is_reported_once_and_the_next_events_are_still_told(error):
    told = []

    class Broken(DefaultNotificationProvider):
        def task_failure(self):
            raise error

        def all_tasks_completed(self):
            told.append("all")

    with pytest.warns(RuntimeWarning) as caught:
        tell(Broken(), failed(), failed(), failed(), finished())

    assert told == ["all"]
    assert [str(warning.message) for warning in caught] == [
        f"the notification provider Broken failed: {type(error).__name__}: out of paper "
        "(further problems with it are not reported)"
    ]


def test_reports_are_made_on_the_thread_of_the_run():
    threads = []

    class Broken(DefaultNotificationProvider):
        def task_failure(self):
            raise RuntimeError

    tell(Broken(), failed(), report=lambda message: threads.append(threading.current_thread()))

    assert threads == [threading.current_thread()]


def test_message_providers_know_whose_run_it_is():
    told = []

    class Speaker(MessageProvider):
        def deliver(self, notification):
            told.append((notification.what, notification.experiment))

    tell(Speaker(), started(name="train"), succeeded(), finished())

    assert told == [("task_completed", "train"), ("all_tasks_completed", "train")]


def test_one_listener_serves_two_runs_and_each_summary_has_only_its_own_failures():
    provider = Recorder()

    tell(provider, failed(0, "one"), finished(), failed(0, "two"), finished(), policy=NEVER)

    summaries = [event for name, event in provider.told if name == "all"]
    assert [[group.message for group in summary.groups] for summary in summaries] == [["one"], ["two"]]


def test_a_failure_costs_the_run_little():
    class OnlyFailures(DefaultNotificationProvider):
        policy = NEVER

        def task_failure(self):
            """Be told."""

    with warnings.catch_warnings():
        listener = ProviderListener(OnlyFailures())
        event, calls = failed(), 0

        def count(frame, kind, argument):
            nonlocal calls
            calls += kind in ("call", "c_call")

        listener.handle(event)
        sys.setprofile(count)
        try:
            for _ in range(100):
                listener.handle(event)
        finally:
            sys.setprofile(None)
        listener.close()
    assert calls < 100 * 60
