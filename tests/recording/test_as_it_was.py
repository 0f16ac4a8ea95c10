"""A record has the values as they were when it was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from memento import ExperimentCollection, RecordKeeper


@pytest.mark.parametrize("way", ["push", "add_record", "commit"])
def test_what_changes_after_it_was_recorded_changes_no_record(tmp_path: Path, way: str) -> None:
    weights, layers = np.zeros(1), [0]
    collection = ExperimentCollection(tmp_path / "study")
    with collection.new_experiment() as keeper:
        for step in range(4):
            weights += 1
            layers.append(step)
            if way == "push":
                keeper.push(step=step, weights=weights, layers=layers)
            elif way == "add_record":
                keeper.add_record({"step": step, "weights": weights, "layers": layers})
            else:
                keeper.add(step=step, weights=weights, layers=layers).commit()
    records = ExperimentCollection(tmp_path / "study").records
    assert [record["weights"].tolist() for record in records] == [[1.0], [2.0], [3.0], [4.0]]
    assert [len(record["layers"]) for record in records] == [2, 3, 4, 5]


def test_in_memory_too() -> None:
    keeper, values = RecordKeeper(), [1]
    keeper.push(values=values)
    values.append(2)
    assert [record["values"] for record in keeper.records] == [[1]]


def test_a_condition_on_a_column_with_arrays_in_it_is_answered(tmp_path: Path) -> None:
    with ExperimentCollection(tmp_path).new_experiment() as keeper:
        keeper.push(value=1)
        keeper.push(value=np.arange(3))
    collection = ExperimentCollection(tmp_path)
    assert len(collection.where(value=2)) == 0
    assert len(collection.where(value=1)) == 1
    assert len(collection.where(value=np.arange(3))) == 1
