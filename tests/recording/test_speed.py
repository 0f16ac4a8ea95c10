"""What records cost, as ratios to plain Python doing something alike in the same run; the figures are in benchmarks/.

Each bound is about twice what was measured on a quiet machine.
"""

from __future__ import annotations

import math
import random
import time
from array import array
from collections.abc import Callable
from typing import Any

import pytest

from memento import ExperimentCollection

# Once is enough: what is measured does not depend on the version of Python.
pytestmark = pytest.mark.slow

COUNT = 200_000
LOSSES = array("d", (random.Random(1).random() for _ in range(COUNT)))


class ByHand:
    """The columns that somebody would write in ten lines: no types, no disk, no threads."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {"index": [], "loss": []}

    def add_record(self, record: dict[str, Any]) -> None:
        columns = self.columns
        for name, value in record.items():
            columns[name].append(value)


def fill(keeper: Any) -> None:
    for index, loss in enumerate(LOSSES):
        keeper.add_record({"index": index, "loss": loss})


def seconds(*jobs: Callable[[], Any], times: int = 5) -> list[float]:
    """Return the least CPU time of each job, of all threads; they take turns, so that a slow moment falls on all."""
    best = [math.inf] * len(jobs)
    for _ in range(times):
        for position, job in enumerate(jobs):
            begun = time.process_time()
            job()
            best[position] = min(best[position], time.process_time() - begun)
    return best


def test_recording_to_the_disk_costs_little_more_than_columns_in_memory_by_hand(tmp_path):
    collection = ExperimentCollection(tmp_path)

    def record():
        with collection.new_experiment() as keeper:
            fill(keeper.sub_record_keeper(model="model1").sub_record_keeper(training=True))

    by_hand, ours = seconds(lambda: fill(ByHand()), record)

    assert ours < 4 * by_hand


def test_a_record_of_two_values_takes_less_than_twenty_bytes(tmp_path):
    with ExperimentCollection(tmp_path).new_experiment() as keeper:
        fill(keeper.sub_record_keeper(model="model1").sub_record_keeper(training=True))

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 13 * COUNT


def test_a_question_costs_a_few_sums_of_its_column_also_when_the_file_has_to_be_read(tmp_path):
    with ExperimentCollection(tmp_path).new_experiment() as keeper:
        fill(keeper.sub_record_keeper(model="model1").sub_record_keeper(training=True))

    def ask():
        return ExperimentCollection(tmp_path).where(training=True, model="model1").mean("loss")

    unit, ours = seconds(lambda: math.fsum(LOSSES), ask)

    assert ask() == math.fsum(LOSSES) / COUNT
    assert ours < 8 * unit


def test_a_keeper_for_every_ten_records_costs_no_more_than_in_proportion(tmp_path):
    collection = ExperimentCollection(tmp_path)

    def record(keepers):
        with collection.new_experiment() as experiment:
            for episode in range(keepers):
                keeper = experiment.sub_record_keeper(episode=episode)
                for step in range(10):
                    keeper.push(step=step, reward=0.5)

    few, many = seconds(lambda: record(500), lambda: record(5000), times=5)

    assert many < 60 * few
