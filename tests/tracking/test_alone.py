"""The tracker used alone, in a script without `Memento`."""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from memento import MissingExtra, MlflowTracker, OptionError
from tests.tracking.server import runs_in

EXAMPLE = """
class Trainer:
    def __init__(self, experiment_name, mlflow_uri):
        self.tracker = MlflowTracker(experiment_name, mlflow_uri)
    def train(self):
        for model in ["linear", "Randomforest"]:
            self.tracker.create_run()
            self.tracker.log_metric("rmse", 4.5)
            self.tracker.log_param("model", model)
"""


def run_script(text, folder, *, fails=False):
    """Run a script in an empty folder; return what it printed."""
    folder = folder / "empty"
    folder.mkdir()
    script = folder.parent / "script.py"
    script.write_text(f"from memento import MlflowTracker\n{text}")
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key not in ("CI", "MLFLOW_DISABLE_TELEMETRY")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout


def test_the_trainer_of_the_example_leaves_two_finished_runs_and_prints_nothing(uri, name, tmp_path):
    printed = run_script(f"{EXAMPLE}\nTrainer({name!r}, {uri!r}).train()\n", tmp_path)

    assert printed == ""
    runs, _ = runs_in(uri, name)
    assert [(run.data.params, run.data.metrics) for run in runs] == [
        ({"model": "linear"}, {"rmse": 4.5}),
        ({"model": "Randomforest"}, {"rmse": 4.5}),
    ]
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert all(run.info.end_time >= run.info.start_time for run in runs)


def test_from_an_empty_folder_the_example_makes_the_database_where_it_says(tmp_path):
    run_script(f"{EXAMPLE}\nTrainer('study', 'sqlite:///mlflow.db').train()\n", tmp_path)

    runs, _ = runs_in(f"sqlite:///{tmp_path}/empty/mlflow.db", "study")
    assert [run.data.params["model"] for run in runs] == ["linear", "Randomforest"]


def test_a_script_that_ends_by_an_error_leaves_its_last_run_as_failed(server, name, tmp_path):
    run_script(
        f"tracker = MlflowTracker({name!r}, {server.url!r})\ntracker.create_run()\n1 / 0\n", tmp_path, fails=True
    )

    runs, _ = runs_in(server.url, name)
    assert [run.info.status for run in runs] == ["FAILED"]


def test_making_a_tracker_asks_nobody_and_loads_nothing(tmp_path):
    program = "import sys; MlflowTracker('study', 'http://127.0.0.1:9'); print('mlflow' in sys.modules)"

    assert run_script(program, tmp_path) == "False\n"


@pytest.mark.parametrize("before", ["pass", "import mlflow"])
def test_nothing_is_told_about_the_use_of_mlflow(before, database, tmp_path):
    program = (
        f"{before}\n"
        f"MlflowTracker('study', {database!r}).mlflow_client\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "print(is_telemetry_disabled())"
    )

    assert run_script(program, tmp_path) == "True\n"


def test_client_and_experiment_are_made_once_and_remembered(uri, name):
    tracker = MlflowTracker(name, uri)

    assert isinstance(tracker.mlflow_client, mlflow.MlflowClient)
    assert tracker.mlflow_client is tracker.mlflow_client
    assert tracker.mlflow_experiment_id == tracker.mlflow_experiment_id
    assert tracker.mlflow_client.get_experiment(tracker.mlflow_experiment_id).name == name


def test_an_experiment_is_found_again_and_restored_if_it_was_deleted(uri, name):
    first = MlflowTracker(name, uri).mlflow_experiment_id
    second = MlflowTracker(name, uri)
    assert second.mlflow_experiment_id == first

    second.mlflow_client.delete_experiment(first)
    third = MlflowTracker(name, uri)

    assert third.mlflow_experiment_id == first
    assert third.mlflow_client.get_experiment(first).lifecycle_stage == "active"


def test_an_experiment_that_another_process_makes_at_the_same_moment_is_used(database, name, monkeypatch):
    tracker = MlflowTracker(name, database)
    theirs = MlflowTracker(name, database).mlflow_experiment_id
    answers = iter([None])
    ask = tracker.mlflow_client.get_experiment_by_name
    monkeypatch.setattr(tracker.mlflow_client, "get_experiment_by_name", lambda name: next(answers, ask(name)))

    assert tracker.mlflow_experiment_id == theirs


def test_what_mlflow_would_refuse_is_made_to_fit(uri, name):
    tracker = MlflowTracker(name, uri)
    run = tracker.create_run("odd")
    tracker.log_param("text", "x" * 7000)
    tracker.log_param("top@1:", "a\0b")
    tracker.log_metric("top@1", math.nan)
    for value in (1, math.inf, True):
        tracker.log_metric("loss", value)
    tracker.log_metric("loss", 0.5, step=10)
    tracker.log_metric("loss", 0.25)
    tracker.end_run()

    found = tracker.mlflow_client.get_run(run)
    assert found.data.params == {"text": "x" * 5999 + "…", "top_1_": "a\ufffdb"}
    assert math.isnan(found.data.metrics["top_1"])
    history = sorted(tracker.mlflow_client.get_metric_history(run, "loss"), key=lambda point: point.step)
    assert [point.step for point in history] == [0, 1, 2, 10, 11]
    assert [history[0].value, *(point.value for point in history[2:])] == [1.0, 1.0, 0.5, 0.25]
    assert history[1].value > 1e308


def test_names_that_mlflow_refuses_stay_apart_within_a_run(database, name):
    tracker = MlflowTracker(name, database)
    runs = []
    for _ in range(2):
        runs.append(tracker.create_run())
        for metric in ("x#y", "x@y", "x#y", "x_y"):
            tracker.log_metric(metric, len(metric))
            tracker.log_param(metric, metric)
    tracker.end_run()

    for run in runs:
        found = tracker.mlflow_client.get_run(run)
        assert found.data.params == {"x_y": "x#y", "x_y-da8ab15a": "x@y", "x_y-f9068e81": "x_y"}
        counts = {key: len(tracker.mlflow_client.get_metric_history(run, key)) for key in found.data.metrics}
        assert counts == {"x_y": 2, "x_y-da8ab15a": 1, "x_y-f9068e81": 1}


def test_logging_without_a_run_makes_one_and_a_copy_has_its_own(server, name):
    tracker = MlflowTracker(name, server.url)
    tracker.log_param("a", 1)
    copy = pickle.loads(pickle.dumps(tracker))
    copy.log_param("a", 2)
    tracker.end_run("KILLED")
    tracker.end_run()
    copy.end_run()

    runs, _ = runs_in(server.url, name)
    assert sorted((run.data.params["a"], run.info.status) for run in runs) == [("1", "KILLED"), ("2", "FINISHED")]


def test_the_users_own_mlflow_is_left_as_it_was(server, name, monkeypatch, capfd):
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    before = mlflow.get_tracking_uri()
    tracker = MlflowTracker(name, server.url)
    tracker.create_run()
    tracker.end_run()

    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None
    assert "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT" not in os.environ
    assert capfd.readouterr().out == ""


def test_an_address_means_the_same_in_every_folder_and_shows_no_password(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert MlflowTracker("a", "sqlite:///x.db").address()["arguments"]["mlflow_uri"] == f"sqlite:///{tmp_path}/x.db"
    assert MlflowTracker("a", "sqlite:////x.db").address()["arguments"]["mlflow_uri"] == "sqlite:////x.db"
    assert MlflowTracker("a", Path("runs")).address()["arguments"]["mlflow_uri"] == str(tmp_path / "runs")
    assert MlflowTracker("a", "http://h:1").address()["arguments"]["mlflow_uri"] == "http://h:1"
    assert str(MlflowTracker("a", "http://me:secret@h:1")) == "MLflow at http://***@h:1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "http://h"), "experiment_name='' is no name for an experiment; write 1 to 500 characters"),
        ((3, "http://h"), "experiment_name=3 is no name for an experiment; write 1 to 500 characters"),
        (
            ("a", ""),
            "mlflow_uri='' is no address; write for example 'http://localhost:5000' or 'sqlite:///mlflow.db'",
        ),
        (
            ("a", None),
            "mlflow_uri=None is no address; write for example 'http://localhost:5000' or 'sqlite:///mlflow.db'",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(OptionError) as raised:
        MlflowTracker(*arguments)

    assert str(raised.value) == message


def test_without_mlflow_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(MissingExtra) as raised:
        MlflowTracker("a", "http://h")

    assert str(raised.value) == (
        "this needs mlflow, which is not installed; install it with: pip install 'memento[mlflow]'"
    )
