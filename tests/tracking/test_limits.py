"""Whatever names, texts and numbers an experiment uses, MLflow is given what it takes, and nothing gets lost in it."""

from __future__ import annotations

import math
from array import array

from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils import validation

from memento.tracking import mlflow_limits

numbers = st.floats(allow_nan=True, allow_infinity=True)


def test_the_limits_are_those_of_the_mlflow_that_is_installed():
    assert validation.MAX_PARAM_VAL_LENGTH == mlflow_limits.LONGEST_PARAM
    assert validation.MAX_TAG_VAL_LENGTH == mlflow_limits.LONGEST_TAG
    assert validation.MAX_ENTITY_KEY_LENGTH == mlflow_limits.LONGEST_NAME
    assert validation.MAX_EXPERIMENT_NAME_LENGTH == mlflow_limits.LONGEST_EXPERIMENT
    assert validation.MAX_METRICS_PER_BATCH == mlflow_limits.METRICS_AT_ONCE
    assert validation.MAX_PARAMS_TAGS_PER_BATCH == mlflow_limits.PARAMS_AT_ONCE
    assert 12 * mlflow_limits.CHARACTERS_AT_ONCE < validation.MAX_BATCH_LOG_REQUEST_SIZE


@given(st.lists(st.text() | st.from_regex(r"[\w/.\- :@]{1,300}", fullmatch=True)))
def test_every_name_becomes_one_that_mlflow_takes_and_no_two_become_one(names):
    chosen = mlflow_limits.names_within(names)

    assert list(chosen) == list(dict.fromkeys(names))
    assert len(set(chosen.values())) == len(chosen)
    for name in chosen.values():
        validation._validate_metric_name(name)
        validation._validate_param(name, "")
        assert len(name) <= 250
        assert ":" not in name


def test_a_name_that_mlflow_takes_stays_and_another_stays_readable():
    assert mlflow_limits.names_within(["val/loss", "acc_5", "acc@5", "", "/root", "..", "top:1", "x" * 300]) == {
        "val/loss": "val/loss",
        "acc_5": "acc_5",
        "acc@5": "acc_5-" + mlflow_limits.names_within(["acc_5", "acc@5"])["acc@5"][-8:],
        "": "_",
        "/root": "_root",
        "..": "_.",
        "top:1": "top_1",
        "x" * 300: "x" * 241 + "-" + mlflow_limits.names_within(["x" * 300])["x" * 300][-8:],
    }


@given(st.text(st.characters(exclude_categories=[]), max_size=50), st.integers(1, 40))
def test_a_text_fits_and_can_be_written_by_every_database(text, longest):
    fitting = mlflow_limits.text_within(text, longest)

    assert len(fitting) <= longest
    assert "\0" not in fitting
    fitting.encode()


def points(series, started=1000.0, runtime=10.0):
    columns = {name: (array("d", xs), array("d", ys)) for name, (xs, ys) in series.items()}
    return [tuple(point) for point in mlflow_limits.points_of(columns, started, runtime)]


def test_times_within_the_experiment_become_timestamps_and_steps_count():
    assert points({"loss": ([1001.5, 1001.5, 1009.25], [3, 2, 1])}) == [
        ("loss", 3.0, 1001500, 0),
        ("loss", 2.0, 1001500, 1),
        ("loss", 1.0, 1009250, 2),
    ]


def test_whole_numbers_become_steps():
    assert points({"loss": ([10, 20, 20, -1], [3, 2, 2, 1])}) == [
        ("loss", 3.0, 1000000, 10),
        ("loss", 2.0, 1000001, 20),
        ("loss", 2.0, 1000002, 20),
        ("loss", 1.0, 1000003, -1),
    ]


def test_other_x_are_kept_as_a_series_beside():
    assert points({"loss": ([0.5, 1.5], [3, 2]), "loss.x": ([1], [7])}) == [
        ("loss", 3.0, 1000000, 0),
        ("loss.x_", 0.5, 1000000, 0),
        ("loss", 2.0, 1000001, 1),
        ("loss.x_", 1.5, 1000001, 1),
        ("loss.x", 7.0, 1000000, 1),
    ]


def test_a_returned_number_stays_apart_from_the_metric_of_its_name():
    metrics = list(mlflow_limits.points_of({"loss": ([0.5], [3.0])}, 1000.0, 10.0))
    returned = {"loss": 0.25, "loss.result": 1.0, "loss.x": 2.0, "accuracy": 0.75}

    assert [tuple(point) for point in mlflow_limits.points_of_result(returned, metrics, 1010.0)] == [
        ("loss.result_", 0.25, 1010000, 0),
        ("loss.result", 1.0, 1010000, 0),
        ("loss.x.result", 2.0, 1010000, 0),
        ("accuracy", 0.75, 1010000, 0),
    ]


@given(st.dictionaries(st.text(max_size=3), st.lists(st.tuples(numbers, numbers), max_size=5), max_size=3))
def test_no_two_points_of_a_metric_are_taken_for_one(series):
    given_columns = {name: ([x for x, _ in pairs], [y for _, y in pairs]) for name, pairs in series.items()}
    made = [point for point in points(given_columns) if point[0] in series]

    assert len({(name, timestamp, step) for name, _, timestamp, step in made}) == len(made)
    assert sorted(len(pairs) for pairs in series.values()) == sorted(
        sum(point[0] == name for point in made) for name in series
    )
    assert all(point[2] >= 0 and -(2**63) < point[3] < 2**63 for point in made)
    for name, pairs in series.items():
        for (_, y), point in zip(pairs, [point for point in made if point[0] == name], strict=True):
            assert y == point[1] or (math.isnan(y) and math.isnan(point[1]))


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=10).map(lambda text: text * 600)), max_size=250))
def test_batches_of_texts_keep_all_of_them_in_order_and_fit_a_request(texts):
    batches = list(mlflow_limits.text_batches(texts))

    assert [item for batch in batches for item in batch] == texts
    for batch in batches:
        assert len(batch) <= 100
        assert sum(len(name) + len(value) for name, value in batch) <= 60_000


def test_batches_of_points_have_at_most_a_thousand():
    many = [mlflow_limits.Point("loss", 0.0, step, step) for step in range(2500)]

    assert [len(batch) for batch in mlflow_limits.batches(many)] == [1000, 1000, 500]
