"""A matrix run with a tracker is in MLflow: a run for it, and below it one for each configuration."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from memento import Memento, MlflowTracker, OptionError, sync
from tests.tracking.server import by_name, runs_in
from tests.tracking.test_parts import git

MATRIX = {"parameters": {"lr": [0.1, 0.2], "model": ["svm", "forest"]}, "settings": {"epochs": 3}}


def experiment(context, config):
    for epoch in range(config.settings.epochs):
        context.record({"loss": (epoch, config.lr / (epoch + 1)), "seen": 100.0 * epoch})
    (context.directory / "deep").mkdir()
    (context.directory / "deep" / "model.txt").write_text(config.model)
    if config.model == "forest" and config.lr == 0.2:
        raise ValueError("no forest at 0.2")
    return {"accuracy": 1 - config.lr, "classes": 3, "note": "good", "loss": config.lr}


def run(function, matrix, *trackers, **options):
    made = {"num_workers": 2, "executor": options.pop("executor", "processes"), "trackers": trackers}
    return Memento(function, **made).run(matrix, progress=False, on_error="return", **options)


def test_every_configuration_is_a_nested_run_with_all_that_belongs_to_it(uri, name, tmp_path, capfd, recwarn):
    results = run(experiment, MATRIX, MlflowTracker(name, uri))

    assert capfd.readouterr().out == ""
    assert [str(warning.message) for warning in recwarn] == []
    (parent,), nested = runs_in(uri, name)
    assert parent.info.run_name == "tests.tracking.test_matrix:experiment"
    assert parent.info.status == "FAILED"
    assert parent.data.metrics == {
        "memento.total": 4.0,
        "memento.stored": 0.0,
        "memento.succeeded": 3.0,
        "memento.failed": 1.0,
        "memento.cancelled": 0.0,
    }
    runs = by_name(nested)
    assert set(runs) == {"lr=0.1, model=svm", "lr=0.1, model=forest", "lr=0.2, model=svm", "lr=0.2, model=forest"}
    client = MlflowTracker(name, uri).mlflow_client
    for result in results:
        made = runs[f"lr={result.config.lr}, model={result.config.model}"]
        assert made.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert made.data.params == {"lr": str(result.config.lr), "model": result.config.model, "epochs": "3"}
        assert made.info.status == ("FINISHED" if result.ok else "FAILED")
        # One is cut off to milliseconds, the other was rounded to microseconds before.
        assert abs(made.info.start_time - result.start_time.timestamp() * 1000) <= 1
        assert made.info.end_time == made.info.start_time + round(result.runtime.total_seconds() * 1000)
        assert made.data.tags["memento.key"] == result.key
        assert made.data.tags["memento.status"] == result.status.value
        assert made.data.tags["memento.code"] == parent.data.tags["memento.code"] != ""
        assert "memento.replicate" not in made.data.tags
        assert text_of(client, made, "deep/model.txt", tmp_path) == result.config.model
        loss = sorted(client.get_metric_history(made.info.run_id, "loss"), key=lambda point: point.step)
        assert [point.step for point in loss] == [0, 1, 2]
        assert [point.value for point in loss] == [result.config.lr / (epoch + 1) for epoch in range(3)]
        seen = sorted(client.get_metric_history(made.info.run_id, "seen"), key=lambda point: point.step)
        assert [point.value for point in seen] == [0.0, 100.0, 200.0]
        assert made.info.start_time - 2 <= seen[0].timestamp <= seen[2].timestamp <= made.info.end_time + 2
    assert runs["lr=0.1, model=svm"].data.metrics["accuracy"] == 0.9
    assert runs["lr=0.1, model=svm"].data.metrics["classes"] == 3.0
    assert runs["lr=0.1, model=svm"].data.metrics["loss.result"] == 0.1
    failed = runs["lr=0.2, model=forest"]
    assert failed.data.tags["memento.error"] == "ValueError: no forest at 0.2"
    assert "line" in text_of(client, failed, "traceback.txt", tmp_path)
    assert "accuracy" not in failed.data.metrics


def text_of(client, run, path, folder):
    return Path(client.download_artifacts(run.info.run_id, path, str(folder))).read_text()


def test_running_a_stored_matrix_again_makes_no_new_runs(server, name, store_path):
    tracker = MlflowTracker(name, server.url)
    matrix = {"parameters": {"n": [1, 2]}}
    run(double, matrix, tracker)
    first = runs_in(server.url, name)

    run(double, matrix, tracker)
    assert len(runs_in(server.url, name)[1]) == len(first[1]) == 2
    assert len(runs_in(server.url, name)[0]) == 1

    run(double, {"parameters": {"n": [1, 2, 3]}}, tracker)
    parents, nested = runs_in(server.url, name)
    assert [run.info.run_name for run in nested].count("n=3") == 1
    assert (len(parents), len(nested)) == (2, 3)
    assert parents[1].data.metrics["memento.stored"] == 2.0
    assert list((store_path / "tracking").iterdir()) == []
    assert (sync().delivered, sync().left) == (0, 0)


def double(context, config):
    return 2 * config.n


def odd(context, config):
    context.record({"nan": math.nan, "top@5": 1.0, "top_5": 2.0, "": 3.0})
    context.record({"inf": (0.5, -math.inf)})
    for step in range(2500):
        context.record({"long": (step, float(step))})
    return math.inf


def test_limits_are_kept_and_nothing_within_them_is_lost(server, name):
    many = {f"parameter{number:03}": [f"value {number}"] for number in range(150)}
    parameters = {
        "text": ["é" * 7000], "list": [list(range(100))], "same": ["s" * 200], "weird": ["a\0b"], "🙂": [1], **many
    }  # fmt: skip
    run(
        odd,
        {"parameters": parameters, "settings": {"same_too": "s" * 200}, "replicates": 2},
        MlflowTracker(name, server.url),
    )

    (parent,), nested = runs_in(server.url, name)
    assert parent.info.status == "FINISHED"
    assert sorted(run.data.tags["memento.replicate"] for run in nested) == ["0", "1"]
    assert sorted(run.info.run_name for run in nested) == ["replicate=0", "replicate=1"]
    for made in nested:
        expected = {name: values[0] for name, values in many.items()}
        expected |= {"text": "é" * 5999 + "…", "list": str(list(range(100))), "weird": "a\ufffdb", "_": "1"}
        assert made.data.params == expected | {"same": "s" * 200, "same_too": "s" * 200}
        client = MlflowTracker(name, server.url).mlflow_client
        history = client.get_metric_history(made.info.run_id, "long")
        assert sorted((point.step, point.value) for point in history) == [(step, float(step)) for step in range(2500)]
        assert math.isnan(made.data.metrics["nan"])
        assert made.data.metrics["inf"] < -1e308
        assert made.data.metrics["inf.x"] == 0.5
        assert made.data.metrics["top_5"] == 2.0
        assert made.data.metrics["_"] == 3.0
        assert [value for key, value in made.data.metrics.items() if key.startswith("top_5-")] == [1.0]
        assert made.data.metrics["result"] > 1e308


def flaky(context, config):
    context.record({"attempt": float(context.attempt)})
    if config.case == "always" or context.attempt == 1:
        raise ConnectionError(f"attempt {context.attempt}")
    return context.attempt


def test_a_configuration_tried_again_is_one_run_with_its_last_outcome(database, name):
    run(flaky, {"parameters": {"case": ["once", "always"]}}, MlflowTracker(name, database), retries=2)

    _, nested = runs_in(database, name)
    runs = by_name(nested)
    assert set(runs) == {"case=once", "case=always"}
    assert (runs["case=once"].info.status, runs["case=once"].data.tags["memento.attempt"]) == ("FINISHED", "2")
    assert (runs["case=always"].info.status, runs["case=always"].data.tags["memento.attempt"]) == ("FAILED", "3")
    assert runs["case=always"].data.tags["memento.error"] == "ConnectionError: attempt 3"


def test_several_trackers_are_each_told_of_everything(server, database, name):
    trackers = [
        MlflowTracker(name, database),
        MlflowTracker(name, server.url),
        MlflowTracker(f"{name} too", server.url),
    ]
    run(double, {"parameters": {"n": [1, 2]}}, *trackers, executor="serial")

    for uri, experiment_name in ((database, name), (server.url, name), (server.url, f"{name} too")):
        (parent,), nested = runs_in(uri, experiment_name)
        assert (parent.info.status, len(nested)) == ("FINISHED", 2)


SCRIPT = """
from memento import Memento, MlflowTracker

def experiment(n):
    return n

if __name__ == "__main__":
    tracker = MlflowTracker({name!r}, {uri!r})
    Memento(experiment, executor="serial", trackers=[tracker]).run({{"parameters": {{"n": [1]}}}})
"""


def test_runs_say_at_which_commit_of_which_program_they_were_made(database, name, tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "study.py").write_text(SCRIPT.format(name=name, uri=database))
    git("init", folder=repository)
    git("commit", "--allow-empty", "--message=first", folder=repository)

    subprocess.run([sys.executable, str(repository / "study.py")], cwd=tmp_path, check=True, timeout=100)

    parents, nested = runs_in(database, name)
    for made in (*parents, *nested):
        assert made.data.tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD", folder=repository)
        assert made.data.tags["mlflow.source.name"] == str(repository / "study.py")


@pytest.mark.parametrize("trackers", [[MlflowTracker], ["http://localhost:5000"], [None], "abc"])
def test_what_is_no_tracker_is_refused_before_anything_runs(trackers):
    with pytest.raises(OptionError) as raised:
        Memento(double, trackers=trackers)

    wrong = trackers[0]
    assert str(raised.value) == (
        f"trackers: {wrong!r} is no tracker; write trackers=[MlflowTracker(experiment_name, mlflow_uri)], or give an "
        "object with the methods of memento.tracking.base.Tracker"
    )


def test_without_trackers_nothing_of_tracking_is_loaded_and_nothing_left_in_the_store(tmp_path):
    program = (
        "import sys; from memento import Memento\n"
        "def double(n): return 2 * n\n"
        "Memento(double, executor='serial').run({'parameters': {'n': [1]}}, progress=False, cache_path='store')\n"
        "print([name for name in sys.modules if 'tracking' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert done.stdout == "[]\n"
    assert not (tmp_path / "store" / "tracking").exists()
