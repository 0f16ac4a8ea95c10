"""Whatever happens to server, courier, run or `sync`: experiments go on, and in the end each is at the server once."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from memento import Memento, MlflowTracker, Status, sync
from memento.task import Outcome
from memento.tracking.base import TrackedConfiguration, TrackedEnd, TrackedRun, TrackerRefusal
from memento.tracking.courier_process import CourierProcess
from tests.tracking.server import Server, by_name, runs_in
from tests.tracking.test_matrix import double, run

MATRIX = {"parameters": {"n": list(range(6))}}
KEPT = "what is missing is kept in the store"


@pytest.fixture
def own_server(tmp_path, server):
    """A server of the test's own, that is not started yet; `server` has made what takes time to load be at hand."""
    folder = tmp_path / "own server"
    folder.mkdir()
    made = Server(folder)
    yield made
    made.kill()


def journals(store_path):
    folder = store_path / "tracking"
    return sorted(folder.iterdir()) if folder.exists() else []


def names(nested):
    return sorted(by_name(nested))


ALL = [f"n={number}" for number in range(6)]


def test_with_a_server_that_is_down_everything_runs_is_reported_once_and_delivered_later_once(
    own_server, name, store_path, capsys
):
    tracker = MlflowTracker(name, own_server.url)
    with pytest.warns(RuntimeWarning) as warned:
        results = run(double, MATRIX, tracker)

    assert [result.inner for result in results] == [0, 2, 4, 6, 8, 10]
    (message,) = [str(warning.message) for warning in warned]
    assert message.startswith(f"not everything could be told to the trackers: MLflow at {own_server.url}: ")
    assert KEPT in message
    assert f"memento sync {store_path}" in message
    assert len(journals(store_path)) == 1

    still_down = sync()
    assert (still_down.delivered, still_down.left) == (0, 1)
    assert still_down.problems[0].startswith(f"MLflow at {own_server.url}: ")

    own_server.start()
    assert sync().delivered == 6
    assert (sync().delivered, sync().left) == (0, 0)
    (parent,), nested = runs_in(own_server.url, name)
    assert parent.info.status == "FINISHED"
    assert names(nested) == ALL
    assert {made.info.status for made in nested} == {"FINISHED"}
    assert journals(store_path) == []


def slow_double(context, config):
    time.sleep(config.seconds)
    (context.directory / "n.txt").write_text(str(config.n))
    return 2 * config.n


def test_a_server_killed_in_mid_run_that_comes_back_has_everything_once(own_server, name, store_path):
    own_server.start()
    tracker = MlflowTracker(name, own_server.url)
    matrix = {"parameters": {"n": list(range(40)), "seconds": [0.1]}}
    killed = threading.Event()

    def disturb():
        wait_for(lambda: len(runs_in(own_server.url, name)[1]) >= 3)
        own_server.kill()
        killed.set()
        time.sleep(0.5)
        own_server.start()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    with pytest.warns(RuntimeWarning, match=KEPT):
        results = Memento(slow_double, num_workers=1, trackers=[tracker]).run(matrix, progress=False)
    assert killed.is_set()
    disturber.join()
    assert all(result.ok for result in results)

    done = sync()
    assert (done.left, done.problems) == (0, ())
    (parent,), nested = runs_in(own_server.url, name)
    assert parent.info.status == "FINISHED"
    assert names(nested) == sorted(f"n={number}" for number in range(40))
    assert {made.info.status for made in nested} == {"FINISHED"}
    client = tracker.mlflow_client
    assert all(len(client.list_artifacts(made.info.run_id)) == 1 for made in nested)


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def test_a_server_that_never_answers_delays_the_end_by_no_more_than_the_patience(name, store_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        tracker = MlflowTracker(name, f"http://127.0.0.1:{deaf.getsockname()[1]}", patience=1.0)
        with pytest.warns(RuntimeWarning, match=r"1 s after the end of the run it was not done"):
            results = run(double, {"parameters": {"n": [1]}}, tracker, executor="serial")

    assert results[0].inner == 2
    assert len(journals(store_path)) == 1


def test_a_courier_killed_at_any_moment_leaves_nothing_out_and_nothing_twice(server, name, store_path):
    matrix = {"parameters": {"n": list(range(60))}}
    with pytest.warns(RuntimeWarning, match=KEPT):
        run(double, matrix, MlflowTracker(name, server.url, patience=0.0))
    (journal,) = journals(store_path)
    tried = 0
    while journal.exists() and tried < 4:
        before = journal.stat().st_size
        errand = CourierProcess(store_path / "ledger.sqlite")
        # Killed a little later each time, in the middle of whatever it does then.
        wait_for(lambda before=before: not journal.exists() or journal.stat().st_size > before)
        time.sleep(0.007 * tried)
        errand.finish(0.0)
        tried += 1
    assert sync().left == 0

    assert tried > 1
    (parent,), nested = runs_in(server.url, name)
    assert parent.info.status == "FINISHED"
    assert names(nested) == sorted(f"n={number}" for number in range(60))
    assert {made.info.status for made in nested} == {"FINISHED"}
    assert all(made.data.metrics["result"] == 2 * int(made.data.params["n"]) for made in nested)


def test_two_syncs_at_once_deliver_each_thing_once(server, name, store_path):
    with pytest.warns(RuntimeWarning, match=KEPT):
        run(double, MATRIX, MlflowTracker(name, server.url, patience=0.0))

    both = [CourierProcess(store_path / "ledger.sqlite") for _ in range(2)]
    assert [errand.finish(60.0) for errand in both] == [None, None]

    assert sum(errand.summary()["delivered"] for errand in both) <= 6
    assert names(runs_in(server.url, name)[1]) == ALL


OVERLAPPING = """
import sys, time
from memento import Memento, MlflowTracker

def experiment(n):
    time.sleep(0.1)
    return n

if __name__ == "__main__":
    first = int(sys.argv[1])
    tracker = MlflowTracker({name!r}, {uri!r}, patience=60)
    matrix = {{"parameters": {{"n": list(range(first, first + 6))}}}}
    Memento(experiment, num_workers=1, trackers=[tracker]).run(matrix, progress=False)
"""


def test_two_programs_over_one_store_and_one_new_experiment_tell_each_configuration_once(
    server, name, store_path, tmp_path
):
    (tmp_path / "study.py").write_text(OVERLAPPING.format(name=name, uri=server.url))
    both = [subprocess.Popen([sys.executable, "study.py", first], cwd=tmp_path) for first in "03"]
    assert [process.wait(100) for process in both] == [0, 0]

    parents, nested = runs_in(server.url, name)
    assert [parent.info.status for parent in parents] == ["FINISHED", "FINISHED"]
    assert names(nested) == [f"n={number}" for number in range(9)]
    assert journals(store_path) == []


def test_a_store_that_is_a_file_is_named_so_that_sync_finds_it(database, name, tmp_path):
    tracker = MlflowTracker(name, database, patience=0.0)
    with pytest.warns(RuntimeWarning) as warned:
        run(double, {"parameters": {"n": [1]}}, tracker, cache_path=tmp_path / "results.db", executor="serial")

    assert f"memento sync {tmp_path / 'results.db'} (" in str(warned[0].message)
    assert (sync(tmp_path / "results.db").left, len(runs_in(database, name)[1])) == (0, 1)


def test_a_password_in_an_address_is_in_no_report(name):
    tracker = MlflowTracker(name, "http://ada:verysecret@127.0.0.1:9")
    with pytest.warns(RuntimeWarning, match=KEPT) as warned:
        run(double, {"parameters": {"n": [1]}}, tracker, executor="serial")

    assert "http://***@127.0.0.1:9" in str(warned[0].message)
    assert "verysecret" not in str(warned[0].message) + "".join(sync().problems)


KILLED = """
import sys, time
from memento import Memento, MlflowTracker

def experiment(n):
    if n == 3:
        print("begun", flush=True)
        open("begun", "w").close()
        time.sleep(60)
    return n

if __name__ == "__main__":
    tracker = MlflowTracker({name!r}, {uri!r})
    Memento(experiment, num_workers=1, trackers=[tracker]).run({{"parameters": {{"n": [0, 1, 2, 3]}}}}, progress=False)
"""


def killed_run(folder, name, uri, *, before=lambda: None):
    """Run a script whose fourth experiment hangs, and kill its process alone."""
    (folder / "study.py").write_text(KILLED.format(name=name, uri=uri))
    process = subprocess.Popen([sys.executable, "study.py"], cwd=folder)
    wait_for((folder / "begun").exists)
    before()
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_when_the_orchestrator_is_killed_its_runs_are_ended_by_the_courier_which_ends_as_well(
    server, name, store_path, tmp_path
):
    killed_run(tmp_path, name, server.url, before=lambda: wait_for(lambda: len(runs_in(server.url, name)[1]) == 3))

    wait_for(lambda: journals(store_path) == [])
    (parent,), nested = runs_in(server.url, name)
    assert parent.info.status == "KILLED"
    assert names(nested) == ["n=0", "n=1", "n=2"]


@pytest.mark.parametrize("by", ["the next run", "sync"])
def test_runs_of_a_killed_orchestrator_and_courier_are_ended_by(by, server, name, store_path, tmp_path):
    def kill_the_courier():
        wait_for(lambda: len(runs_in(server.url, name)[1]) == 3)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if b"memento.tracking.courier" in command and str(store_path).encode() in command:
                os.kill(int(process.name), signal.SIGKILL)

    killed_run(tmp_path, name, server.url, before=kill_the_courier)
    assert runs_in(server.url, name)[0][0].info.status == "RUNNING"
    # Its worker may take a moment to notice; until then the run counts as alive, and nothing of it is closed.
    time.sleep(4)

    if by == "sync":
        assert sync().left == 0
    else:
        run(double, {"parameters": {"n": [1]}}, MlflowTracker(f"{name} next", server.url))
    (parent,), nested = runs_in(server.url, name)
    assert parent.info.status == "KILLED"
    assert names(nested) == ["n=0", "n=1", "n=2"]
    assert journals(store_path) == []


def interrupting(context, config):
    if config.n == 1:
        os.kill(os.getppid(), 0)
        signal.raise_signal(signal.SIGINT)
    return config.n


def test_an_interrupted_run_is_told_as_killed(database, name):
    with pytest.raises(KeyboardInterrupt):
        run(interrupting, {"parameters": {"n": [0, 1, 2]}}, MlflowTracker(name, database), executor="serial")

    (parent,), nested = runs_in(database, name)
    assert parent.info.status == "KILLED"
    assert "n=0" in names(nested)
    assert not [made for made in nested if made.info.status == "RUNNING"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "Permission denied"),
        OSError(errno.ENAMETOOLONG, "File name too long"),
        UnicodeEncodeError("utf-8", "half of a pair: \ud800", 16, 17, "surrogates not allowed"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_part_that_can_never_be_taken_is_reported_and_holds_up_nothing(error, database, name, monkeypatch, tmp_path):
    tracker = MlflowTracker(name, database)
    about = TrackedRun(run="ab" * 8, experiment="study", started=1000.0)
    outcome = Outcome(key=b"k" * 16, run=b"r" * 8, attempt=1, status=Status.SUCCEEDED, started=1000.0, runtime=1.0)
    parent = tracker.open_run(about, again=False)
    told = TrackedConfiguration(
        key="cd" * 16, name="gone", outcome=outcome, parameters={"lr": "1"}, directory=tmp_path / "gone"
    )

    def refuse(*arguments):
        raise error

    monkeypatch.setattr(tracker.mlflow_client, "log_artifacts", refuse)
    with pytest.raises(TrackerRefusal, match=re.escape(str(error))):
        tracker.deliver(parent, about, told, again=False)
    tracker.deliver(parent, about, told, again=True)

    _, (made,) = runs_in(database, name)
    assert (made.info.status, made.data.params) == ("FINISHED", {"lr": "1"})


def unspeakable(context, config):
    (context.directory / "told.txt").write_text("whole")
    raise ValueError("half of a pair: \ud800")


def test_what_has_no_bytes_in_utf8_is_told_without_it_and_holds_up_nothing(server, name):
    run(unspeakable, {"parameters": {"lr": [1]}}, MlflowTracker(name, server.url, patience=60))

    _, (made,) = runs_in(server.url, name)
    client = MlflowTracker(name, server.url).mlflow_client
    assert made.info.status == "FAILED"
    assert sorted(file.path for file in client.list_artifacts(made.info.run_id)) == ["told.txt", "traceback.txt"]


@pytest.mark.parametrize("call", ["create_run", "log_batch", "log_artifacts", "set_terminated"])
def test_a_configuration_of_which_the_answer_was_lost_is_looked_for_and_completed(
    call, database, name, monkeypatch, tmp_path
):
    tracker = MlflowTracker(name, database)
    (tmp_path / "written").mkdir()
    (tmp_path / "written" / "written.txt").write_text("by the experiment")
    about = TrackedRun(run="ab" * 8, experiment="study", started=1000.0)
    outcome = Outcome(key=b"k" * 16, run=b"r" * 8, attempt=1, status=Status.SUCCEEDED, started=1000.0, runtime=1.0)
    told = TrackedConfiguration(
        key="cd" * 16,
        name="n=1",
        outcome=outcome,
        parameters={"n": "1"},
        result={"loss": 0.5},
        directory=tmp_path / "written",
    )
    parent = tracker.open_run(about, again=False)
    assert tracker.open_run(about, again=True) == parent

    with monkeypatch.context() as patched:
        really = getattr(tracker.mlflow_client, call)

        def get_through_and_fail(*arguments, **options):
            really(*arguments, **options)
            raise ConnectionError("the answer was lost")

        patched.setattr(tracker.mlflow_client, call, get_through_and_fail)
        with pytest.raises(ConnectionError):
            tracker.deliver(parent, about, told, again=False)
    tracker.deliver(parent, about, told, again=True)
    tracker.close_run(parent, TrackedEnd(status="finished", ended=1002.0))
    tracker.close_run(parent, TrackedEnd(status="killed", ended=1003.0))

    (matrix,), (made,) = runs_in(database, name)
    assert (matrix.info.status, matrix.info.end_time) == ("FINISHED", 1002000)
    assert (made.info.status, made.data.params, made.data.metrics) == ("FINISHED", {"n": "1"}, {"loss": 0.5})
    assert [file.path for file in tracker.mlflow_client.list_artifacts(made.info.run_id)] == ["written.txt"]


def test_a_run_writes_a_few_lines_for_its_tracker_and_hears_of_no_single_experiment(name, store_path):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        tracker = MlflowTracker(name, f"http://127.0.0.1:{deaf.getsockname()[1]}", patience=0.0)
        with pytest.warns(RuntimeWarning, match=KEPT):
            results = run(double, {"parameters": {"n": list(range(2000))}}, tracker, executor="serial")

    assert len(results) == 2000
    lines = [json.loads(line) for line in journals(store_path)[0].read_text().split("\n") if line]
    assert lines[0]["texts"] is False
    assert sum("end" in line or "tracker" in line for line in lines) == 2
    assert len([line for line in lines if not {"parent", "sent", "done"} & set(line)]) == 2


def test_the_command_delivers_and_says_so(database, name, store_path):
    with pytest.warns(RuntimeWarning, match=KEPT):
        run(double, MATRIX, MlflowTracker(name, database, patience=0.0))

    def command(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "memento", *arguments], capture_output=True, text=True, timeout=100, check=False
        )
        return done.returncode, done.stdout, done.stderr

    first = command("sync", str(store_path))
    assert first[0] == 0
    assert first[1].endswith(" delivered, 0 runs left to deliver\n")
    assert command("sync") == (0, "0 configurations delivered, 0 runs left to deliver\n", "")
    assert names(runs_in(database, name)[1]) == ALL
    assert command("sync", __file__)[0] == 1
    assert command("sync", __file__)[2].startswith("memento: ")
    assert command()[0] == 2
    assert command("--version")[1].startswith("memento ")


def test_a_server_that_fails_is_told_by_the_command_with_code_one(name, store_path):
    with pytest.warns(RuntimeWarning, match=KEPT):
        run(double, {"parameters": {"n": [1]}}, MlflowTracker(name, "http://127.0.0.1:9", patience=0.0))

    done = subprocess.run([sys.executable, "-m", "memento", "sync"], capture_output=True, text=True, timeout=100)

    assert done.returncode == 1
    assert done.stdout == "0 configurations delivered, 1 run left to deliver\n"
    assert done.stderr.startswith("MLflow at http://127.0.0.1:9: ")
