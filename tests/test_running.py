"""What a run promises."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import itertools
import json
import math
import os
import pickle
import platform
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from memento import (
    AggregateException,
    CacheMiss,
    ConsoleNotificationProvider,
    DefaultNotificationProvider,
    Memento,
    Named,
    OptionError,
    ProcessExecutor,
    Results,
    SerialExecutor,
    Status,
    TooManyFailures,
    WorkerStartError,
    checkpoints,
)
from memento.events import RunFinished, RunProgressed, RunStarted, Started
from memento.experiment import Experiment
from memento.hashing import digest
from memento.layout import checkpoint_path
from memento.matrix.expand import generate_configurations
from memento.matrix.runtime import seconds_of
from memento.overview import overview
from memento.protocols import Lost, Noted, Report
from memento.running.options import Options
from memento.running.tasks import Tasks
from memento.store import open_store
from memento.store.reading import Reader
from memento.task import Failure, Task
from memento.validity import Validity
from tests import experiments
from tests.experiments import noted
from tests.store.helpers import frame, key_of


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def matrix(notes: Path, *values: int, **settings: Any) -> dict[str, Any]:
    return {"parameters": {"x": list(values)}, "settings": {"notes": str(notes), **settings}}


def run(experiment: Any, what: Any, *, workers: int = 2, executor: Any = "processes", **options: Any) -> Results:
    results = Memento(experiment, num_workers=workers, executor=executor).run(what, progress=False, **options)
    assert results is not None
    return results


@pytest.mark.parametrize("executor", ["processes", "threads", "serial"])
def test_results_come_in_matrix_order(executor: str, notes: Path) -> None:
    results = run(experiments.square, matrix(notes, 3, 1, 2), executor=executor)
    assert [result.inner for result in results] == [9, 1, 4]
    assert [result.was_cached for result in results] == [False] * 3


def test_what_is_stored_is_not_run_again(notes: Path) -> None:
    run(experiments.square, matrix(notes, 1, 2))
    results = run(experiments.square, matrix(notes, 1, 2, 3))
    assert len(noted(notes)) == 3
    assert [result.was_cached for result in results] == [True, True, False]
    assert [result.inner for result in results] == [1, 4, 9]


def test_force_run_computes_anew_and_keeps_the_old_as_history(notes: Path) -> None:
    first = run(experiments.square, matrix(notes, 1))
    again = run(experiments.square, matrix(notes, 1), force_run=True)
    assert len(noted(notes)) == 2
    assert not again[0].was_cached
    assert first[0].start_time < again[0].start_time


def test_force_cache_names_the_configuration_that_is_missing(notes: Path) -> None:
    run(experiments.square, matrix(notes, 1))
    with pytest.raises(CacheMiss, match=r"no stored result for \{'x': 2\}"):
        run(experiments.square, matrix(notes, 1, 2), force_cache=True)
    with pytest.raises(KeyError):
        run(experiments.square, matrix(notes, 1, 2), force_cache=True)
    assert run(experiments.square, matrix(notes, 1), force_cache=True)[0].inner == 1


def test_a_dry_run_prints_what_would_run_and_runs_nothing(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(experiments.square, matrix(notes, 1))
    what = {**matrix(notes, 1, 2), "parameters": {"x": [1, 2], "model": [dict]}}
    assert Memento(experiments.square).run(what, dry_run=True) is None
    assert capsys.readouterr().out == (
        "Running configurations:\n"
        "  {'x': 1, 'model': dict}\n"
        "  {'x': 2, 'model': dict}\n"
        "2 configurations: 0 stored, 2 to run\n"
        "Exiting due to dry run\n"
    )
    assert len(noted(notes)) == 1


def test_a_dry_run_prints_where_not_every_character_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "out.txt", "w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        Memento(experiments.square).run({"parameters": {"x": ["Zürich"]}}, dry_run=True)
        memento = Memento(experiments.square)
        memento.add_matrix({"id": "Zürich", "parameters": {"x": [1]}})
        memento.run_all(dry_run=True)

    assert (tmp_path / "out.txt").read_text().splitlines() == [
        "Running configurations:",
        "  {'x': 'Z\\xfcrich'}",
        "1 configuration: 0 stored, 1 to run",
        "Exiting due to dry run",
        "Matrix 'Z\\xfcrich':",
        "Running configurations:",
        "  {'x': 1}",
        "1 configuration: 0 stored, 1 to run",
        "Exiting due to dry run",
    ]


def test_a_dry_run_counts_what_failed_before(notes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(experiments.failing_at_three, matrix(notes, 2, 3), on_error="return")
    Memento(experiments.failing_at_three).run(matrix(notes, 1, 2, 3), dry_run=True)
    assert "3 configurations: 1 stored, 2 to run, 1 of them failed before\n" in capsys.readouterr().out


def test_a_failure_is_raised_at_the_end_with_all_results(notes: Path) -> None:
    with pytest.raises(AggregateException) as caught:
        run(experiments.failing_at_three, matrix(notes, 1, 2, 3, 4, 5))
    assert isinstance(caught.value, ExceptionGroup)
    (failed,) = caught.value.exceptions
    assert failed.config.x == 3  # type: ignore[attr-defined]
    assert "ValueError: three is too many" in str(failed)
    assert "{'x': 3}" in str(failed)
    assert "in failing_at_three" in str(failed)
    results = caught.value.results
    assert results is not None
    assert [result.status for result in results] == [Status.SUCCEEDED] * 2 + [Status.FAILED] + [Status.SUCCEEDED] * 2
    assert results[2].log == "on the way to failure\n"
    assert len(noted(notes)) == 5


@pytest.mark.parametrize(
    ("experiment", "error", "printed"),
    [
        (experiments.failing_at_three, "ValueError: three is too many", "on the way to failure"),
        (experiments.dying_at_three, "SIGKILL (9)", "on the way to death"),
    ],
)
def test_a_failure_is_shown_with_its_configuration_and_what_it_had_printed(
    experiment: Any, error: str, printed: str, notes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Memento(experiment, num_workers=1).run(matrix(notes, 2, 3), on_error="return", progress=True)
    lines = capsys.readouterr().err.splitlines()
    (place,) = [number for number, line in enumerate(lines) if line == "failed  x=3"]
    assert error in lines[place + 1]
    assert lines[-2] == f"      | {printed}"
    assert lines[-1].startswith("2 configurations: 1 succeeded, 1 failed in ")


def test_failures_can_be_returned(notes: Path) -> None:
    results = run(experiments.failing_at_three, matrix(notes, 2, 3), on_error="return")
    assert [result.ok for result in results] == [True, False]
    assert results[1].error is not None
    assert results[1].error.type == "ValueError"


def test_a_stored_failure_is_tried_again(notes: Path) -> None:
    for _ in range(2):
        run(experiments.failing_at_three, matrix(notes, 2, 3), on_error="return")
    assert sorted(noted(notes)) == ["{'x': 2}", "{'x': 3}", "{'x': 3}"]


def test_stop_starts_nothing_new_after_the_first_failure(notes: Path) -> None:
    with pytest.raises(AggregateException) as caught:
        run(
            experiments.failing_at_three,
            matrix(notes, 3, *range(10, 60)),
            on_error="stop",
            workers=1,
            executor="serial",
        )
    assert len(noted(notes)) < 20
    assert any(isinstance(error, TooManyFailures) for error in caught.value.exceptions)
    assert caught.value.results is not None
    assert caught.value.results[50].status is Status.CANCELLED


def test_max_failures_stops_early(notes: Path) -> None:
    with pytest.raises(AggregateException, match="failed"):
        run(experiments.always_failing, matrix(notes, *range(200)), max_failures=3)
    assert 3 <= len(noted(notes)) < 100


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_a_first_block_that_fails_does_not_stop_what_comes_after_it(executor: str, tmp_path: Path) -> None:
    results = Memento(experiments.failing_below_thirty, num_workers=2, executor=executor).run(
        {"parameters": {"x": list(range(600))}}, cache_path=tmp_path, on_error="return", progress=False
    )
    assert results is not None
    assert results.counts() == {Status.SUCCEEDED: 570, Status.FAILED: 30}
    assert [result.inner for result in results.succeeded] == list(range(30, 600))


def test_one_error_common_to_all_does_not_burn_the_night(notes: Path) -> None:
    with pytest.raises(AggregateException) as caught:
        run(experiments.always_failing, matrix(notes, *range(2000)))
    (reason,) = [error for error in caught.value.exceptions if isinstance(error, TooManyFailures)]
    assert "configurations in a row failed with the same error (KeyError: 'the bug')" in str(reason)
    assert len(noted(notes)) < 500


def test_timeout_ends_one_experiment_and_no_other(notes: Path) -> None:
    results = run(experiments.hanging_at_three, matrix(notes, 1, 2, 3, 4), timeout=1.0, on_error="return")
    assert [result.status for result in results] == [
        Status.SUCCEEDED,
        Status.SUCCEEDED,
        Status.TIMED_OUT,
        Status.SUCCEEDED,
    ]
    assert "in hanging_at_three" in results[2].traceback


def test_a_timeout_can_be_tried_again(notes: Path) -> None:
    results = run(
        experiments.hanging_at_three, matrix(notes, 3), timeout=0.5, retries={"timeout": 1}, on_error="return"
    )
    assert [attempt.status for attempt in results[0].attempts] == [Status.TIMED_OUT] * 2


def test_half_a_gigabyte_is_one_configurations_business(notes: Path) -> None:
    results = run(experiments.half_a_gigabyte_at_three, matrix(notes, 1, 3))
    assert results[0].inner == 1
    assert results[1].inner.nbytes == 500_000_000
    assert results[1].inner[-1] == 3


def test_timeout_is_refused_where_nothing_can_be_ended(notes: Path) -> None:
    with pytest.raises(OptionError, match="needs an executor that can end an experiment"):
        run(experiments.square, matrix(notes, 1), timeout=1, executor="serial")


def test_a_killed_worker_costs_its_own_configuration(notes: Path) -> None:
    results = run(experiments.dying_at_three, matrix(notes, *range(8)), on_error="return")
    assert [result.status for result in results] == [Status.KILLED if x == 3 else Status.SUCCEEDED for x in range(8)]
    assert sorted(noted(notes)) == [f"{{'x': {x}}}" for x in range(8)]


def test_retries_by_cause_keep_every_attempt(notes: Path) -> None:
    results = run(
        experiments.succeeding_at_the_third_attempt, matrix(notes, 1), retries={ConnectionError: 1, "exit": 1}
    )
    assert results[0].inner == 3
    attempts = results[0].attempts
    assert [attempt.status for attempt in attempts] == [Status.FAILED, Status.KILLED, Status.SUCCEEDED]
    assert [attempt.error.type if attempt.error else None for attempt in attempts] == [
        "ConnectionResetError",
        "WorkerExited",
        None,
    ]
    assert [attempt.log for attempt in attempts] == ["attempt 1\n", "attempt 2\n", "attempt 3\n"]
    assert [attempt.host for attempt in attempts] == [platform.node()] * 3
    starts = [attempt.start_time for attempt in attempts]
    waits = [(after - before).total_seconds() for before, after in itertools.pairwise(starts)]
    assert waits[0] >= 0.1
    assert waits[1] >= 0.2


def test_what_an_experiment_reports_is_shown_inside_the_bar_while_it_runs(tmp_path: Path) -> None:
    seen = tmp_path / "seen"

    def experiment(context: Any, config: Any) -> None:
        context.progress(3, total=10)
        until = time.monotonic() + 30
        while not seen.exists() and time.monotonic() < until:
            time.sleep(0.01)

    class Bar:
        hears = (RunProgressed,)
        running: tuple[Any, ...] = ()

        def handle(self, event: RunProgressed) -> None:
            if any(activity.done for activity in event.running):
                self.running = event.running
                seen.touch()

        def close(self) -> None:
            pass

    bar = Bar()
    Memento(experiment, num_workers=1, listeners=[bar]).run({"parameters": {"x": [7]}}, progress=False)
    (activity,) = bar.running
    assert (activity.label, activity.done, activity.total) == ("x=7", 3, 10)


def test_what_a_run_that_ends_early_gives_up_is_not_done_and_no_time_is_left_for_it(notes: Path) -> None:
    heard = []

    class Bar:
        hears = (RunProgressed, RunFinished)

        def handle(self, event: RunProgressed) -> None:
            heard.append(event)

        def close(self) -> None:
            pass

    with pytest.warns(UserWarning, match="stopped after the first failure"):
        Memento(experiments.one_fails_while_another_works, num_workers=2, listeners=[Bar()]).run(
            {"parameters": {"x": list(range(20))}}, on_error="return", max_failures=1, progress=False
        )
    counts = heard[-1].counts
    assert (counts.failed, counts.failed + counts.succeeded + counts.cancelled) == (1, 20)
    assert counts.done == counts.failed + counts.succeeded < 20
    assert [event.left for event in heard[-3:]] == [None, None, None]


def test_a_provider_that_fails_costs_no_experiment_anything_and_is_reported_once() -> None:
    class Broken(DefaultNotificationProvider):
        def task_completed(self) -> None:
            raise RuntimeError("out of paper")

        task_failure = all_tasks_completed = task_completed

    def experiment(x: int) -> int:
        return x // (x - 3)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = Memento(experiment, Broken(), executor="serial").run(
            {"parameters": {"x": list(range(9))}}, progress=False, on_error="return"
        )
    assert results is not None
    assert [result.ok for result in results] == [x != 3 for x in range(9)]
    assert [str(one.message) for one in caught] == [
        "the notification provider Broken failed: RuntimeError: out of paper "
        "(further problems with it are not reported)"
    ]


def test_serial_runs_in_this_process_and_thread_and_processes_in_another_by_default() -> None:
    def experiment(x: int) -> tuple[int, bool]:
        return os.getpid(), threading.current_thread() is threading.main_thread()

    what = {"parameters": {"x": [1]}}
    assert run(experiment, what, executor="serial")[0].inner == (os.getpid(), True)
    results = Memento(experiment, version="by default", num_workers=1).run(what, progress=False)
    assert results is not None
    assert results[0].inner[0] != os.getpid()


def test_workers_are_fresh_interpreters_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "CHANGED", True, raising=False)

    def experiment(x: int) -> bool:
        return hasattr(json, "CHANGED")

    what = {"parameters": {"x": [1]}}
    assert run(experiment, what, workers=1)[0].inner is False
    with contextlib.closing(ProcessExecutor(1, start_method="fork")) as forking:
        assert run(experiment, what, executor=forking, force_run=True)[0].inner is True


@pytest.mark.parametrize("executor", ["processes", "threads"])
def test_as_many_experiments_as_this_process_may_use_cpus_run_at_once_by_default(executor: str) -> None:
    class Start:
        hears = (RunStarted,)
        workers = 0

        def handle(self, event: RunStarted) -> None:
            self.workers = event.workers

        def close(self) -> None:
            pass

    allowed, start = os.sched_getaffinity(0), Start()
    os.sched_setaffinity(0, {min(allowed)})
    try:
        Memento(lambda x: x, executor=executor, listeners=[start]).run({"parameters": {"x": [1]}}, progress=False)
    finally:
        os.sched_setaffinity(0, allowed)
    assert start.workers == 1


def test_spent_retries_leave_a_failure(notes: Path) -> None:
    results = run(experiments.failing_at_three, matrix(notes, 3), retries=2, on_error="return")
    assert results[0].status is Status.FAILED
    assert len(noted(notes)) == 3
    assert len(results[0].attempts) == 3


def test_a_killed_experiment_goes_on_from_its_checkpoint(notes: Path) -> None:
    results = run(experiments.stepping, matrix(notes, 1), retries={"killed": 1})
    assert results[0].inner == 10
    assert len(noted(notes)) == 10
    assert list(results[0].metric_points("done")[0]) == list(range(1, 11))
    store = results[0]._store  # type: ignore[attr-defined]
    assert list((store.root / "checkpoints").rglob("*")) == [
        checkpoint_path(store.root, bytes.fromhex(results[0].key)).parent
    ]


def test_force_run_goes_on_from_no_checkpoint_but_those_of_its_own_attempts(notes: Path) -> None:
    run(experiments.stepping, matrix(notes, 1), on_error="return")
    assert len(noted(notes)) == 4
    run(experiments.stepping, matrix(notes, 1), on_error="return", force_run=True)
    assert len(noted(notes)) == 4 + 4
    results = run(experiments.stepping, matrix(notes, 1), retries={"killed": 1}, force_run=True)
    assert len(noted(notes)) == 4 + 4 + 10
    assert list(results[0].metric_points("done")[0]) == list(range(1, 11))


def test_force_run_goes_on_from_what_another_run_has_checkpointed_since_it_looked(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        standing = Validity(store, Experiment(name="e"), newest=0, force_run=True, rerun=False)
    before, since = (checkpoints.About("", checkpoints.UNKNOWN, time.time() + seconds) for seconds in (-10, 10))
    assert [standing.goes_on_from(checkpoint) for checkpoint in (before, since)] == [False, True]


def test_force_run_takes_what_another_run_has_stored_since_it_looked_and_nothing_older(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.save([frame(1), frame(1, attempt=2)])
        standing = Validity(store, Experiment(name="e"), newest=1, force_run=True, rerun=False)
        assert [(entry.id, standing.counts(entry)) for entry in store.history(key_of(1))] == [(1, False), (2, True)]


@pytest.mark.parametrize("executor", ["processes", "threads", "serial"])
def test_experiments_are_given_the_bare_value_of_what_is_named(executor: str, notes: Path) -> None:
    one = Named("corpus-v2", [1, 2])
    values = {"alone": one, "inside": [(one, 3), {"deep": one}]}
    settings = {f"{name}_there": value for name, value in values.items()}
    what = {"parameters": {name: [value] for name, value in values.items()}, "settings": settings}
    results = run(experiments.bare_values, what, executor=executor)
    config = results[0].config
    alone, inside, alone_there, inside_there, keys, text = results[0].inner
    assert alone == alone_there == [1, 2]
    assert inside == inside_there == [([1, 2], 3), {"deep": [1, 2]}]
    assert keys == (digest(config).hex(), digest(config.settings).hex())
    assert text == str(config)
    assert text.startswith("{'alone': Named('corpus-v2'), 'inside': [(Named('corpus-v2'), 3), {'deep': ")
    assert config.alone is one
    assert [str(one) for one in results.to_frame()["alone"]] == ["Named('corpus-v2')"]
    assert [str(one) for one in results.records.to_frame()["alone"]] == ["Named('corpus-v2')"]
    other = Named("corpus-v2", "other")
    again = {"alone": [other], "inside": [[(other, 3), {"deep": other}]]}
    assert run(experiments.bare_values, {**what, "parameters": again}, executor=executor)[0].was_cached


def test_metrics_artifacts_and_seeds_are_kept_with_the_result(notes: Path) -> None:
    results = run(experiments.recording, matrix(notes, 1, 2))
    frame = results[0].metrics["accuracy"]
    assert list(frame.x) == [0, 1, 2, 3, 4]
    assert list(results[0].metrics["loss"].y) == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert results[1].directory is not None
    assert (results[1].directory / "model.txt").read_text() == "model 2"
    assert results[0].inner["seed"] != results[1].inner["seed"]
    assert "INFO trained" in results[0].log
    again = run(experiments.recording, matrix(notes, 1, 2), force_run=True)
    assert [result.inner["seed"] for result in again] == [result.inner["seed"] for result in results]
    assert results[0].runtime.total_seconds() > 0
    assert results[0].memory.hardware_peak > 1_000_000
    assert results[0].start_time.utcoffset() is not None


def test_large_results_metrics_and_logs_are_kept_in_files_and_read_back(notes: Path, store_path: Path) -> None:
    results = run(experiments.large, matrix(notes, 1, 2))
    assert results[1].inner.sum() == 2 * 100_000
    assert len(results[1].metrics["step"]) == 10_000
    assert len(list((store_path / "blobs").rglob("*.value"))) == 2
    assert len(list((store_path / "blobs").rglob("*.metrics"))) == 2
    again = run(experiments.large, matrix(notes, 1, 2))
    assert again[0].was_cached
    assert (again[0].inner == results[0].inner).all()


def test_metrics_recorded_before_a_kill_are_kept(notes: Path) -> None:
    results = run(experiments.recording_until_killed, matrix(notes, 1), on_error="return")
    assert results[0].status is Status.KILLED
    assert len(results[0].metrics["step"]) >= 1


def test_replicates_have_their_own_seeds_and_more_of_them_run_only_the_new(notes: Path) -> None:
    five = run(experiments.recording, {**matrix(notes, 1), "replicates": 3})
    ten = run(experiments.recording, {**matrix(notes, 1), "replicates": 5})
    assert [result.was_cached for result in ten] == [True] * 3 + [False] * 2
    assert len({result.inner["seed"] for result in ten}) == 5
    assert [result.config.replicate for result in ten] == [0, 1, 2, 3, 4]
    assert len(five) == 3


def test_an_experiment_called_by_name_can_ask_for_its_replicate() -> None:
    def experiment(x: int, replicate: int) -> int:
        return 10 * x + replicate

    results = run(experiment, {"parameters": {"x": [1, 2]}, "replicates": 2}, executor="serial")
    assert [result.inner for result in results] == [10, 11, 20, 21]


def test_an_introduced_parameter_finds_older_results(notes: Path) -> None:
    run(experiments.square, matrix(notes, 1, 2))
    grown = {**matrix(notes, 1, 2), "introduced": {"depth": 2}}
    grown["parameters"] = {"x": [1, 2], "depth": [2, 3]}
    results = run(experiments.square, grown)
    assert [result.was_cached for result in results] == [True, False, True, False]
    assert len(noted(notes)) == 4


def test_a_failure_from_before_a_parameter_was_introduced_is_tried_again(notes: Path) -> None:
    run(experiments.failing_at_three, matrix(notes, 2, 3), on_error="return")
    grown = {**matrix(notes, 2, 3), "introduced": {"depth": 2}}
    grown["parameters"] = {"x": [2, 3], "depth": [2]}
    results = run(experiments.failing_at_three, grown, on_error="return")
    assert [(result.status, result.was_cached) for result in results] == [
        (Status.SUCCEEDED, True),
        (Status.FAILED, False),
    ]
    assert len(noted(notes)) == 3


def test_older_results_of_many_configurations_are_looked_for_in_pieces(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(experiments.square, matrix(notes, *range(30)), executor="serial")
    grown = {**matrix(notes), "introduced": {"depth": 2, "width": 1, "notes": str(notes)}}
    grown["parameters"] = {"x": list(range(40)), "depth": [2, 3], "width": [1]}
    asked: list[int] = []

    def counted(store: Reader, keys: Sequence[bytes]) -> Any:
        asked.append(len(keys))
        return find_rows(store, keys)

    find_rows = Reader.find_rows
    monkeypatch.setattr(Reader, "find_rows", counted)
    monkeypatch.setattr("memento.plan.ALTERNATIVES", 64)  # two to the power of three names, for eight rows
    results = run(experiments.square, [grown, {**grown, "settings": {"notes": f"{notes}2"}}], executor="serial")
    assert [result.was_cached for result in results] == ([True, False] * 30 + [False] * 20) + [False] * 80
    assert max(asked[1:]) <= 64


def test_runtime_says_how_to_run_and_is_no_part_of_the_key(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # who has set it keeps it, and Dask does so in its process

    def experiment(context: Any, config: Any) -> Any:
        return round(context.time_left()), os.environ["OMP_NUM_THREADS"]

    what = {"parameters": {"x": [1]}, "runtime": {"cpus": 2, "memory": "2G", "time": "01:00:00", "gpus": 0}}
    assert run(experiment, what)[0].inner == (3600, "2")
    assert run(experiment, {**what, "runtime": {"time": 5}})[0].was_cached


class Refusing(SerialExecutor):
    """Says why nothing happens, and then that nothing ever will."""

    def submit(self, tasks: Sequence[Task]) -> None:
        self.refused = list(tasks)

    def wait(self, timeout: float) -> list[Report]:
        failure = Failure(type="NeverBegun", message="too large", cause="memory")
        tasks, self.refused = self.refused, []
        lost = [
            Lost(task=task, status=Status.FAILED, failure=failure, started=0.0, runtime=0.0, final=True)
            for task in tasks
        ]
        return [Noted(message="the queue is closed"), *lost]


def test_what_an_executor_notes_is_told_and_what_it_calls_final_is_not_tried_again(
    notes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = Memento(experiments.square, executor=Refusing()).run(matrix(notes, 1), retries=5, on_error="return")
    assert results is not None
    assert [(one.attempt, one.status) for one in results[0].attempts] == [(1, Status.FAILED)]
    assert "the queue is closed" in capsys.readouterr().err


def test_nothing_is_begun_after_an_interrupt_of_an_experiment_in_this_process(notes: Path) -> None:
    def experiment(context: Any, config: Any) -> None:
        experiments.note(config)
        if config.x == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(experiment, matrix(notes, 1, 2, 3, 4, 5), executor="serial")

    assert len(noted(notes)) == 3


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_what_an_interrupted_run_has_comes_with_the_exception(
    number: signal.Signals, error: type[BaseException], notes: Path
) -> None:
    def experiment(context: Any, config: Any) -> Any:
        if config.x == 3:
            signal.raise_signal(number)
        return config.x

    with pytest.raises(error) as caught:
        run(experiment, matrix(notes, 1, 2, 3, 4), executor="serial")

    results = caught.value.results  # type: ignore[attr-defined]
    assert [result.inner for result in results.succeeded] == [1, 2]
    assert [result.status.value for result in results] == ["succeeded", "succeeded", "cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("executor", "exits", "error"),
    [("processes", False, "TimeoutError"), ("threads", False, "TimeoutError"), ("processes", True, "WorkerExited")],
)
def test_however_experiments_end_that_an_interrupt_told_to_stop_they_have_not_failed(
    executor: str, exits: bool, error: str, notes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class AtTheSecond:
        hears = (Started,)

        def __init__(self) -> None:
            self.begun = 0

        def handle(self, event: Started) -> None:
            self.begun += 1
            if self.begun == 2:
                signal.raise_signal(signal.SIGINT)

        def close(self) -> None:
            pass

    class Provider(DefaultNotificationProvider):
        def task_failure(self) -> None:
            print("told of a failure")

    def memento(*listeners: Any) -> Memento:
        return Memento(
            experiments.stopping_with_an_error, Provider(), num_workers=2, executor=executor, listeners=listeners
        )

    what = matrix(notes, 1, 2, 3, exits=exits)
    with pytest.raises(KeyboardInterrupt) as caught:
        memento(AtTheSecond()).run(what, retries=3)

    told = capsys.readouterr()
    assert "told of a failure" not in told.out
    assert "failed" not in told.err
    assert "3 configurations are left: run the same again" in told.err
    stopped = caught.value.results[0]  # type: ignore[attr-defined]
    assert stopped.status is Status.CANCELLED
    assert (stopped.error.type, stopped.error.cause) == (error, "cancelled")
    if not exits:  # else what was recorded last may be lost, as whenever a process ends
        assert list(stopped.metrics["loss"].y) == [0.5]

    again = memento().run({**what, "parameters": {"x": [1, 2]}})
    assert again is not None
    assert [result.inner for result in again] == ["went on", "went on"]


def test_an_interrupt_of_which_an_experiment_in_this_process_makes_another_error_is_no_failure(notes: Path) -> None:
    def experiment(context: Any, config: Any) -> None:
        experiments.note(config)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            sys.exit(1)

    with pytest.raises(KeyboardInterrupt) as caught:
        run(experiment, matrix(notes, 1, 2, 3), executor="serial")

    assert [result.status.value for result in caught.value.results] == ["cancelled"] * 3  # type: ignore[attr-defined]
    assert len(noted(notes)) == 1
    assert not overview().failures


def test_failures_are_failures_also_in_a_run_that_is_begun_where_an_interrupt_is_being_handled(notes: Path) -> None:
    def experiment(context: Any, config: Any) -> None:
        experiments.note(config)
        raise ValueError("a real fault")

    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        results = run(experiment, matrix(notes, 1, 2), executor="serial", on_error="return", retries=2)

    assert [(result.status.value, result.error.cause) for result in results] == [("failed", "error")] * 2
    assert len(noted(notes)) == 6


class Interrupting:
    """Is interrupted, in mid-experiment as far as anyone can see, when it is stored for the first time."""

    def __init__(self, number: signal.Signals, flag: Path) -> None:
        self.number, self.flag = number, flag

    def __reduce__(self) -> Any:
        if not self.flag.exists():
            self.flag.touch()
            signal.raise_signal(self.number)
        return str, ("stored",)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_an_interrupt_while_a_result_is_made_ready_is_no_failure_and_nothing_is_begun_after_it(
    number: signal.Signals, error: type[BaseException], notes: Path, tmp_path: Path
) -> None:
    def experiment(context: Any, config: Any) -> Any:
        experiments.note(config)
        return Interrupting(number, tmp_path / "interrupted") if config.x == 3 else config.x

    what = matrix(notes, 1, 2, 3, 4, 5)
    with pytest.raises(error):
        run(experiment, what, executor="serial")
    assert len(noted(notes)) == 3
    assert not overview().failures

    assert [result.inner for result in run(experiment, what, executor="serial")] == [1, 2, "stored", 4, 5]
    assert len(noted(notes)) == 6


def test_an_experiment_that_uses_up_all_file_descriptors_fails_alone(notes: Path) -> None:
    results = run(experiments.leaving_no_descriptor, matrix(notes, 1), on_error="return")

    assert results[0].status is Status.FAILED
    assert "Too many open files" in results[0].error.message
    assert ", in leaving_no_descriptor" in results[0].traceback


def test_where_a_run_has_a_timeout_the_time_of_the_runtime_does_not_count() -> None:
    configurations = generate_configurations({"parameters": {"x": [1]}, "runtime": {"time": "1:00"}})
    plan: Any = SimpleNamespace(keys=list(configurations.keys()))
    limits = [Tasks(configurations, plan, timeout=timeout).of(0).timeout for timeout in (None, 5.0, 500.0)]
    assert limits == [60.0, 5.0, 500.0]


def test_the_time_of_the_runtime_ends_an_experiment(notes: Path) -> None:
    what = {**matrix(notes, 3), "runtime": {"time": "00:01"}}
    assert run(experiments.hanging_at_three, what, on_error="return")[0].status is Status.TIMED_OUT


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (5, 300),
        ("5", 300),
        ("05:30", 330),
        ("01:00:00", 3600),
        ("2-12", 216000),
        ("1-00:30", 88200),
        ("1-1:1:1", 90061),
    ],
)
def test_times_are_read_as_slurm_reads_them(time: Any, seconds: float) -> None:
    assert seconds_of(time) == seconds


class Trainer:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def method(self, context: Any, config: Any) -> int:
        return self.factor * config.x

    @classmethod
    def of_class(cls, context: Any, config: Any) -> int:
        return 2 * config.x

    def __call__(self, context: Any, config: Any) -> int:
        return self.factor * config.x


class Constructed:
    def __init__(self, context: Any, config: Any) -> None:
        self.value = 2 * config.x

    def __eq__(self, other: object) -> bool:
        return other == self.value

    __hash__ = None  # type: ignore[assignment]


def closure(factor: int) -> Any:
    return lambda context, config: factor * config.x


@pytest.mark.parametrize(
    "experiment",
    [
        lambda context, config: 2 * config.x,
        closure(2),
        Trainer(2).method,
        Trainer.of_class,
        Trainer(2),
        Constructed,
        functools.partial(lambda factor, context, config: factor * config.x, 2),
        lambda x: 2 * x,
        lambda context, x: (context.attempt + 1) * x,
        lambda config: 2 * config["x"],
    ],
)
@pytest.mark.parametrize("executor", ["processes", "serial"])
def test_any_callable_is_an_experiment(experiment: Any, executor: str) -> None:
    results = run(experiment, {"parameters": {"x": [1, 2]}}, workers=1, executor=executor)
    assert [result.inner for result in results] == [2, 4]


def test_closures_with_other_values_have_other_results() -> None:
    what = {"parameters": {"x": [1]}}
    assert run(closure(2), what, executor="serial")[0].inner == 2
    assert run(closure(3), what, executor="serial")[0].inner == 3


def test_an_experiment_cannot_change_what_others_are_given() -> None:
    def experiment(x: int, history: list[int]) -> list[int]:
        history.append(x)
        return history

    what = {"parameters": {"x": [1, 2], "history": [[0]]}}
    for executor in ("processes", "serial"):
        results = Memento(experiment, executor=executor, version=executor, num_workers=1).run(what, progress=False)
        assert results is not None
        assert [result.inner for result in results] == [[0, 1], [0, 2]]
    assert what["parameters"]["history"] == [[0]]


@pytest.mark.parametrize("suffix", ["folder", "file.sqlite", "empty.db"])
def test_the_store_may_be_a_folder_a_new_file_or_an_empty_one(suffix: str, notes: Path, tmp_path: Path) -> None:
    path = tmp_path / suffix
    if suffix == "empty.db":
        path.touch()
    for _ in range(2):
        run(experiments.square, matrix(notes, 1), cache_path=str(path), workers=1)
    assert len(noted(notes)) == 1
    assert path.is_dir() == (suffix == "folder")


def test_two_runs_at_once_share_the_work(notes: Path) -> None:
    what = matrix(notes, *range(100), seconds=0.06)
    both: list[Results] = []
    threads = [threading.Thread(target=lambda: both.append(run(experiments.sleeping, what))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(noted(notes)) == sorted(f"{{'x': {x}}}" for x in range(100))
    for results in both:
        assert [result.inner for result in results] == [x**2 for x in range(100)]
    shares = [sum(not result.was_cached for result in results) for results in both]
    assert min(shares) >= 3


def test_run_all_hands_results_on_and_tells_once_at_the_end() -> None:
    told: list[str] = []

    class Provider:
        def task_completed(self) -> None:
            told.append("completed")

        def task_failure(self) -> None:
            told.append("failed")

        def all_tasks_completed(self) -> None:
            told.append("all")

    def experiment(context: Any, config: Any) -> int:
        return config["first"] * 10 if "first" in config else config.x

    memento = Memento(experiment, Provider(), 1, executor="serial")  # type: ignore[arg-type]
    first = {"id": "first", "dependencies": [], "parameters": {"x": [1, 2]}}
    memento.add_matrix({"id": "second", "dependencies": ["first"], "parameters": {}})
    memento.add_matrix(first)
    results = memento.run_all(progress=False)
    assert results is not None
    assert [result.inner for result in results["second"]] == [10, 20]
    assert told == ["completed"] * 4 + ["all"]
    assert first == {"id": "first", "dependencies": [], "parameters": {"x": [1, 2]}}


class _Unloadable(Trainer):
    def __reduce__(self) -> Any:
        return _explode, ()


def _explode() -> None:
    raise RuntimeError("not here")


def test_after_workers_could_not_load_an_experiment_the_next_run_does_not_wait_for_it(store_path: Path) -> None:
    what = {"parameters": {"x": [1, 2, 3]}}
    for _ in range(2):
        with pytest.raises(WorkerStartError, match="not here"):
            run(_Unloadable(2), what)
    assert list((store_path / "spool").iterdir()) == []


def test_stopping_early_does_not_stop_what_is_running(notes: Path) -> None:
    what = matrix(notes, 0, 1, *range(5, 50))
    with pytest.warns(UserWarning, match="stopped after the first failure"):
        results = run(experiments.one_fails_while_another_works, what, max_failures=1, on_error="return")
    assert results[1].inner == "worked to the end"
    assert results[46].status is Status.CANCELLED


def test_a_polite_end_at_the_time_limit_is_a_timeout(notes: Path) -> None:
    results = run(experiments.ending_at_its_limit, matrix(notes, 1), timeout=0.5, on_error="return")
    assert results[0].status is Status.TIMED_OUT


def test_an_interrupt_that_nobody_sent_is_a_failure_like_any_other() -> None:
    def experiment(x: int) -> int:
        raise KeyboardInterrupt

    results = run(experiment, {"parameters": {"x": [1]}}, on_error="return")
    assert results[0].status is Status.FAILED
    assert results[0].error is not None
    assert results[0].error.type == "KeyboardInterrupt"


def test_an_experiment_that_cannot_be_sent_is_refused_with_what_to_do() -> None:
    lock = threading.Lock()

    def experiment(x: int) -> int:
        with lock:
            return x

    with (
        pytest.warns(UserWarning, match="carries lock"),
        pytest.raises(WorkerStartError, match=r"it uses lock, of type _thread\.lock .* make it inside"),
    ):
        run(experiment, {"parameters": {"x": [1]}})
    with pytest.warns(UserWarning, match="carries lock"):
        assert run(experiment, {"parameters": {"x": [1]}}, executor="threads")[0].inner == 1


def test_a_result_can_be_pickled_before_it_is_read() -> None:
    result = run(lambda x: [x], {"parameters": {"x": [1]}}, executor="serial")[0]
    copied = pickle.loads(pickle.dumps(result))
    assert copied == result
    assert copied.inner == copy.deepcopy(result).inner == [1]


def test_a_dry_run_of_a_thousand_million_is_told_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    axis = list(range(1000))
    what = {"parameters": {"a": axis, "b": axis, "c": axis}}
    assert Memento(lambda a, b, c: 0).run(what, dry_run=True) is None
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 104
    assert lines[-3:] == [
        "  … and 999,999,900 more",
        "1,000,000,000 configurations, too many to look each up in the store",
        "Exiting due to dry run",
    ]


def test_what_is_no_provider_is_refused() -> None:
    with pytest.raises(OptionError, match="is the class ConsoleNotificationProvider, not a provider"):
        Memento(len, ConsoleNotificationProvider)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="which has none of the methods task_completed"):
        Memento(len, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_a_failing_stage_is_said_and_told_once_and_keeps_what_there_is(on_error: str) -> None:
    told: list[Any] = []

    class Provider:
        def all_tasks_completed(self, event: Any) -> None:
            told.append((event.counts.succeeded, event.counts.failed))

    def experiment(context: Any, config: Any) -> Any:
        if "first" in config or config.x < 0:
            return config.x
        raise ValueError("no")

    memento = Memento(experiment, Provider(), executor="serial")  # type: ignore[arg-type]
    memento.add_matrix({"id": "alone", "parameters": {"x": [-1]}})
    memento.add_matrix({"id": "first", "parameters": {"x": [1, 2]}})
    memento.add_matrix({"id": "second", "dependencies": ["first"], "parameters": {"x": [5]}})
    with pytest.raises(AggregateException) as caught:
        memento.run_all(progress=False, on_error=on_error)
    assert len(caught.value.exceptions) == 2
    if on_error == "return":
        assert "no experiment of matrix 'first' succeeded, and 'second' depend on it" in str(caught.value)
    assert told == [(1, 2)]


def test_a_run_that_stopped_early_says_so_where_failures_are_returned(notes: Path) -> None:
    with pytest.warns(UserWarning, match="stopped after 2 failures, as asked"):
        run(experiments.always_failing, matrix(notes, *range(50)), max_failures=2, on_error="return")


def test_what_threads_cannot_give_is_refused_or_warned_of() -> None:
    what = {"parameters": {"x": [1]}, "runtime": {"gpus": 1}}
    with pytest.raises(OptionError, match="runtime asks for gpus, which ThreadExecutor cannot lease"):
        run(lambda x: x, what, executor="threads")
    with pytest.warns(UserWarning, match=r"runtime\['time'\] is not enforced") as caught:
        Memento(lambda x: x, executor="serial").run({**what, "runtime": {"time": 5}}, progress=False)
    assert [warning.filename for warning in caught] == [__file__]


async def asynchronous(context: Any, config: Any) -> int:
    return 1


def generating(context: Any, config: Any) -> Iterator[int]:
    yield 1


@functools.wraps(asynchronous)
def waited_for(context: Any, config: Any) -> int:
    return asyncio.run(asynchronous(context, config))


class Asynchronous:
    async def __call__(self, context: Any, config: Any) -> int:
        return 1


@pytest.mark.parametrize(
    ("func", "told"),
    [
        (asynchronous, r"is an async function, .* write def f\(...\): return asyncio.run\(g\(...\)\)"),
        (Asynchronous(), "is an async function"),
        (generating, "is a generator, .* return a value, or a list of what it yields"),
        (functools.partial(generating, 1), "is a generator"),
    ],
)
def test_what_gives_nothing_to_store_when_it_is_called_is_refused_before_anything_runs(func: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Memento(func)


def test_a_wrapper_that_waits_for_an_async_function_is_an_experiment(tmp_path: Path) -> None:
    results = Memento(waited_for, executor="serial").run({"parameters": {"x": [1]}}, cache_path=tmp_path)
    assert [result.inner for result in results or ()] == [1]


def test_a_cache_path_that_is_no_path_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^cache_path=3 is no path; give a folder or a file as text or pathlib.Path"):
        Memento(experiments.square, executor="serial").run({"parameters": {"x": [1]}}, cache_path=3)  # type: ignore[arg-type]


def test_options_that_cannot_be_meant_are_refused_before_anything_runs(notes: Path) -> None:
    what = matrix(notes, 1)
    for options, message in [
        ({"on_error": "ignore"}, "on_error='ignore' is not one of 'raise', 'return', 'stop'"),
        ({"timeout": -1}, "timeout=-1 is not a number of seconds above 0"),
        ({"max_failures": 0}, "max_failures=0 is not a number from 1 on"),
        ({"retries": "many"}, "retries='many' is not a whole number from 0 on, nor numbers by cause"),
        ({"retries": numpy.array([1, 2])}, r"retries=array\(\[1, 2\]\) is not a whole number from 0 on"),
        ({"timeout": numpy.array([60.0])}, r"timeout=array\(\[60.\]\) is not a number of seconds above 0"),
        ({"force_run": True, "force_cache": True}, "force_run and force_cache exclude each other"),
    ]:
        with pytest.raises(OptionError, match=message):
            run(experiments.square, what, **options)
    with pytest.raises(OptionError, match="executor='cluster' is not one of"):
        Memento(experiments.square, executor="cluster")
    with pytest.raises(OptionError, match="nor an object with the methods of"):
        Memento(experiments.square, executor=object())  # type: ignore[arg-type]
    for count in (0, -1, True, 1.5, math.inf, math.nan, "two"):
        with pytest.raises(OptionError, match=rf"num_workers={count!r} is not a whole number from 1 on"):
            Memento(experiments.square, num_workers=count)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="func=3 cannot be called"):
        Memento(3)  # type: ignore[arg-type]
    assert noted(notes) == []


def test_the_numbers_of_options_may_be_of_numpy(notes: Path) -> None:
    options = {"timeout": numpy.int64(60), "max_failures": numpy.int64(3), "retries": numpy.int64(1)}
    results = run(experiments.square, matrix(notes, 3), executor="processes", **options)
    assert [result.inner for result in results] == [9]
    assert Options(timeout=numpy.float32(1.5)).timeout == 1.5  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"^timeout=np.int64\(0\) is not a number of seconds above 0$"):
        Options(timeout=numpy.int64(0))  # type: ignore[arg-type]


def test_overhead_of_waiting_workers_is_small(notes: Path) -> None:
    """Forty experiments of 50 ms on two workers take about a second, in the ideal."""
    begun = time.perf_counter()
    run(experiments.sleeping, matrix(notes, *range(40), seconds=0.05))
    assert time.perf_counter() - begun < 4 * 40 * 0.05 / 2


def test_a_dry_run_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(OptionError, match="dry_run='scirpt' is not one of True, False, 'script'"):
        Memento(lambda x: x).run({"parameters": {"x": [1]}}, dry_run="scirpt")


def test_a_dry_run_speaks_of_one_configuration_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    Memento(lambda x: x).run({"parameters": {"x": [1]}}, dry_run=True)
    assert "1 configuration: 0 stored, 1 to run" in capsys.readouterr().out
