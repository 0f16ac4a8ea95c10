"""What users give to executors is refused at once where it cannot be meant."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest

from memento import DaskExecutor, OptionError, ProcessExecutor, RayExecutor, SlurmExecutor, ThreadExecutor
from memento.executors.processes.worker_pool import usable_cpus


@pytest.mark.parametrize("count", [0, -1, 2.5, math.inf, True])
@pytest.mark.parametrize("kind", [ProcessExecutor, ThreadExecutor, DaskExecutor, RayExecutor])
def test_a_number_of_workers_that_cannot_be_meant_is_refused_at_once(kind: Any, count: Any) -> None:
    with pytest.raises(OptionError, match=rf"workers={count} is not a whole number from 1 on") as caught:
        kind(workers=count)
    assert (caught.value.option, caught.value.value) == ("workers", count)


def test_a_number_of_workers_may_be_any_whole_number_and_is_one_for_each_cpu_where_it_is_left_out() -> None:
    assert ThreadExecutor(numpy.int64(3)).slots == ProcessExecutor(3.0).slots == 3  # type: ignore[arg-type]
    assert ThreadExecutor().slots == ProcessExecutor().slots == usable_cpus()


@pytest.mark.parametrize("most", [0, "3", 1.5, True])
def test_after_how_many_tasks_a_worker_is_replaced_is_a_whole_number_from_1_on(most: Any) -> None:
    with pytest.raises(OptionError, match=f"^max_tasks_per_worker={most!r} is not a whole number from 1 on$"):
        ProcessExecutor(1, max_tasks_per_worker=most)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"setup": "module load cuda"}, "setup='module load cuda' is not a list of texts; write ['module load cuda']"),
        ({"setup": ["module load cuda", 12]}, "setup=['module load cuda', 12] is not a list of texts"),
        ({"growth": "2"}, "growth='2' is not a finite number from 1 on"),
        ({"growth": 0.5}, "growth=0.5 is not a finite number from 1 on"),
        ({"growth": math.inf}, "growth=inf is not a finite number from 1 on"),
        ({"warning": "60"}, "warning='60' is not a finite number from 0 on"),
        ({"grace": math.nan}, "grace=nan is not a number from 0 on"),
        ({"warning": numpy.int64(-1)}, "warning=np.int64(-1) is not a finite number from 0 on"),
        ({"growth": numpy.bool_(True)}, "growth=np.True_ is not a finite number from 1 on"),
        ({"max_requeues": -1}, "max_requeues=-1 is not a whole number from 0 on"),
        ({"max_jobs": 0}, "max_jobs=0 is not a whole number from 1 on"),
        ({"workers": None}, "workers=None is not a whole number from 1 on"),
        ({"pack": "all"}, "pack='all' is not a whole number from 1 on, nor 'auto'"),
        ({"memory": 1.5}, "memory=1.5 is no size; write a text such as '2G', or a number of bytes"),
        ({"memory": "2X"}, "memory='2X' is no size; write a text such as '2G', or a number of bytes"),
    ],
)
def test_what_slurm_jobs_cannot_be_made_with_is_refused_before_there_is_one(options: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        SlurmExecutor(**options)
    assert (str(caught.value), caught.value.option) == (message, *options)


def test_the_numbers_of_slurm_jobs_may_be_of_numpy() -> None:
    SlurmExecutor(warning=numpy.int64(60), growth=numpy.float32(1.5), grace=numpy.int64(60), max_jobs=numpy.int64(3))  # type: ignore[arg-type]


def test_a_misspelt_word_is_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"^start_method='forksever' is not one of .*; did you mean 'forkserver'\?$"):
        ProcessExecutor(1, start_method="forksever")


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
