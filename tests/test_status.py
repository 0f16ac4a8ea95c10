"""`memento status`: what a store holds and what goes on over it, told without touching it."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memento import Memento, open_store
from memento.cli.main import main
from memento.executors.slurm import commands
from memento.executors.slurm.batch import Batch
from memento.executors.slurm.commands import JobState
from memento.executors.slurm.incarnation import Incarnation
from memento.heads import frame_of
from memento.layout import REMOTE
from memento.overview import overview
from memento.store.runs import Run
from memento.task import Failure, Outcome, Status, Task
from tests.executors.harness import key_of


def mixed(context: Any, config: Any) -> Any:
    if config.n == 3:
        raise ValueError("three is right out")
    if config.n == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return config.n


def table(text: str, first: str) -> list[list[str]]:
    """Return the cells of the table whose heading begins with `first`, cut where the columns of the heading begin."""
    lines = iter(text.splitlines())
    head = next(line for line in lines if line.startswith(f"{first} "))
    starts = [found.start() for found in re.finditer(r"(?:(?<=  )|^)\S", head)]
    rows = []
    for line in lines:
        if not line or line.startswith("…"):
            break
        rows.append([cell.strip() for cell in re.split(r" {2,}", line)])
    assert starts
    return rows


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_says_what_is_stored_and_what_failed_of_what(store_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Memento(mixed, num_workers=1).run({"parameters": {"n": [1, 2, 3, 4]}}, on_error="return")
    before = files_of(store_path)
    capsys.readouterr()

    assert main(["status"]) == 0

    said = capsys.readouterr().out
    assert said.splitlines()[0] == f"{store_path}: 1 experiment, 1 run"
    (experiment,) = table(said, "EXPERIMENT")
    assert experiment == ["tests.test_status:mixed", "2", "2", "0", "0", "0", "error 1, killed 1"]
    (run,) = table(said, "RUN")
    assert run[1:8] == ["over", "tests.test_status:mixed", "4", "2", "2", "0", "0"]
    failures = sorted(table(said, "FAILED"))
    assert failures[0][:3] == ["failed", "error", "-"]
    assert failures[0][5:] == ["1", '{"n": "3"}', "ValueError: three is right out"]
    assert failures[1][:3] == ["killed", "killed", "signal 9"]
    assert failures[1][6] == '{"n": "4"}'
    assert files_of(store_path) == before


def test_columns_are_aligned_and_numbers_end_where_their_headings_do(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Memento(mixed, num_workers=1).run({"parameters": {"n": [1, 2, 3]}}, on_error="return")
    capsys.readouterr()
    main(["status", str(store_path)])
    head, row = capsys.readouterr().out.splitlines()[2:4]
    assert head == "EXPERIMENT               STORED  FAILED  CANCELLED  RUNNING  WAITING  FAILED OF"
    assert row == "tests.test_status:mixed       2       1          0        0        0  error 1"


def test_what_is_damaged_counts_as_not_stored_and_is_left_as_it_is(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Memento(mixed, executor="serial").run({"parameters": {"n": [1, 2]}})
    with contextlib.closing(sqlite3.connect(store_path / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE outcomes SET head = zeroblob(100) WHERE id = 1")
    before = files_of(store_path)
    capsys.readouterr()
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[1] == "damaged, and so not stored: 1; running the matrix computes that anew"
    assert table(said, "EXPERIMENT")[0][1] == "1"
    assert files_of(store_path) == before


class Trap:
    """Opened by whoever unpickles it."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.place),)


def trap(context: Any, config: Any) -> Any:
    return Trap(config.place)


def test_no_result_is_unpickled(tmp_path: Path, store_path: Path) -> None:
    place = tmp_path / "opened"
    Memento(trap, executor="serial").run({"parameters": {"place": [str(place)]}})
    place.unlink(missing_ok=True)
    assert overview(store_path).experiments["tests.test_status:trap"].stored == 1
    assert not place.exists()
    pickle.loads(pickle.dumps(Trap(str(place))))
    assert place.exists()  # the trap works


def test_where_there_is_no_store_it_says_so_and_makes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err == (
        f"memento: there is no store at {tmp_path}/nowhere; say where it is, as in run(cache_path=...)\n"
    )
    (tmp_path / "foreign.txt").write_text("not ours at all")
    assert main(["status", str(tmp_path / "foreign.txt")]) == 1
    assert "is not a store" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.txt"]


def test_its_help_names_what_it_can_do_and_its_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert "usage: memento status [-h] [--all] [store]" in said
    assert "exit status: 0, it was told, whatever it was; 1, there is no store, or it cannot be read; 2," in said
    with pytest.raises(SystemExit) as ended:
        main(["status", "--everything"])
    assert ended.value.code == 2


def test_of_many_failures_the_newest_are_shown_unless_all_are_asked_for(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(context: Any, config: Any) -> None:
        raise ValueError(str(config.n))

    Memento(fails, executor="serial").run({"parameters": {"n": range(25)}}, on_error="return", max_failures=100)
    capsys.readouterr()
    main(["status"])
    said = capsys.readouterr().out
    assert [row[-1] for row in table(said, "FAILED")] == [f"ValueError: {n}" for n in range(24, 4, -1)]
    assert said.splitlines()[-1] == "… and 5 failures more: --all"
    main(["status", "--all"])
    assert len(table(capsys.readouterr().out, "FAILED")) == 25


def test_a_reader_that_has_read_enough_is_no_error(store_path: Path) -> None:
    open_store(store_path).close()
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "memento", "status"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_terminal_cannot_show_is_escaped(store_path: Path) -> None:
    def fails(context: Any, config: Any) -> None:
        raise ValueError("no file nö\udcff.csv")

    Memento(fails, executor="serial").run({"parameters": {"file": ["ü\udcff.csv"]}}, on_error="return")
    for encoding, shown in (("utf-8", "nö\\udcff.csv"), ("ascii", "n\\xf6\\udcff.csv")):
        done = subprocess.run(
            [sys.executable, "-m", "memento", "status"],
            capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": encoding},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        assert f"ValueError: no file {shown}" in done.stdout.decode(encoding)


WAITING = """
import time
from pathlib import Path
from memento import Memento

def experiment(context, config):
    Path(f"{config.n}.begun").touch()
    while config.n > 1 and not Path("go").exists():
        time.sleep(0.02)
    return config.n

Memento(experiment, num_workers=2).run({"parameters": {"n": [0, 1, 2, 3, 4]}})
"""


def until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (answer := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


@pytest.fixture
def waiting(tmp_path: Path) -> Any:
    """A run that has stored two of five configurations and waits in two others."""
    (tmp_path / "script.py").write_text(WAITING)
    process = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        until(lambda: len(list(tmp_path.glob("*.begun"))) == 4)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_run_that_goes_on_is_seen_and_not_disturbed(tmp_path: Path, store_path: Path, waiting: Any) -> None:
    seen = until(lambda: (one := overview(store_path)) and one.experiments["script:experiment"].stored == 2 and one)
    counts = seen.experiments["script:experiment"]
    assert (counts.stored, counts.failed, counts.running, counts.waiting) == (2, 0, 2, 1)
    (run,) = seen.runs
    assert (run.state, run.about["pid"], run.about["todo"]) == ("goes on", waiting.pid, 5)
    (tmp_path / "go").touch()
    assert waiting.wait(timeout=60) == 0
    assert overview(store_path).experiments["script:experiment"].stored == 5
    assert overview(store_path).runs[0].state == "over"


def test_of_a_run_that_was_killed_it_counts_what_was_delivered_and_leaves_the_rest_to_the_next_run(
    tmp_path: Path, store_path: Path, waiting: Any
) -> None:
    waiting.kill()
    waiting.wait()
    seen = until(lambda: (one := overview(store_path)).runs[0].state == "its process died" and one)
    counts = seen.experiments["script:experiment"]
    assert (counts.stored, counts.running, counts.waiting) == (2, 0, 0)
    assert list((store_path / "spool").glob("*/*.spool"))  # nobody took them in
    (tmp_path / "go").touch()


def test_of_a_run_that_was_killed_it_says_so_and_how_long_it_took_at_least_also_when_its_work_is_taken_over(
    tmp_path: Path, store_path: Path, waiting: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting.kill()
    waiting.wait()
    (run,) = until(lambda: [one for one in overview(store_path).runs if one.state == "its process died"])
    folder = store_path / "spool" / run.id
    for path in folder.iterdir():
        os.utime(path, (run.started + 8, run.started + 8))

    def told() -> list[str]:
        main(["status"])
        ((_, state, _, todo, stored, *_, took, _),) = table(capsys.readouterr().out, "RUN")
        return [state, todo, stored, took]

    assert told() == ["its process died", "5", "2", "at least 8.0 s"]
    with open_store(store_path) as store:
        until(lambda: store.take_over() or not folder.exists())
    assert told() == ["its process died", "5", "2", "at least 8.0 s"]


def test_what_a_run_gave_is_told_also_when_a_later_one_has_replaced_it(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for force in (False, True):
        Memento(mixed, executor="serial").run({"parameters": {"n": [1, 2, 3]}}, on_error="return", force_run=force)
    capsys.readouterr()
    main(["status"])
    said = capsys.readouterr().out
    assert [row[3:6] for row in table(said, "RUN")] == [["3", "2", "1"], ["3", "2", "1"]]
    assert table(said, "EXPERIMENT")[0][1:3] == ["2", "1"]


# Runs in a cluster, where no cluster is needed to know


@pytest.fixture
def left(store_path: Path) -> Run:
    """A run of Slurm jobs whose process is gone: job 7 has two tasks, of 2 and of 1 configurations."""
    store = open_store(store_path)
    run = store.begin_run(experiment="e", code={}, about={})
    (run.spool / REMOTE).write_text("slurm")
    keys = [key_of(number) for number in range(3)]
    store.claim(run, keys)
    store.leave(run)
    tasks = [Task(index=number, key=key) for number, key in enumerate(keys)]
    Batch(run=run.id, number=1, parts=[tasks[:2], tasks[2:]]).write(run.spool)
    (run.spool / "1.job").write_text("7")
    process = Incarnation(run.spool, 1, 0)
    process.note({"node": "node3", "job": "7_0"}, {"begun": keys[0].hex(), "attempt": 1, "checkpoint": ""})
    process.deliver([frame_of(success(run, 0))])
    process.note({"begun": keys[1].hex(), "attempt": 1, "checkpoint": ""})
    store.close()
    return run


def success(run: Run, number: int) -> Outcome:
    return Outcome(key=key_of(number), run=run.id, attempt=1, status=Status.SUCCEEDED, started=1.0, runtime=1.0)


def jobs_told(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    assert main(["status"]) == 0
    return table(capsys.readouterr().out, "JOB")


def test_jobs_are_told_with_node_state_and_exit(
    left: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tag = f"memento:{left.id.hex()}:1"
    states = [
        JobState(job="7", index=0, state="RUNNING", node="node3", tag=tag),
        JobState(job="7", index=1, state="OUT_OF_MEMORY", node="node1", exit="0:125", tag=tag),
        JobState(job="8", index=0, state="RUNNING", tag="memento:00:1"),
    ]
    monkeypatch.setattr(commands, "queue", lambda: states)
    assert jobs_told(capsys) == [
        ["7_0", "node3", "RUNNING", "-", "1", "1", "0", "?"],
        ["7_1", "node1", "OUT_OF_MEMORY", "0:125", "0", "0", "1"],
    ]
    (run,) = overview().runs
    assert (run.state, run.counts.stored, run.counts.running, run.counts.waiting) == ("left in slurm", 1, 1, 1)
    assert overview().experiments["e"].stored == 1


def test_without_a_cluster_it_says_what_the_folder_tells(
    left: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_of(left.spool)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert jobs_told(capsys) == [["7_0", "node3", "?", "-", "1", "1", "0", "?"], ["7_1", "-", "?", "-", "0", "0", "1"]]
    main(["status"])
    assert f"jobs of run {left.id.hex()} (the cluster does not answer from here):" in capsys.readouterr().out
    assert files_of(left.spool) == before


def test_a_failure_that_a_job_delivered_while_nobody_looked_is_told_with_job_and_node(
    left: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = Failure(type="NodeFailed", message="its node failed", cause="node", signal=9)
    bad = success(left, 2)._replace(status=Status.KILLED, failure=failure, host="node1, job 7_1")
    Incarnation(left.spool, 1, 1).deliver([frame_of(bad)])
    monkeypatch.setattr(commands, "queue", lambda: None)
    main(["status"])
    (row,) = table(capsys.readouterr().out, "FAILED")
    assert row == ["killed", "node", "signal 9", "node1", "7_1", "1", "?", "NodeFailed: its node failed"]


def test_a_store_that_is_being_written_is_read_meanwhile(store_path: Path) -> None:
    with open_store(store_path) as store:
        run = store.begin_run(experiment="e", code={}, about={})
        with store._ledger.writing() as database:
            database.execute("DELETE FROM runs")
            assert overview(store_path).runs[0].state == "goes on"
            database.execute("ROLLBACK")
            database.execute("BEGIN")
        store.end_run(run)
    assert overview(store_path).runs[0].state == "over"
