"""Results: loaded when read, chosen, compared and tabled."""

from __future__ import annotations

import csv
import math
import pickle
import subprocess
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from memento import payload
from memento.config import Config
from memento.entry import Entry
from memento.errors import (
    AggregateException,
    ExperimentFailed,
    MissingExtra,
    NotStored,
    OptionError,
    UnknownMetric,
    UnknownParameter,
    UnreadableResult,
)
from memento.heads import frame_of, pack_head
from memento.layout import artifact_path
from memento.results import MemoryUsage, Result, Results
from memento.store import open_store
from memento.task import Failure, Outcome, Part, Status

RUN = b"run-one!"
OTHER_RUN = b"run-two!"


@dataclass
class Shelf:
    """A store in memory: keeps outcomes as bytes, and counts what is loaded."""

    root: Path = Path("nowhere")
    entries: list[Entry] = field(default_factory=list)
    parts: dict[bytes, dict[str, bytes]] = field(default_factory=dict)
    loads: list[tuple[int, str]] = field(default_factory=list)

    def load(self, entry: Entry, part: str) -> bytes:
        self.loads.append((entry.id, part))
        return self.parts[entry.head][part]

    def history(self, key: bytes) -> Sequence[Entry]:
        return [entry for entry in self.entries if entry.key == key]

    def artifact_path(self, key: bytes, run: bytes, attempt: int) -> Path:
        return artifact_path(self.root, key, run, attempt)


def metrics_of(**series: Sequence[float]) -> bytes:
    packed = {name: (array("d", range(len(ys))), array("d", ys)) for name, ys in series.items()}
    return b"".join(bytes(chunk) for chunk in payload.pack_metrics(packed))


@dataclass
class Score:
    """What an experiment may return."""

    accuracy: float


@dataclass
class Made:
    """A run made by hand: `add` one configuration after another, then take the `results`."""

    shelf: Shelf = field(default_factory=Shelf)
    configs: list[Any] = field(default_factory=list)
    entries: list[Entry | None] = field(default_factory=list)
    cached: list[bool] = field(default_factory=list)

    def add(
        self,
        parameters: dict[str, Any],
        value: Any = None,
        *,
        failure: Failure | None = None,
        status: Status = Status.FAILED,
        metrics: bytes = b"",
        log: bytes = b"",
        replicate: int | None = None,
        settings: Mapping[str, Any] | None = None,
        cached: bool = False,
        started: bool = True,
    ) -> Made:
        self.configs.append(Config.of(parameters, replicate=replicate, settings=settings))
        self.cached.append(cached)
        number = len(self.entries)
        self.entries.append(
            self.store(number, value, failure=failure, status=status, metrics=metrics, log=log) if started else None
        )
        return self

    def store(
        self,
        number: int,
        value: Any = None,
        *,
        failure: Failure | None = None,
        status: Status = Status.FAILED,
        metrics: bytes = b"",
        log: bytes = b"",
        run: bytes = RUN,
        attempt: int = 1,
    ) -> Entry:
        encoded = payload.encode(value)
        data = b"".join(bytes(chunk) for chunk in encoded.chunks) if failure is None else b""
        outcome = Outcome(
            key=number.to_bytes(16, "big"),
            run=run,
            attempt=attempt,
            status=Status.SUCCEEDED if failure is None else status,
            started=1_700_000_000.0 + number,
            runtime=2.5 + number,
            cpu_time=1.25,
            hardware_peak=2048,
            virtual_peak=4096,
            host="node7",
            summary=encoded.summary if failure is None else b"",
            failure=failure,
            value=Part(encoded.codec if failure is None else 0, len(data), b"d" * 16, data),
            metrics=Part(1 if metrics else 0, len(metrics), b"d" * 16, metrics),
            log=Part(1 if log else 0, len(log), b"d" * 16, log),
        )
        entry = Entry(number, pack_head(outcome))
        self.shelf.entries.append(entry)
        self.shelf.parts[entry.head] = {"value": data, "metrics": metrics, "log": log}
        return entry

    @property
    def results(self) -> Results:
        return Results(configs=self.configs, entries=self.entries, store=self.shelf, cached=self.cached)


BOOM = Failure(type="ValueError", message="boom", traceback="Traceback …\nValueError: boom\n")


@pytest.fixture
def made() -> Made:
    return Made()


def scores() -> Made:
    made = Made()
    made.add({"model": "svm", "lr": 0.1}, {"accuracy": 0.8, "epochs": 3}, metrics=metrics_of(loss=[3, 2, 1]))
    made.add({"model": "svm", "lr": 0.01}, {"accuracy": 0.9, "epochs": 5}, metrics=metrics_of(loss=[3, 0.5]))
    made.add({"model": "tree", "lr": 0.1}, failure=BOOM, metrics=metrics_of(loss=[0.1]))
    made.add({"model": "tree", "lr": 0.01}, {"accuracy": 0.7, "epochs": 1}, cached=True)
    return made


# ── one result ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_result_tells_everything_about_its_experiment(made: Made) -> None:
    made.add({"model": "svm"}, {"accuracy": 0.9}, log="printed ü".encode(), cached=True)
    result = made.results[0]
    assert result.config["model"] == "svm"
    assert result.inner == {"accuracy": 0.9}
    assert (result.status, result.ok, result.error, result.traceback) == (Status.SUCCEEDED, True, None, "")
    assert result.start_time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert result.start_time is not None
    assert result.start_time.utcoffset() == timedelta(0)
    assert result.runtime == timedelta(seconds=2.5)
    assert result.cpu_time == timedelta(seconds=1.25)
    assert result.memory == MemoryUsage(hardware_peak=2048, virtual_peak=4096)
    assert (result.host, result.key, result.log) == ("node7", "0" * 32, "printed ü")
    assert result.was_cached is True
    assert repr(result) == "Result({'model': 'svm'}, succeeded, {'accuracy': 0.9}, 2.5 s, from the store)"


def test_nothing_is_loaded_before_it_is_read_and_then_once(made: Made) -> None:
    made.add({"a": 1}, [1, 2], metrics=metrics_of(loss=[1]), log=b"hello")
    result = made.results[0]
    assert (result.ok, result.runtime, result.error, repr(result)) is not None
    assert made.shelf.loads == []
    assert result.inner is result.inner
    assert made.shelf.loads == [(0, "value")]
    assert result.metrics is result.metrics
    assert result.log == "hello"
    assert made.shelf.loads == [(0, "value"), (0, "metrics"), (0, "log")]


def test_parts_that_are_empty_are_not_asked_for(made: Made) -> None:
    made.add({"a": 1}, 0.5)
    result = made.results[0]
    assert (result.inner, len(result.metrics), result.log) == (0.5, 0, "")
    assert made.shelf.loads == []


def test_the_value_of_a_failure_is_an_error_that_says_what_happened(made: Made) -> None:
    made.add({"a": 1}, failure=BOOM, log=b"before it broke")
    result = made.results[0]
    assert (result.ok, result.error, result.log) == (False, BOOM, "before it broke")
    assert result.traceback == "Traceback …\nValueError: boom\n"
    assert result.summary is None
    with pytest.raises(NotStored) as caught:
        _ = result.inner
    assert str(caught.value) == (
        "there is no value for {'a': 1}: failed (ValueError: boom); see .traceback and .log, "
        "and use results.succeeded to leave out what failed"
    )
    assert repr(result) == "Result({'a': 1}, failed (ValueError: boom), 2.5 s)"


def test_a_returned_none_is_a_value(made: Made) -> None:
    made.add({"a": 1}, None)
    assert made.results[0].inner is None


def test_a_configuration_that_never_ran_is_cancelled(made: Made) -> None:
    made.add({"a": 1}, started=False)
    result = made.results[0]
    assert (result.status, result.ok, result.start_time, result.runtime) == (
        Status.CANCELLED,
        False,
        None,
        timedelta(0),
    )
    assert (result.log, result.host, result.attempts, result.directory) == ("", "", [], None)
    assert (result.key, result.cpu_time, result.memory) == (result.config.key, timedelta(0), MemoryUsage())
    assert len(result.metrics) == 0
    with pytest.raises(
        NotStored, match=r"cancelled \(Cancelled: it was never started, because the run stopped early\)"
    ):
        _ = result.inner


class RaisesWhenRead:
    def __setstate__(self, state: object) -> None:
        raise ValueError("no such state")

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


def test_a_value_that_cannot_be_read_leaves_the_rest_readable(made: Made) -> None:
    made.add({"a": 1}, {"model": RaisesWhenRead(), "accuracy": 0.5}, log=b"fine")
    result = made.results[0]
    with pytest.raises(UnreadableResult, match="RaisesWhenRead"):
        _ = result.inner
    assert (result.log, result.summary) == ("fine", {"accuracy": 0.5})


def test_every_attempt_of_the_run_is_told_and_none_of_other_runs(made: Made) -> None:
    killed = Failure(type="Killed", message="by signal 9", cause="killed")
    made.store(0, failure=BOOM, run=OTHER_RUN)
    made.add({"a": 1}, 0.5, log=b"third")
    made.entries[0] = made.store(0, 0.5, attempt=3, log=b"third")
    made.shelf.entries.pop(1)
    made.store(0, failure=killed, status=Status.KILLED, attempt=2)
    made.store(0, failure=BOOM, attempt=1, log=b"first")
    first, second, third = made.results[0].attempts
    assert [first.attempt, second.attempt, third.attempt] == [1, 2, 3]
    assert [first.status, second.status, third.status] == [Status.FAILED, Status.KILLED, Status.SUCCEEDED]
    assert (first.log, first.error, first.traceback) == ("first", BOOM, BOOM.traceback)
    assert (second.error, second.host, second.runtime) == (killed, "node7", timedelta(seconds=2.5))
    assert (third.log, third.error, third.start_time) == ("third", None, made.results[0].start_time)
    assert repr(second) == "Attempt(2, killed (Killed: by signal 9), 2.5 s)"


def test_the_directory_is_told_where_there_is_one(made: Made, tmp_path: Path) -> None:
    made.shelf.root = tmp_path
    result = made.add({"a": 1}, 0.5).results[0]
    assert result.directory is None
    folder = artifact_path(tmp_path, bytes(16), RUN, 1)
    folder.mkdir(parents=True)
    assert result.directory == folder


# ── from a real store ───────────────────────────────────────────────────────────────────────────────────────────────


def part(data: bytes, codec: int = 1) -> Part:
    return Part(codec, len(data), payload.digest_of([data]), data)


def test_results_are_read_from_a_real_store_and_travel_with_it(store_path: Path) -> None:
    failed = Outcome(key=bytes(16), run=RUN, attempt=1, status=Status.FAILED, started=1.0, runtime=1.0, failure=BOOM)
    done = Outcome(key=bytes(16), run=RUN, attempt=2, status=Status.SUCCEEDED, started=2.0, runtime=1.0)
    encoded = payload.encode([1, 2])
    value = part(b"".join(bytes(chunk) for chunk in encoded.chunks), encoded.codec)
    done = done._replace(value=value, metrics=part(metrics_of(loss=[3])), log=part(b"second"))
    with open_store(store_path) as store:
        store.save([frame_of(failed._replace(log=part(b"first"))), frame_of(done)])
        entries = [store.find([bytes(16)])[bytes(16)]]
        results = Results(configs=[Config.of({"a": 1})], entries=entries, store=store)
        other_store, travelled = pickle.loads(pickle.dumps((store, results)))
        with other_store:
            for result in (results[0], travelled[0]):
                assert (result.inner, result.log, result.metric_points("loss")[1][0]) == ([1, 2], "second", 3.0)
                told = [(attempt.attempt, attempt.status.value, attempt.log) for attempt in result.attempts]
                assert told == [(1, "failed", "first"), (2, "succeeded", "second")]
                assert result.directory is None


# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_metrics_are_frames_by_name(made: Made) -> None:
    made.add({"a": 1}, metrics=metrics_of(loss=[3, 2, 1], accuracy=[0.5]))
    metrics = made.results[0].metrics
    assert list(metrics) == ["loss", "accuracy"]
    assert ("loss" in metrics, "los" in metrics, len(metrics)) == (True, False, 2)
    frame = metrics["loss"]
    assert frame.to_dict("list") == {"x": [0.0, 1.0, 2.0], "y": [3.0, 2.0, 1.0]}
    assert list(frame.dtypes) == ["float64", "float64"]
    assert repr(metrics) == "Metrics({'loss': 3 points, 'accuracy': 1 points})"


def test_an_unknown_metric_names_the_known_ones(made: Made) -> None:
    made.add({"a": 1}, metrics=metrics_of(loss=[3], accuracy=[0.5]))
    result = made.results[0]
    with pytest.raises(UnknownMetric) as caught:
        _ = result.metrics["los"]
    assert str(caught.value) == "no 'los' was recorded by {'a': 1}; there is: 'loss', 'accuracy'"
    assert result.metrics.get("los") is None


def test_metric_points_are_arrays(made: Made) -> None:
    made.add({"a": 1}, metrics=metrics_of(loss=[3, 2]))
    assert made.results[0].metric_points("loss") == (array("d", [0, 1]), array("d", [3, 2]))


# ── a sequence ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_results_are_a_sequence_in_the_order_of_the_matrix() -> None:
    results = scores().results
    assert len(results) == 4
    assert [result.config["lr"] for result in results] == [0.1, 0.01, 0.1, 0.01]
    assert results[-1].inner["accuracy"] == 0.7
    assert [result.was_cached for result in results] == [False, False, False, True]
    part = results[1:][::-1]
    assert isinstance(part, Results)
    assert [result.config["lr"] for result in part] == [0.01, 0.1, 0.01]
    assert part[0].was_cached
    assert [result.key[-1] for result in reversed(part)] == ["1", "2", "3"]
    with pytest.raises(IndexError, match=r"^there is no result 4: these are 4, from 0 to 3$"):
        results[4]
    with pytest.raises(IndexError, match=r"^there is no result 0: there are none$"):
        results.filter(model="none such")[0]


def test_results_of_several_runs_put_together_are_a_list() -> None:
    first, second = scores().results[:2], scores().results[3:]
    for together in (first + second, first + list(second), list(first) + second):
        assert isinstance(together, list)
        assert [result.key[-1] for result in together] == ["0", "1", "3"]
    for strange in (1, "ab"):
        with pytest.raises(TypeError):
            first + strange  # type: ignore[operator]
        with pytest.raises(TypeError):
            strange + first  # type: ignore[operator]


def test_results_without_word_on_the_cache_were_computed() -> None:
    made = scores()
    assert not Results(configs=made.configs, entries=made.entries, store=made.shelf)[3].was_cached


def test_failures_are_what_failed_and_succeeded_what_has_a_value(made: Made) -> None:
    made.add({"a": 0}, 1)
    for number, status in enumerate((Status.FAILED, Status.TIMED_OUT, Status.KILLED, Status.CANCELLED), start=1):
        made.add({"a": number}, failure=BOOM, status=status)
    made.add({"a": 5}, started=False)
    results = made.results
    assert [result.config["a"] for result in results.failures] == [1, 2, 3]
    assert [result.config["a"] for result in results.succeeded] == [0]
    assert list(results.counts().values()) == [1, 1, 1, 1, 2]


def test_raise_for_failures_raises_them_all_with_the_results() -> None:
    results = scores().add({"model": "knn", "lr": 1.0}, started=False).results
    with pytest.raises(AggregateException, match="of 5 experiments: 1 failed, 1 cancelled") as caught:
        results.raise_for_failures()
    (error,) = caught.value.exceptions
    assert isinstance(error, ExperimentFailed)
    assert (error.status, error.failure, error.key) == (Status.FAILED, BOOM, "0" * 31 + "2")
    assert caught.value.results is results


def test_raise_for_failures_does_not_take_cancelled_for_done(made: Made) -> None:
    made.add({"a": 1}, 0.5).add({"a": 2}, started=False)
    with pytest.raises(AggregateException, match="of 2 experiments: 1 cancelled"):
        made.results.raise_for_failures()


def test_raise_for_failures_is_silent_when_all_succeeded(made: Made) -> None:
    made.add({"a": 1}, 0.5).results.raise_for_failures()


# ── filter ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Forest:
    pass


class Boosting(Forest):
    pass


def relu(x: float) -> float:
    return max(x, 0)


def rows(results: Results) -> list[int]:
    return [int(result.key, 16) for result in results]


def test_filter_takes_values_lists_and_functions() -> None:
    results = scores().results
    assert rows(results.filter(model="svm")) == [0, 1]
    assert rows(results.filter(model="svm", lr=lambda lr: lr < 0.1)) == [1]
    assert rows(results.filter(lr=[0.01, 0.5])) == [1, 3]
    assert rows(results.filter(model="forest")) == []
    assert rows(results.filter()) == [0, 1, 2, 3]
    assert rows(results[2:].filter(lr=0.01)) == [3]


def test_filter_knows_status_and_replicate() -> None:
    made = scores().add({"model": "svm"}, 1, replicate=2).add({"model": "svm"}, started=False)
    results = made.results
    assert rows(results.filter(status="failed")) == [2]
    assert rows(results.filter(status=Status.FAILED)) == [2]
    assert len(results.filter(status=["failed", Status.CANCELLED])) == 2
    assert len(results.filter(status=lambda status: not status.ok)) == 2
    assert rows(results.filter(replicate=2)) == [4]
    assert rows(results.filter(lr=lambda lr: True)) == [0, 1, 2, 3]


def test_filter_is_equal_as_keys_are(made: Made) -> None:
    made.add({"a": 1}).add({"a": True}).add({"a": 1.0}).add({"a": float("nan")}).add({"a": [1, 2]})
    results = made.results
    assert rows(results.filter(a=1)) == [0]
    assert rows(results.filter(a=True)) == [1]
    assert rows(results.filter(a=float("nan"))) == [3]
    assert rows(results.filter(a=[1, 2])) == [0, 4]


def test_filter_takes_classes_and_functions_that_are_values_as_values(made: Made) -> None:
    made.add({"model": Forest, "act": relu}).add({"model": Boosting, "act": None})
    results = made.results
    assert rows(results.filter(model=Forest)) == [0]
    assert rows(results.filter(act=relu)) == [0]
    assert rows(results.filter(model=lambda model: issubclass(model, Forest))) == [0, 1]


def test_filter_refuses_unknown_names_and_statuses() -> None:
    results = scores().results
    with pytest.raises(UnknownParameter) as unknown:
        results.filter(modle="svm")
    assert str(unknown.value) == (
        "no configuration has a parameter 'modle'; there is: 'model', 'lr' (and 'replicate' and 'status')"
    )
    with pytest.raises(OptionError, match="there is no status 'fialed'; there is: 'succeeded', 'failed', 'timed out'"):
        results.filter(status="fialed")


def test_an_error_in_a_condition_says_where(made: Made) -> None:
    made.add({"a": 1}).add({"a": "x"})
    with pytest.raises(TypeError) as caught:
        made.results.filter(a=lambda a: a < 2)
    assert caught.value.__notes__ == ["raised by the condition on 'a' at {'a': 'x'}"]


# ── best ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_best_looks_at_entries_metrics_and_times() -> None:
    results = scores().results
    assert results.best("accuracy").key[-1] == "1"
    assert results.best("accuracy", maximize=False).key[-1] == "3"
    assert results.best("loss", maximize=False).key[-1] == "1"  # the failed one recorded less, and does not count
    assert results.best("metric.loss").key[-1] == "0"
    assert results.best("result.epochs").key[-1] == "1"
    assert results.best("runtime").key[-1] == "3"
    assert results.best("run.cpu_time").key[-1] == "0"


def test_best_takes_single_numbers_as_result_and_leaves_nan_out(made: Made) -> None:
    made.add({"a": 1}, float("nan")).add({"a": 2}, 0.5).add({"a": 3}, 0.7).add({"a": 4}, 0.7)
    assert made.results.best("result").key[-1] == "2"


def test_best_refuses_unknown_names_with_the_known_ones() -> None:
    with pytest.raises(UnknownMetric) as caught:
        scores().results.best("acuracy")
    assert str(caught.value) == (
        "no 'acuracy' was returned or recorded by any experiment that succeeded; there is: 'accuracy', 'epochs', "
        "'loss', 'runtime', 'cpu_time', 'hardware_peak', 'virtual_peak'"
    )


def test_best_of_nothing_but_failures_says_so(made: Made) -> None:
    made.add({"a": 1}, {"accuracy": float("nan")}).add({"a": 2}, failure=BOOM)
    with pytest.raises(NotStored, match="none of the 2 experiments succeeded with a number for 'accuracy'"):
        made.results.best("accuracy")


@pytest.mark.parametrize("table", ["best", "best_mean", "aggregate"])
def test_a_number_of_no_results_is_refused_as_that(table: str) -> None:
    nothing = scores().results.filter(model="svm").filter(model="tree")
    with pytest.raises(NotStored) as refused:
        getattr(nothing, table)("loss")
    assert str(refused.value) == (
        "there are no results of which 'loss' could be looked at; were they chosen by a filter?"
    )


def test_best_by_a_key_that_is_no_string_is_refused(made: Made) -> None:
    made.add({"a": 1}, {7: 8})
    with pytest.raises(OptionError) as refused:
        made.results.best(7)  # type: ignore[arg-type]
    assert str(refused.value) == (
        "metric=7 is no string; of a returned dict, those entries can be chosen by whose keys are strings"
    )


def test_best_by_something_else_than_numbers_is_refused(made: Made) -> None:
    made.add({"a": 1}, {"name": "x"})
    with pytest.raises(OptionError, match="'name' is not a number but, for example, 'x'"):
        made.results.best("name")


@pytest.mark.parametrize(
    ("value", "name", "said"),
    [
        ([0.9, 0.8], "result", "'result' is not a number but a list; have the experiment return a number, or a dict"),
        (None, "result", "'result' is not a number but None; have the experiment return a number, or a dict"),
        (
            {"scores": [0.9], "n": 1},
            "scores",
            "'scores' is not a number but a list; have the experiment return {'scores'",
        ),
        (
            {"scores": [0.9]},
            "result.scores",
            "'result.scores' is not a number but a list; have the experiment return {",
        ),
    ],
)
def test_best_of_what_was_returned_and_is_no_number_says_what_it_is(
    made: Made, value: Any, name: str, said: str
) -> None:
    with pytest.raises(OptionError) as caught:
        made.add({"a": 0}, failure=BOOM).add({"a": 1}, value).results.best(name)
    assert str(caught.value).startswith(said)


def test_best_of_a_name_that_a_returned_dict_lacks_names_those_it_has(made: Made) -> None:
    with pytest.raises(UnknownMetric, match=r"no 'result' was returned or recorded .* there is: 'n', "):
        made.add({"a": 1}, {"n": 1, "scores": [0.9]}).results.best("result")
    with pytest.raises(UnknownMetric, match=r"no 'test' was returned or recorded .* there is: 'test.accuracy', "):
        made.add({"a": 2}, {"test": {"accuracy": 0.9}}).results[1:].best("test")


# ── tables ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_frame_has_a_row_for_each_configuration() -> None:
    frame = scores().results.to_frame()
    assert list(frame.columns) == [
        *("model", "lr", "status", "start_time", "runtime", "cpu_time", "hardware_peak", "virtual_peak"),
        *("accuracy", "epochs", "loss", "error", "key"),
    ]
    assert frame.model.tolist() == ["svm", "svm", "tree", "tree"]
    assert frame.status.tolist() == ["succeeded", "succeeded", "failed", "succeeded"]
    assert frame.runtime.tolist() == [2.5, 3.5, 4.5, 5.5]
    assert frame.accuracy.dropna().tolist() == [0.8, 0.9, 0.7]
    assert frame.loss.dropna().tolist() == [1.0, 0.5]
    assert frame.error.dropna().tolist() == ["ValueError: boom"]
    assert frame.key[1] == "0" * 31 + "1"
    assert str(frame.start_time.dtype).endswith("UTC]")
    assert str(frame.accuracy.dtype) == "float64"


def test_integers_keep_their_digits_in_the_frame_also_beside_failures(made: Made) -> None:
    values = {"n": 2**60 + 1, "wide": 2**63 + 1, "few": 3, "some": 0.5}
    made.add({"a": 1}, values).add({"a": 2}, failure=Failure(type="ValueError", message="no"))
    frame = made.results.to_frame()
    assert {name: str(frame[name].dtype) for name in values} == {
        "n": "Int64",
        "wide": "object",
        "few": "float64",
        "some": "float64",
    }
    assert [frame[name][0] for name in values] == list(values.values())
    assert [bool(pd.isna(frame[name][1])) for name in values] == [True] * 4
    assert made.results.pivot("status", "a", "n").loc["succeeded", 1] == 2**60 + 1


def test_a_text_with_half_a_surrogate_pair_spoils_no_table(made: Made) -> None:
    made.add({"file": "odd\udcff.csv"}, 1)
    made.add({"file": "good.csv"}, 2)
    frame = made.results.to_frame()
    assert frame.file.tolist() == ["odd\\udcff.csv", "good.csv"]
    assert frame.result.tolist() == [1, 2]


def test_half_a_surrogate_pair_is_an_escape_in_text_html_and_csv(made: Made, tmp_path: Path) -> None:
    results = made.add({"fi\udcffle": "odd\udcff.csv"}, 1).results
    results.to_csv(tmp_path / "table.csv")
    for text in (str(results), results._repr_html_(), (tmp_path / "table.csv").read_text(encoding="utf-8")):
        assert all(escape in text for escape in ("fi\\udcffle", "odd\\udcff.csv"))
        assert text.encode("utf-8")


def test_single_values_are_the_column_result(made: Made) -> None:
    frame = made.add({"a": 1}, 0.5).add({"a": 2}, 0.7).results.to_frame()
    assert frame.result.tolist() == [0.5, 0.7]


def test_nothing_returned_makes_no_column(made: Made) -> None:
    assert "result" not in made.add({"a": 1}, None).results.to_frame()


def test_replicates_are_a_column_where_there_are_any(made: Made) -> None:
    frame = made.add({"a": 1}, 1, replicate=0).add({"a": 1}, 2, replicate=1).results.to_frame()
    assert frame.columns.tolist()[:3] == ["a", "replicate", "status"]
    assert frame.replicate.tolist() == [0, 1]


def test_names_that_collide_get_their_group_before_them(made: Made) -> None:
    made.add(
        {"depth": 3, "status": "on", "error": "none"},
        {"depth": 5, "loss": 1.0},
        metrics=metrics_of(loss=[2], depth=[7]),
    )
    frame = made.results.to_frame()
    row = frame.iloc[0]
    assert (row["depth"], row["result.depth"], row["metric.depth"]) == (3, 5, 7)
    assert (row["status"], row["run.status"]) == ("on", "succeeded")
    assert (row["loss"], row["metric.loss"]) == (1.0, 2.0)
    assert row["error"] == "none"
    assert "run.error" in frame


def test_values_that_are_not_plain_are_readable(made: Made) -> None:
    when = datetime(2024, 1, 2)
    frame = made.add(
        {"model": Forest, "layers": (64, 32), "when": when, "none": None, "flag": True}, 1
    ).results.to_frame()
    row = frame.iloc[0]
    assert row["model"].endswith("test_results.Forest")
    assert "<class" not in row["model"]
    assert row["layers"] == "(64, 32)"
    assert (row["when"], row["none"], row["flag"]) == (when, None, True)


def test_numpy_numbers_stay_numbers(made: Made) -> None:
    import numpy as np

    frame = made.add({"lr": np.float64(0.5)}, 1).results.to_frame()
    assert frame.lr.tolist() == [0.5]


def test_times_of_numpy_stay_times_and_are_no_numbers(made: Made) -> None:
    import numpy as np

    when = np.datetime64("2020-01-01T00:00:00.000000001")
    made.add({"when": when, "years": np.timedelta64(5, "Y")}, {"when": when, "loss": 1, "none": np.ma.masked})
    made.add({"when": np.datetime64("NaT", "ns"), "years": np.timedelta64(6, "Y")}, {"when": when, "loss": 2})

    frame = made.results.to_frame()
    assert (frame.when.dtype, frame.when[0].nanosecond, frame.when.isna().tolist()) == ("M8[ns]", 1, [False, True])
    assert frame.years.tolist() == ["5 years", "6 years"]
    assert frame.loss.tolist() == [1, 2]
    assert not {"result.when", "none"} & set(frame)


def test_times_of_pandas_stay_times(made: Made, tmp_path: Path) -> None:
    import pandas as pd

    when = pd.Timestamp("2020-01-01 00:00:00.000000001")
    made.add({"when": when, "lasting": pd.Timedelta(1, "ns")}, 1)
    made.add({"when": pd.NaT, "lasting": pd.NaT}, 2)

    frame = made.results.to_frame()
    assert (frame.when[0], frame.lasting[0]) == (when, pd.Timedelta(1, "ns"))
    assert (frame.when.dtype.kind, frame.lasting.dtype.kind) == ("M", "m")
    made.results.to_csv(tmp_path / "table.csv")
    header, first, second = (line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines())
    assert (first[header.index("when")], second[header.index("when")]) == ("2020-01-01 00:00:00.000000001", "NaT")


def test_settings_are_columns_where_they_differ(made: Made) -> None:
    made.add({"a": 1}, 1, settings={"seed": 1, "fold": 5}).add({"a": 1}, 2, settings={"seed": 2, "fold": 5})
    frame = made.results.to_frame()
    assert frame["setting.seed"].tolist() == [1, 2]
    assert "setting.fold" not in frame


def test_configurations_of_a_union_leave_out_what_they_lack(made: Made) -> None:
    frame = made.add({"a": 1}, 1).add({"b": 2}, 2).results.to_frame()
    assert frame[["a", "b"]].isna().to_numpy().tolist() == [[False, True], [True, False]]


def test_an_empty_run_has_an_empty_table(made: Made) -> None:
    results = made.results
    assert (len(results), len(results.to_frame()), len(results.metrics_frame())) == (0, 0, 0)
    assert repr(results) == "0 results"
    assert "<table>" in results._repr_html_()
    assert rows(results.filter(a=1)) == []


def test_no_table_unpickles_anything(made: Made, tmp_path: Path) -> None:
    for number in range(30):
        made.add({"a": number}, {"model": RaisesWhenRead(), "accuracy": float(number)}, replicate=number % 3)
    results = made.results
    assert results.to_frame().accuracy.sum() == 435
    assert results.best("accuracy").config["a"] == 29
    assert len(results.filter(a=lambda a: a < 5)) == 5
    assert len(results.aggregate("accuracy")) == 30
    assert results.pivot("a", "replicate", "accuracy").shape == (30, 3)
    results.to_csv(tmp_path / "table.csv")
    assert "…" in repr(results) + results._repr_html_()
    results.raise_for_failures()
    assert made.shelf.loads == []


def test_the_metrics_frame_is_long() -> None:
    frame = scores().results.metrics_frame()
    assert list(frame.columns) == ["model", "lr", "status", "key", "metric", "x", "y"]
    assert frame.y.tolist() == [3, 2, 1, 3, 0.5, 0.1]
    assert frame.x.tolist() == [0, 1, 2, 0, 1, 0]
    assert frame.lr.tolist() == [0.1, 0.1, 0.1, 0.01, 0.01, 0.1]
    assert frame.metric.unique().tolist() == ["loss"]
    assert frame.status.tolist() == ["succeeded"] * 5 + ["failed"]
    assert frame.key.str[-1].tolist() == ["0", "0", "0", "1", "1", "2"]
    assert frame.index.tolist() == [0, 1, 2, 3, 4, 5]


def test_the_metrics_frame_keeps_a_parameter_called_x(made: Made) -> None:
    made.add({"x": "left"}, metrics=metrics_of(loss=[3], gain=[4, 5]), replicate=0)
    frame = made.results.metrics_frame()
    assert list(frame.columns) == ["x", "replicate", "status", "key", "metric", "metric.x", "y"]
    assert frame.metric.tolist() == ["loss", "gain", "gain"]
    assert frame.x.tolist() == ["left"] * 3


# ── replicates ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_aggregate_takes_replicates_together(made: Made) -> None:
    for model, values in (("svm", [0.5, 0.7, 0.9]), ("tree", [0.25, None, float("nan")]), ("knn", [None, None, None])):
        for replicate, value in enumerate(values):
            failure = BOOM if value is None else None
            made.add({"model": model, "lr": 0.1}, {"accuracy": value}, failure=failure, replicate=replicate)
    frame = made.results.aggregate("accuracy")
    assert list(frame.columns) == ["model", "lr", "mean", "std", "n", "missing"]
    assert frame["mean"].round(9).tolist()[:2] == [0.7, 0.25]
    assert frame["std"].round(9)[0] == 0.2
    assert frame["std"].isna().tolist() == [False, True, True]
    assert frame["mean"].isna().tolist() == [False, False, True]
    assert (frame["n"].tolist(), frame["missing"].tolist()) == ([3, 1, 0], [0, 2, 3])


def test_the_best_mean_gives_all_replicates_of_one_configuration(made: Made) -> None:
    for model, values in (("lucky", [0.99, 0.1, 0.2]), ("good", [0.8, None, 0.9]), ("bad", [None, None, None])):
        for replicate, value in enumerate(values):
            failure = BOOM if value is None else None
            made.add({"model": model}, {"accuracy": value}, failure=failure, replicate=replicate)
    chosen = made.results[1:].best_mean("accuracy")
    assert [(one.config.model, one.config.replicate, one.ok) for one in chosen] == [
        *(("good", 0, True), ("good", 1, False), ("good", 2, True))
    ]
    assert made.results.best_mean("accuracy", maximize=False)[0].config.model == "lucky"
    assert made.results.best("accuracy").config.model == "lucky"


def test_the_best_mean_needs_replicates_and_numbers(made: Made) -> None:
    with pytest.raises(OptionError, match="no replicates"):
        scores().results.best_mean("accuracy")
    made.add({"a": 1}, {"accuracy": float("nan")}, replicate=0)
    with pytest.raises(NotStored, match="with a number for 'accuracy'"):
        made.results.best_mean("accuracy")


@pytest.mark.parametrize(
    "values",
    [[1e200, 1.0], [1e308, 1e308], [math.inf, -math.inf], [math.inf, 1.0], [math.inf, math.inf], [-1e308, 1e308]],
)
def test_losses_that_diverged_have_the_mean_and_deviation_that_numpy_gives(made: Made, values: list[float]) -> None:
    for replicate, value in enumerate(values):
        made.add({"model": "diverged"}, {"loss": value}, replicate=replicate)
        made.add({"model": "fine"}, {"loss": 2.0}, replicate=replicate)
    frame = made.results.aggregate("loss").set_index("model")
    with np.errstate(all="ignore"):
        expected = [np.mean(values), np.std(values, ddof=1)]
    assert [repr(float(number)) for number in frame.loc["diverged", ["mean", "std"]]] == [
        repr(float(number)) for number in expected
    ]
    assert frame.loc["fine", ["mean", "std"]].tolist() == [2.0, 0.0]


def test_integers_beyond_the_digits_of_floats_have_their_own_mean_and_deviation(made: Made) -> None:
    for replicate in range(2):
        made.add({"a": 1}, {"n": 2**60 + 1 + 2 * replicate, "wide": replicate * 10**200}, replicate=replicate)
    (row,) = made.results.aggregate("n")[["mean", "std"]].to_numpy().tolist()
    assert row == [float(2**60 + 2), 2**0.5]
    (row,) = made.results.aggregate("wide")[["mean", "std"]].to_numpy().tolist()
    assert row == [5e199, math.inf]


@pytest.mark.parametrize(("sign", "mean"), [(1, math.inf), (-1, -math.inf)])
def test_integers_that_no_float_comes_near_have_an_infinite_mean(made: Made, sign: int, mean: float) -> None:
    for replicate in range(2):
        made.add({"a": 1}, {"n": sign * (2**1024 - 1)}, replicate=replicate)
    (row,) = made.results.aggregate("n")[["mean", "std"]].to_numpy().tolist()
    assert repr(row) == repr([mean, math.nan])


def test_an_integer_too_wide_for_tables_is_refused_as_such(made: Made) -> None:
    made.add({"a": 1}, {"n": 10**400}, replicate=0)
    with pytest.raises(OptionError) as caught:
        made.results.aggregate("n")
    assert str(caught.value) == (
        "'n' is not a number but an integer of 1329 bits, which no table takes; have the experiment return a float, "
        "or choose among the values of .inner yourself"
    )


@pytest.mark.parametrize("values", [[math.inf, -math.inf], [1e308, 1e308], [math.inf, 1.0]])
def test_the_best_mean_is_never_that_of_losses_that_diverged(made: Made, values: list[float]) -> None:
    for replicate, value in enumerate(values):
        made.add({"model": "diverged"}, {"loss": value}, replicate=replicate)
        made.add({"model": "fine"}, {"loss": 2.0}, replicate=replicate)
    assert made.results.best_mean("loss", maximize=False)[0].config.model == "fine"


def test_aggregate_never_mixes_parameters_or_settings(made: Made) -> None:
    made.add({"a": 1}, 1, replicate=0, settings={"fold": 1}).add({"a": True}, 2, replicate=0, settings={"fold": 1})
    made.add({"a": 1}, 3, replicate=0, settings={"fold": 2}).add({"a": 1}, 5, replicate=1, settings={"fold": 2})
    frame = made.results.aggregate("result")
    assert list(frame.columns) == ["a", "setting.fold", "mean", "std", "n", "missing"]
    assert frame["mean"].tolist() == [1, 2, 4]
    assert frame["setting.fold"].tolist() == [1, 1, 2]


def test_aggregate_keeps_a_parameter_called_mean(made: Made) -> None:
    frame = made.add({"mean": 10}, 1, replicate=0).results.aggregate("result")
    assert frame.columns.tolist() == ["mean", "result.mean", "std", "n", "missing"]


def test_aggregate_without_replicates_says_how_to_have_some() -> None:
    with pytest.raises(OptionError) as caught:
        scores().results.aggregate("accuracy")
    assert str(caught.value) == (
        "these configurations have no replicates to aggregate over; "
        "write 'replicates': 5 in the matrix to run each of them five times"
    )


def test_tables_have_the_fields_of_dataclasses_and_what_is_inside_dicts(made: Made) -> None:
    made.add({"a": 1}, {"test": {"accuracy": 0.9}, "n": 1}).add({"a": 2}, Score(accuracy=0.8))
    frame = made.results.to_frame()
    assert frame["test.accuracy"].tolist()[0] == 0.9
    assert frame["accuracy"].tolist()[1] == 0.8
    assert made.shelf.loads == []
    assert made.results.best("test.accuracy").config.a == 1


def test_results_stored_before_tables_had_nested_numbers_take_part_in_the_best(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("memento.payload.encoding.plain_part", lambda value: "")
        made.add({"a": 1}, {"test": {"accuracy": 0.9}}).add({"a": 2}, [0.95])
    made.add({"a": 3}, {"test": {"accuracy": 0.8}}).add({"a": 4}, failure=BOOM).add({"a": 5}, {"test": 1.0})
    assert made.results.best("test.accuracy").config.a == 1
    assert made.results.best("result.test.accuracy", maximize=False).config.a == 3
    assert {number for number, _ in made.shelf.loads} == {0, 1}
    made.shelf.loads.clear()
    made.add({"a": 6}, {"n": 1, "data": [1]})
    assert made.results[2:].best("n").config.a == 6  # a name that they would have had
    assert made.shelf.loads == []


# ── pivot ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pivot_spreads_a_value() -> None:
    frame = scores().results.pivot("model", "lr", "accuracy")
    assert frame.loc["svm"].tolist() == [0.9, 0.8]
    assert frame.loc["tree", 0.01] == 0.7
    assert pd.isna(frame.loc["tree", 0.1])


def test_pivot_takes_several_parameters(made: Made) -> None:
    made.add({"a": 1, "b": 1, "c": 1}, 10).add({"a": 1, "b": 1, "c": 2}, 20)
    frame = made.results.pivot(["a", "b"], "c", "result")
    assert frame.loc[(1, 1)].tolist() == [10, 20]


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ({"a": 1}, {"a": True}, "a=1, b=5 and differ in a (1 and True are equal); "),
        ({"a": 0.0}, {"a": -0.0}, "a=0.0, b=5 and differ in a (0.0 and -0.0 are equal); "),
        ({"a": "x", "c": 1}, {"a": "x", "c": 2}, "a='x', b=5 and differ in c; "),
    ],
)
def test_pivot_says_what_differs_in_a_cell_that_two_configurations_share(
    made: Made, first: dict[str, Any], second: dict[str, Any], what: str
) -> None:
    made.add({"b": 5, **first}, 1).add({"b": 5, **second}, 2)
    with pytest.raises(OptionError) as caught:
        made.results.pivot("a", "b", "result")
    assert str(caught.value).startswith(f"2 configurations share the cell {what}")


def test_pivot_refuses_to_take_two_configurations_together(made: Made) -> None:
    made.add({"model": "svm", "lr": 1, "depth": 2}, 1, replicate=0).add(
        {"model": "svm", "lr": 1, "depth": 3}, 2, replicate=1
    )
    made.add({"model": "svm", "lr": 2, "depth": 2}, 1, replicate=0)
    with pytest.raises(OptionError) as caught:
        made.results.pivot("model", "lr", "result")
    assert str(caught.value) == (
        "2 configurations share the cell model='svm', lr=1 and differ in depth, replicate; "
        "choose one of them with filter(), or take the mean over replicates with aggregate()"
    )


def test_pivot_refuses_unknown_columns_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match="there is no column 'modle' to pivot; there is: 'model', 'lr', 'status'"):
        scores().results.pivot("modle", "lr", "accuracy")


# ── to be read ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_results_print_as_a_short_table() -> None:
    assert repr(scores().results) == (
        "4 results: 3 succeeded, 1 failed\n"
        "   model  lr    status     runtime  accuracy  epochs  loss  error\n"
        "0  svm    0.1   succeeded  2.5      0.8       3       1\n"
        "1  svm    0.01  succeeded  3.5      0.9       5       0.5\n"
        "2  tree   0.1   failed     4.5                              ValueError: boom\n"
        "3  tree   0.01  succeeded  5.5      0.7       1"
    )


def test_many_results_print_their_first_and_last(made: Made) -> None:
    for number in range(100):
        made.add({"a": number}, number)
    lines = repr(made.results).splitlines()
    assert lines[0] == "100 results: 100 succeeded"
    assert [line.split()[0] for line in lines[2:]] == ["0", "1", "2", "3", "4", "…", "95", "96", "97", "98", "99"]


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Any]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_html_is_escaped_and_without_scripts(made: Made) -> None:
    made.add({"<b>a</b>": "<script>alert(1)</script>"}, {"<i>": "&amp;"})
    page = Tags(made.results._repr_html_())
    assert {tag for tag, _ in page.tags} == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert all(not attributes for _, attributes in page.tags)
    assert {"<b>a</b>", "<script>alert(1)</script>", "<i>", "&amp;"} <= set(page.text)


def test_the_html_of_many_results_is_capped(made: Made) -> None:
    for number in range(500):
        made.add({"a": number}, "long " * 500)
    html = made.results._repr_html_()
    assert html.count("<tr>") == 1 + 20 + 1
    assert len(html) < 10_000


def test_the_csv_file_has_the_same_columns_as_the_frame(tmp_path: Path) -> None:
    made = scores().add({"model": "größer,\n", "lr": 1.0}, started=False)
    made.results.to_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        header, first, _, failed, _, cancelled = csv.reader(file)
    assert header == made.results.to_frame().columns.tolist()
    assert first[:5] == ["svm", "0.1", "succeeded", "2023-11-14 22:13:20+00:00", "2.5"]
    assert failed[8:12] == ["", "", "", "ValueError: boom"]
    assert cancelled[:4] == ["größer,\n", "1.0", "cancelled", ""]


def test_nothing_that_steers_a_terminal_is_shown(made: Made) -> None:
    made.add({"a": "\x1b]0;title\x07"}, {"\x1b[31mred": "\x9b2J"})
    made.add({"a": "b"}, failure=Failure(type="ValueError", message="multi\nline \x1b[2J\x1b[31m evil"))
    for shown in (str(made.results), made.results._repr_html_()):
        assert not set(shown) & {"\x1b", "\x07", "\x9b"}
        assert "ValueError: multi line evil" in shown
        assert "red" in shown
    assert "failed (ValueError: multi line evil)" in repr(made.results[1])


def test_integers_that_python_refuses_to_write_in_decimal_are_shown_and_written(made: Made, tmp_path: Path) -> None:
    made.add({"n": 10**5000}, 1)
    assert "int of 16610 bits" in str(made.results)
    assert "int of 16610 bits" in made.results._repr_html_()
    made.results.to_csv(tmp_path / "table.csv")
    assert int((tmp_path / "table.csv").read_text().splitlines()[1].partition(",")[0], 0) == 10**5000


# ── without pandas, and by the hundred thousand ─────────────────────────────────────────────────────────────────────


NEEDS_PANDAS: list[Callable[[Results], object]] = [
    lambda results: results.to_frame(),
    lambda results: results.metrics_frame(),
    lambda results: results.pivot("model", "lr", "accuracy"),
    lambda results: results[0].metrics["loss"],
    lambda results: results.aggregate("accuracy"),
]


@pytest.mark.parametrize("use", NEEDS_PANDAS)
def test_without_pandas_the_error_names_the_extra(use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra) as caught:
        use(Made().add({"model": "svm"}, {"accuracy": 1}, metrics=metrics_of(loss=[1]), replicate=0).results)
    assert (
        str(caught.value) == "this needs pandas, which is not installed; install it with: pip install 'memento[pandas]'"
    )


def test_without_pandas_all_else_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    results = scores().results
    assert results.best("loss").inner == {"accuracy": 0.8, "epochs": 3}
    assert "accuracy" in repr(results)
    assert "accuracy" in results._repr_html_()
    results.to_csv(tmp_path / "table.csv")


def test_importing_results_imports_neither_pandas_nor_numpy() -> None:
    code = "import sys, memento.results; print({'pandas', 'numpy'} & set(sys.modules))"
    root = str(Path(payload.__file__).parents[1])
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_a_hundred_thousand_results_are_no_objects_until_they_are_read(made: Made) -> None:
    entry = made.add({"a": 1}, 1).entries[0]

    class Entries(Sequence[Any]):
        def __len__(self) -> int:
            return 10**9

        def __getitem__(self, index: Any) -> Any:
            return entry

    class Configs(Entries):
        def __getitem__(self, index: Any) -> Any:
            return made.configs[0]

    results = Results(configs=Configs(), entries=Entries(), store=made.shelf)
    assert len(results[5:-5]) == 10**9 - 10
    assert results[123_456_789].inner == 1


def test_results_can_be_pickled() -> None:
    results = pickle.loads(pickle.dumps(scores().results))
    assert [result.config["lr"] for result in results] == [0.1, 0.01, 0.1, 0.01]
    assert isinstance(pickle.loads(pickle.dumps(results[0])), Result)
