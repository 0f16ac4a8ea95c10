"""What users give to executors is refused at once where it cannot be meant."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest

from memento import DaskExecutor, OptionError, ProcessExecutor, RayExecutor, SlurmExecutor, ThreadExecutor
from memento.executors.processes.crew import usable_cpus


@pytest.mark.parametrize("count", [0, -1, 2.5, math.inf, True])
@pytest.mark.parametrize("kind", [ProcessExecutor, ThreadExecutor, DaskExecutor, RayExecutor])
def test_a_number_of_workers_that_cannot_be_meant_is_refused_at_once(kind: Any, count: Any) -> None:
    with pytest.raises(OptionError, match=rf"workers={count} is not a number from 1 on") as caught:
        kind(workers=count)
    assert (caught.value.option, caught.value.value) == ("workers", count)


def test_a_number_of_workers_may_be_any_whole_number_and_is_one_for_each_cpu_where_it_is_left_out() -> None:
    assert ThreadExecutor(numpy.int64(3)).slots == ProcessExecutor(3.0).slots == 3  # type: ignore[arg-type]
    assert ThreadExecutor().slots == ProcessExecutor().slots == usable_cpus()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"A": 1},
            r"environment\['A'\] cannot be a variable: its name .* str and its value of type int, not text",
        ),
        (
            {1: "A"},
            r"environment\[1\] cannot be a variable: its name is of type int and .* str, not text",
        ),
        ({"A=B": "1"}, r"environment\['A=B'\] cannot be a variable: its name is empty or holds '='"),
        ({"TOKEN": "secret\0"}, r"environment\['TOKEN'\] cannot be a variable: it holds a null character$"),
    ],
)
def test_what_cannot_be_a_variable_of_a_worker_is_named_at_once(environment: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ProcessExecutor(1, environment=environment)


def test_a_time_that_slurm_could_not_read_is_named_with_the_forms_that_it_reads() -> None:
    for time in ("1h", "", "1:2:3:4", "2-"):
        with pytest.raises(OptionError, match=rf"time={time!r} is not a time; write a text such as '01:30:00' or"):
            SlurmExecutor(time=time)
