"""The points of metrics are all there, in order and in pairs, however many there are and whoever looks meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

from memento import payload
from memento.context import Context
from memento.series import MOST_RECENT

Recorded = dict[str, tuple[list[float], list[float]]]


def context(root: Path) -> Context:
    return Context(key=bytes(16), root=root)


def recorded(of: Context) -> Recorded:
    series = payload.unpack_metrics(b"".join(of.collect_metrics()))
    return {name: (list(xs), list(ys)) for name, (xs, ys) in series.items()}


def test_more_points_than_wait_in_a_list_stay_in_their_order(tmp_path: Path) -> None:
    one = context(tmp_path)
    for step in range(2 * MOST_RECENT + 1):
        one.record({"loss": (step, step / 2)})
        if step % 5000 == 0:
            one.record({"accuracy": (step, 1.0)})
    loss, accuracy = recorded(one)["loss"], recorded(one)["accuracy"]
    assert loss == (list(range(2 * MOST_RECENT + 1)), [step / 2 for step in range(2 * MOST_RECENT + 1)])
    assert accuracy == ([0.0, 5000.0, 10000.0, 15000.0], [1.0] * 4)


def test_names_come_in_the_order_in_which_they_were_first_recorded(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.record({"rare": 1.0})
    for step in range(MOST_RECENT):
        one.record({"frequent": float(step)})
    assert list(recorded(one)) == ["rare", "frequent"]


def test_points_of_a_checkpoint_come_before_those_recorded_since(tmp_path: Path) -> None:
    one = context(tmp_path)
    for step in range(MOST_RECENT):
        one.record({"loss": (step, 0.5)})
    one.checkpoint("state")
    two = context(tmp_path)
    two.record({"new": (0, 2.0), "loss": (MOST_RECENT, 0.25)})
    assert two.restore() == "state"
    two.record({"loss": (MOST_RECENT + 1, 0.125)})
    series = recorded(two)
    assert list(series) == ["loss", "new"]
    assert series["loss"] == (list(range(MOST_RECENT + 2)), [0.5] * MOST_RECENT + [0.25, 0.125])


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


def test_nothing_recorded_is_nothing_stored(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.record({})
    assert one.collect_metrics() == []
