"""When a run should start nothing new."""

from __future__ import annotations

import math

from memento.running.failing import FailureWatch
from memento.task import Failure


def failure(kind: str = "ValueError", line: int = 3) -> Failure:
    return Failure(type=kind, message="x", traceback=f'Traceback\n  File "a.py", line {line}, in f\n    raise')


def watch(*, stop_at_first: bool = False, max_failures: float | None = None) -> FailureWatch:
    return FailureWatch(stop_at_first=stop_at_first, max_failures=max_failures)


def test_the_first_failure_is_enough_where_that_was_asked() -> None:
    one = watch(stop_at_first=True)
    assert one.reason is None
    one.failed(failure())
    assert one.reason == "stopped after the first failure, as asked"


def test_failures_are_counted_whatever_they_are() -> None:
    one = watch(max_failures=3)
    for line in range(2):
        one.failed(failure(line=line))
    assert one.reason is None
    one.failed(failure("KeyError"))
    assert one.reason == "stopped after 3 failures, as asked"


def test_twenty_times_the_same_error_in_a_row_stop_the_run() -> None:
    one = watch()
    for _ in range(19):
        one.failed(failure())
    assert one.reason is None
    one.failed(failure())
    assert one.reason is not None
    assert one.reason.startswith(
        "stopped because 20 configurations in a row failed with the same error (ValueError: x)"
    )


def test_a_success_or_another_error_in_between_starts_the_count_again() -> None:
    one = watch()
    for turn in range(100):
        one.failed(failure())
        if turn % 15 == 14:
            one.succeeded()
    assert one.reason is None
    two = watch()
    for turn in range(100):
        two.failed(failure(line=turn % 2))
    assert two.reason is None


def test_who_gives_a_limit_has_decided() -> None:
    one = watch(max_failures=math.inf)
    for _ in range(1000):
        one.failed(failure())
    assert one.reason is None
    assert not one.suspicious


def test_half_way_the_next_configurations_should_come_from_elsewhere() -> None:
    one = watch()
    for _ in range(10):
        one.failed(failure())
    assert one.suspicious
    one.failed(failure())
    assert not one.suspicious
