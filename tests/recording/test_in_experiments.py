"""`context.recorder`: records of experiments of a matrix, kept with their results."""

from __future__ import annotations

import os
import signal
import time

import pytest

from memento import AggregateException, Context, Memento

MATRIX = {"parameters": {"model": ["svm", "tree"], "lr": [0.1, 0.5]}}


def trains(context, config):
    losses = context.recorder.sub_record_keeper(training=True)
    assert losses.parent.parent.data["model"] == config.model
    for index in range(3):
        losses.push(index=index, loss=config.lr * index)
    assert losses.records[0]["lr"] == config.lr
    context.recorder.sub_record_keeper(training=False).push(accuracy=config.lr)
    return config.lr


def fails(context, config):
    context.recorder.push(x=config.x)
    context.record({"loss": 0.5})
    raise ValueError("no")


def dies(context, config):
    for x in range(6000):
        context.recorder.push(x=x)
    time.sleep(1.6)
    os.kill(os.getpid(), signal.SIGKILL)


def goes_on(context, config):
    begin = context.restore(default=0)
    losses = context.recorder.sub_record_keeper(attempts=context.attempt)
    for step in range(begin, 6):
        if step == 4 and context.attempt == 1:
            losses.push(step=-1)
            os.kill(os.getpid(), signal.SIGKILL)
        losses.push(step=step)
        context.record({"loss": (step, 0.5)})
        context.checkpoint(step + 1)
    return [record["step"] for record in context.recorder.records]


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_the_records_of_a_matrix_are_one_flat_table_over_all_configurations(executor):
    results = Memento(trains, executor=executor, num_workers=2).run(MATRIX, progress=False)
    records = results.records

    assert len(records) == 16
    assert records.where(training=True).groupby("model", "lr").max("loss") == {
        ("svm", 0.1): 0.2,
        ("svm", 0.5): 1.0,
        ("tree", 0.1): 0.2,
        ("tree", 0.5): 1.0,
    }
    first = dict(records[0])
    assert len(first.pop("run")) == 16
    assert first == {
        "key": results[0].key,
        "attempt": 1,
        "status": "succeeded",
        "model": "svm",
        "lr": 0.1,
        "training": True,
        "index": 0,
        "loss": 0.0,
    }
    assert results[3].records.values("accuracy") == [None, None, None, 0.5]


def test_records_are_kept_with_the_result_and_read_again_by_a_later_run():
    Memento(trains, executor="serial").run(MATRIX, progress=False)
    again = Memento(trains, executor="serial").run(MATRIX, progress=False)

    assert all(result.was_cached for result in again)
    assert len(again.records.where(model="tree", index=2)) == 2
    assert [result.has_metrics for result in again] == [True] * 4
    assert [dict(result.metrics) for result in again] == [{}] * 4
    assert "loss" not in again.to_frame().columns
    assert len(again.metrics_frame()) == 0


def test_what_a_failed_experiment_recorded_is_kept_beside_its_metrics():
    with pytest.raises(AggregateException) as caught:
        Memento(fails, executor="serial").run({"parameters": {"x": [1, 2]}}, progress=False)
    results = caught.value.results

    assert [(record["x"], record["status"]) for record in results.records] == [(1, "failed"), (2, "failed")]
    assert list(results[0].metric_points("loss")[1]) == [0.5]


def test_what_a_killed_experiment_recorded_is_kept_up_to_its_last_second():
    with pytest.raises(AggregateException) as caught:
        Memento(dies, num_workers=1).run({"parameters": {"x": [1]}}, progress=False)
    results = caught.value.results

    assert results.records.values("x") == list(range(6000))
    assert results.records[0]["status"] == "killed"


def test_records_before_a_checkpoint_count_again_and_those_after_it_do_not():
    results = Memento(goes_on, num_workers=1).run({"parameters": {"x": [1]}}, progress=False, retries={"killed": 1})

    assert results.records.values("step") == results[0].inner == [0, 1, 2, 3, 4, 5]
    assert results.records.groupby("attempts").count() == {1: 4, 2: 2}
    assert set(results.records.values("attempt")) == {2}
    assert list(results[0].metric_points("loss")[0]) == [0, 1, 2, 3, 4, 5]


def test_an_experiment_that_records_nothing_stores_no_byte_for_it():
    context = Context(key=bytes(16))
    assert context.collect_metrics() == []
    context.recorder.sub_record_keeper(x=1)
    assert context.collect_metrics() == []


def test_records_stand_behind_the_metrics_whose_bytes_are_as_ever():
    context = Context(key=bytes(16))
    context.record({"loss": (1, 0.5)})
    plain = b"".join(context.collect_metrics())
    context.recorder.push(x=1)
    both = b"".join(context.collect_metrics())

    assert both.startswith(b"\xff\xff\xff\xff" + len(plain).to_bytes(8, "little") + plain + b"MRECORD1")
