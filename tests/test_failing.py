"""When a run should start nothing new."""

from __future__ import annotations

import math

from memento.running.circuit_breaker import CircuitBreaker
from memento.task import Failure


def failure(kind: str = "ValueError", line: int = 3) -> Failure:
    return Failure(type=kind, message="x", traceback=f'Traceback\n  File "a.py", line {line}, in f\n    raise')


def watch(*, stop_at_first: bool = False, max_failures: float | None = None) -> CircuitBreaker:
    return CircuitBreaker(stop_at_first=stop_at_first, max_failures=max_failures)


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


def spreading(sample: set[bytes]) -> tuple[CircuitBreaker, list[int]]:
    """Return a watch, and how often it has asked for configurations from elsewhere, which are then `sample`."""
    asked: list[int] = []

    def spread() -> set[bytes]:
        asked.append(len(asked) + 1)
        return sample

    return CircuitBreaker(stop_at_first=False, max_failures=None, spread=spread), asked


def test_half_way_the_next_configurations_come_from_elsewhere_and_only_they_count() -> None:
    one, asked = spreading({bytes([number]) for number in range(100, 120)})
    for number in range(9):
        one.failed(failure(), bytes([number]))
    assert asked == []
    for number in range(9, 60):  # of the same block, handed out before
        one.failed(failure(), bytes([number]))
    assert asked == [1]
    assert one.reason is None
    for number in range(100, 109):
        one.failed(failure(), bytes([number]))
    assert one.reason is None
    one.failed(failure(), bytes([109]))
    assert one.reason is not None
    assert one.reason.startswith("stopped because 70 configurations in a row failed with the same error")


def test_a_success_elsewhere_shows_that_an_error_is_not_common_to_all() -> None:
    one, asked = spreading({bytes([number]) for number in range(100, 120)})
    for turn in range(5):
        for number in range(15):
            one.failed(failure(), bytes([number]))
        assert asked == list(range(1, turn + 2))
        one.succeeded()
    assert one.reason is None


def test_where_little_is_left_all_of_it_counts() -> None:
    one, _ = spreading({b"a", b"b"})
    for number in range(10):
        one.failed(failure(), bytes([number]))
    one.failed(failure(), b"a")
    assert one.reason is None
    one.failed(failure(), b"b")
    assert one.reason is not None
