"""Which failures are tried again."""

from __future__ import annotations

from typing import Any

import pytest

from memento.errors import OptionError
from memento.running.retries import RetryPolicy
from memento.task import Failure

KEY = b"k" * 16
RESET = Failure(
    type="ConnectionResetError",
    message="",
    lineage=("ConnectionResetError", "ConnectionError", "OSError", "Exception", "BaseException"),
)
KILLED = Failure(type="WorkerKilled", message="", cause="killed")
TIMEOUT = Failure(type="TimedOut", message="", cause="timeout")


def waits(policy: RetryPolicy, *failures: Failure) -> list[float | None]:
    return [policy.wait_before_retry(KEY, failure) for failure in failures]


def test_by_default_nothing_is_tried_again() -> None:
    assert waits(RetryPolicy(0), RESET, KILLED) == [None, None]


def test_a_number_is_for_all_causes_together_with_growing_waits() -> None:
    assert waits(RetryPolicy(3), RESET, KILLED, TIMEOUT, RESET) == [0.1, 0.2, 0.4, None]


def test_each_cause_has_its_own_number() -> None:
    policy = RetryPolicy({"killed": 2, "timeout": 1})
    assert waits(policy, KILLED, TIMEOUT, KILLED, TIMEOUT, KILLED, RESET) == [0.1, 0.2, 0.4, None, None, None]


def test_a_class_counts_for_its_subclasses_and_the_nearest_decides() -> None:
    assert waits(RetryPolicy({ConnectionError: 1, OSError: 9}), RESET, RESET) == [0.1, None]
    assert waits(RetryPolicy({ValueError: 3}), RESET) == [None]


def test_each_configuration_counts_by_itself() -> None:
    policy = RetryPolicy(1)
    assert policy.wait_before_retry(b"a" * 16, RESET) == 0.1
    assert policy.wait_before_retry(b"b" * 16, RESET) == 0.1


def test_what_the_user_cancelled_is_not_tried_again() -> None:
    assert waits(RetryPolicy(5), Failure(type="Cancelled", message="", cause="cancelled")) == [None]


def test_waits_end_at_a_minute() -> None:
    assert waits(RetryPolicy(20), *[RESET] * 20)[-1] == 60.0


def test_thousands_of_retries_are_tried_as_often_as_asked_for() -> None:
    assert set(waits(RetryPolicy(3000), *[RESET] * 3000)[10:]) == {60.0}


@pytest.mark.parametrize("retries", [-1, True, 1.5, {"killed": -1}])
def test_what_is_no_number_is_refused(retries: Any) -> None:
    with pytest.raises(OptionError, match="is not a whole number from 0 on"):
        RetryPolicy(retries)


@pytest.mark.parametrize("cause", ["kiled", int, 3])
def test_an_unknown_cause_is_refused_with_the_known_ones(cause: Any) -> None:
    with pytest.raises(OptionError, match="use an exception class or one of error, killed, timeout"):
        RetryPolicy({cause: 1})
