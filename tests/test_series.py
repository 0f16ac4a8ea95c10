"""The points of metrics are all there, in order and in pairs, however many there are and whoever looks meanwhile."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from memento import payload
from memento.context import Context
from memento.recorded import LOOK_INTERVAL
from memento.series import MOST_RECENT

Recorded = dict[str, tuple[list[float], list[float]]]


def context(root: Path) -> Context:
    return Context(key=bytes(16), root=root)


def recorded(of: Context) -> Recorded:
    series = payload.unpack_metrics(b"".join(of.collect_metrics()))
    return {name: (list(xs), list(ys)) for name, (xs, ys) in series.items()}


def test_more_points_than_wait_in_a_list_stay_in_their_order(tmp_path: Path) -> None:
    one, count = context(tmp_path), 4 * MOST_RECENT + 1
    for step in range(count):
        one.record({"loss": (step, step / 2)})
        if step % MOST_RECENT == 0:
            one.record({"accuracy": (step, 1.0)})
            time.sleep(LOOK_INTERVAL)
    found = recorded(one)
    assert found["loss"] == (list(range(count)), [step / 2 for step in range(count)])
    assert found["accuracy"] == (list(range(0, count, MOST_RECENT)), [1.0] * 5)


def test_names_come_in_the_order_in_which_they_were_first_recorded(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.record({"rare": 1.0})
    for step in range(MOST_RECENT):
        one.record({"frequent": float(step)})
    assert list(recorded(one)) == ["rare", "frequent"]


def test_points_of_a_checkpoint_come_before_those_recorded_afterwards_and_those_recorded_before_do_not_count(
    tmp_path: Path,
) -> None:
    one = context(tmp_path)
    for step in range(MOST_RECENT):
        one.record({"loss": (step, 0.5)})
    one.checkpoint("state")
    two = context(tmp_path)
    two.record({"new": (0, 2.0), "loss": (MOST_RECENT, 0.25)})
    assert two.restore() == "state"
    two.record({"later": (0, 1.0), "loss": (MOST_RECENT + 1, 0.125)})
    series = recorded(two)
    assert list(series) == ["loss", "later"]
    assert series["loss"] == ([*range(MOST_RECENT), MOST_RECENT + 1], [0.5] * MOST_RECENT + [0.125])


def test_threads_that_record_while_another_looks_lose_no_point_and_part_no_pair(tmp_path: Path) -> None:
    one = context(tmp_path)
    begin = threading.Barrier(4)

    def work(first: int) -> None:
        begin.wait()
        for step in range(first, first + 3 * MOST_RECENT):
            one.record({"loss": (step, float(step))})

    workers = [threading.Thread(target=work, args=(number * 1_000_000,)) for number in range(3)]
    for worker in workers:
        worker.start()
    begin.wait()
    while any(worker.is_alive() for worker in workers):
        xs, ys = recorded(one).get("loss", ([], []))
        assert xs == ys
    xs, ys = recorded(one)["loss"]
    assert xs == ys
    assert sorted(xs) == [number * 1_000_000 + step for number in range(3) for step in range(3 * MOST_RECENT)]


def test_threads_may_begin_metrics_while_another_looks_and_restores(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.record({"kept": (0, 0.0)})
    one.checkpoint("state")
    names = [f"metric {number}" for number in range(500)]
    two = context(tmp_path)
    begun = threading.Barrier(3)

    def work(part: list[str]) -> None:
        begun.wait()
        for name in part:
            two.record({name: (1, 1.0)})

    workers = [threading.Thread(target=work, args=(names[begin::2],)) for begin in range(2)]
    for worker in workers:
        worker.start()
    begun.wait()
    while len(recorded(two)) < 50:
        pass
    two.restore()
    for worker in workers:
        worker.join()
    found = recorded(two)
    assert next(iter(found)) == "kept"
    assert found.pop("kept") == ([0.0], [0.0])
    assert set(found) < set(names)  # those that were begun before do not count
    assert all(points == ([1.0], [1.0]) for points in found.values())


def test_few_points_wait_in_lists_also_after_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = context(tmp_path)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 3600)
    one.record({"loss": 0.5})
    monkeypatch.undo()
    one.keep_up()  # as the worker's other thread does at each tick
    for _ in range(10):
        for _ in range(MOST_RECENT):
            one.record({"loss": 0.5})
        time.sleep(2 * LOOK_INTERVAL)
    one.record({"loss": 0.5})
    assert one._series is not None
    assert len(one._series.recent["loss"]) <= MOST_RECENT
    assert len(recorded(one)["loss"][0]) == 10 * MOST_RECENT + 2


def test_a_metric_whose_first_value_is_no_number_does_not_exist(tmp_path: Path) -> None:
    one = context(tmp_path)
    with pytest.raises(TypeError, match="metric 'name' was given 'resnet'"):
        one.record({"loss": 0.5, "name": "resnet", "late": 1.0})
    assert list(recorded(one)) == ["loss"]


def test_nothing_recorded_is_nothing_stored(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.record({})
    assert one.collect_metrics() == []
