"""How runs and errors are put into words, and that failures are grouped in bounded room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memento.error_groups import ErrorGroups
from memento.events import Counts
from memento.wording import duration, one_line, rate, standing, totals
from tests.notifications.telling import failed


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-1, "0.0 s"),
        (0.26, "0.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (86400 * 12 + 3600 * 5, "12 d 05 h"),
    ],
)
def test_a_duration_is_said_in_the_units_of_its_size(seconds, said):
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("speed", "said"), [(12345.6, "12,346/s"), (1, "1.0/s"), (0.5, "2.0 s each"), (0.001, "16 min 40 s each")]
)
def test_a_speed_below_one_is_said_as_the_time_of_one(speed, said):
    assert rate(speed) == said


def test_totals_name_only_what_there_is():
    assert totals(Counts(), 0) == "0 configurations: nothing to run in 0.0 s"
    assert totals(Counts(total=1, succeeded=1), 1) == "1 configuration: 1 succeeded in 1.0 s"
    assert (
        totals(Counts(total=9, stored=1, succeeded=2, failed=1, cancelled=2, running=1), 60)
        == "9 configurations: 1 stored, 2 succeeded, 1 failed, 2 cancelled, 1 unfinished, 2 not started in 1 min 00 s"
    )


def test_the_time_left_is_said_while_something_is_left():
    assert standing(Counts(total=2, succeeded=1), 5) == "1 of 2 done, about 5.0 s left"
    assert standing(Counts(total=2, succeeded=2), 5) == "2 of 2 done"
    assert standing(Counts(total=2, failed=1), None) == "1 of 2 done, 1 failed"


def test_what_a_run_gave_up_is_not_done():
    assert standing(Counts(total=8, succeeded=4, cancelled=4), None) == "4 of 8 done"
    assert Counts(total=8, succeeded=4, cancelled=3).waiting == 1


@given(st.text(), st.integers(min_value=2, max_value=50))
def test_one_line_is_one_line_that_steers_no_terminal(text, limit):
    line = one_line(text, limit)

    assert len(line) <= limit
    assert line.splitlines() in ([], [line])
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in line)


def groups_of(*failures, **options):
    groups = ErrorGroups(**options)
    for failure in failures:
        groups.add(failure)
    return groups


def test_messages_that_differ_in_numbers_are_one_group_and_say_so():
    same = groups_of(failed(0, "row 7"), failed(1, "row 7")).snapshot()
    alike = groups_of(failed(0, "row 7 of 0x7f3a"), failed(1, "row 8 of 0x9b"), failed(2, "row 7 of 1e-5")).snapshot()

    assert [group.title for group in same] == ["ValueError: row 7 (2 times)"]
    assert [group.title for group in alike] == ["ValueError: row 7 of 0x7f3a (3 times, and similar)"]


def test_the_most_frequent_error_comes_first():
    groups = groups_of(failed(0, "rare"), *[failed(0, "often", "OSError")] * 3)

    assert [(group.type, group.count) for group in groups.snapshot()] == [("OSError", 3), ("ValueError", 1)]


def test_a_group_lists_some_configurations_and_counts_the_rest():
    (group,) = groups_of(*[failed(number) for number in range(12)], examples=2).snapshot()

    assert group.lines() == [
        "ValueError: singular matrix (12 times)",
        "    model='svm' lr=0.1",
        "    model='svm' lr=0.2",
        "    and 10 more configurations",
    ]


@given(st.lists(st.tuples(st.sampled_from("ABCDEFGH"), st.text(max_size=3)), max_size=60))
def test_no_failure_is_lost_and_the_groups_stay_few(errors):
    groups = groups_of(*[failed(0, message, kind) for kind, message in errors], groups=3, examples=2)

    found = groups.snapshot()
    assert sum(group.count for group in found) == groups.total == len(errors)
    assert len(found) <= 2 * 3 + 1
    assert all(1 <= len(group.examples) <= 2 for group in found)
