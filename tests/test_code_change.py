"""Results of older code are noticed, as the user says; tests/faults/test_edits.py tries many kinds of edit."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from memento.store import open_store

HELPER = "RATE = 2\n\ndef helper(x):\n    return x * RATE\n"
SCRIPT = """
import sys
from memento import Memento
from helpers import helper

def experiment(context, config):
    print("ran", file=open("ran", "a"))
    return helper(config.x)

if __name__ == "__main__":
    results = Memento(experiment, code_change=sys.argv[1], num_workers=1).run(
        {"parameters": {"x": [1, 2]}}, progress=False)
    print([result.inner for result in results])
"""


def run(folder: Path, mode: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "script.py", mode], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def write(folder: Path, helper: str = HELPER, script: str = SCRIPT) -> None:
    # Python takes bytecode for current where a source of the same length was written in the same second.
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    (folder / "helpers.py").write_text(helper)
    (folder / "script.py").write_text(script)


def times(folder: Path) -> int:
    return len((folder / "ran").read_text().splitlines())


def test_a_changed_helper_is_reported_by_name_and_the_stored_results_are_used(tmp_path: Path) -> None:
    write(tmp_path)
    assert run(tmp_path, "warn") == ("[2, 4]", "")
    write(tmp_path, HELPER.replace("x * RATE", "x * RATE + 1"))
    out, err = run(tmp_path, "warn")
    assert out == "[2, 4]"
    assert "2 of 2 stored results were computed by older code, which differs in helpers.helper" in err
    assert times(tmp_path) == 2
    assert run(tmp_path, "ignore") == ("[2, 4]", "")


def test_rerun_computes_anew_what_older_code_computed_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path)
    run(tmp_path, "warn")
    write(tmp_path, HELPER.replace("RATE = 2", "RATE = 3"))
    assert run(tmp_path, "rerun")[0] == "[3, 6]"
    assert times(tmp_path) == 4
    assert run(tmp_path, "rerun") == ("[3, 6]", "")
    assert times(tmp_path) == 4


@pytest.mark.parametrize("mode", ["rerun", "warn"])
def test_who_undoes_an_edit_has_the_results_of_that_code_again(tmp_path: Path, mode: str) -> None:
    write(tmp_path)
    run(tmp_path, "rerun")
    write(tmp_path, HELPER.replace("RATE = 2", "RATE = 3"))
    assert run(tmp_path, "rerun") == ("[3, 6]", "")
    write(tmp_path)
    assert run(tmp_path, mode) == ("[2, 4]", "")
    assert times(tmp_path) == 4


def test_of_results_of_older_code_those_are_used_that_differ_in_the_least(tmp_path: Path) -> None:
    for rate in (2, 3):  # as somebody does who tries several values of a global
        write(tmp_path, HELPER.replace("RATE = 2", f"RATE = {rate}"))
        run(tmp_path, "rerun")
    write(tmp_path, HELPER.replace("x * RATE", "RATE * x"))
    out, err = run(tmp_path, "warn")
    assert out == "[2, 4]"
    assert "2 of 2 stored results were computed by older code, which differs in helpers.helper;" in err
    write(tmp_path, HELPER.replace("x * RATE", "RATE * x").replace("RATE = 2", "RATE = 3"))
    assert run(tmp_path, "ignore")[0] == run(tmp_path, "warn")[0] == "[3, 6]"
    write(tmp_path, HELPER.replace("RATE = 2", "RATE = 4"))
    assert run(tmp_path, "warn")[0] == "[3, 6]"  # none is nearer than the newest
    assert times(tmp_path) == 4


def test_an_older_result_does_not_take_the_place_of_one_of_which_nobody_knows_the_code(tmp_path: Path) -> None:
    write(tmp_path)
    run(tmp_path, "rerun")
    write(tmp_path, HELPER.replace("RATE = 2", "RATE = 3"))
    assert run(tmp_path, "rerun") == ("[3, 6]", "")
    with contextlib.closing(sqlite3.connect(next(tmp_path.rglob("ledger.sqlite")))) as ledger:
        ledger.execute("UPDATE runs SET checksum = x'00' WHERE rowid = (SELECT max(rowid) FROM runs)")
        ledger.commit()
    write(tmp_path)
    out, err = run(tmp_path, "warn")
    assert out == "[3, 6]"
    assert "2 of 2 stored results were computed by older code" in err


def test_what_no_run_of_todays_code_gave_is_told_beside_what_one_did(tmp_path: Path) -> None:
    write(tmp_path)
    run(tmp_path, "rerun")
    write(tmp_path, HELPER.replace("RATE = 2", "RATE = 3"), SCRIPT.replace("[1, 2]", "[1, 2, 3]"))
    assert run(tmp_path, "rerun")[0] == "[3, 6, 9]"
    write(tmp_path, script=SCRIPT.replace("[1, 2]", "[1, 2, 3]"))
    out, err = run(tmp_path, "warn")
    assert out == "[2, 4, 9]"
    assert "1 of 3 stored results were computed by older code, which differs in helpers.RATE;" in err
    assert run(tmp_path, "rerun") == ("[2, 4, 6]", "")
    assert times(tmp_path) == 6


def test_the_code_of_a_class_that_is_a_value_counts_too(tmp_path: Path) -> None:
    model = "class Model:\n    rate = 2\n\nclass Other:\n    rate = 5\n"
    script = SCRIPT.replace("helper(config.x)", "config.model.rate * config.x").replace("helper\n", "Model, Other\n")
    script = script.replace('"x": [1, 2]', '"x": [1, 2], "model": [Model]')
    write(tmp_path, model, script)
    run(tmp_path, "warn")
    write(tmp_path, model, script.replace("[Model]", "[Model, Other]"))
    assert run(tmp_path, "warn") == ("[2, 5, 4, 10]", "")
    write(tmp_path, model.replace("rate = 2", "rate = 3"), script)
    _, err = run(tmp_path, "warn")
    assert "2 of 2 stored results were computed by older code, which differs in helpers.Model;" in err
    assert run(tmp_path, "rerun")[0] == "[3, 6]"


AT_ONCE = """
import os, sys, time
from memento import Memento
from memento.events import RunStarted
from helpers import helper

class Looked:
    hears = (RunStarted,)

    def handle(self, event):
        open(f"looked {os.getpid()}", "w").close()

    def close(self):
        pass

def both_looked():
    return sum(name.startswith("looked") for name in os.listdir()) >= int(os.environ["MANY"])

def experiment(x):
    with open("ran", "a") as log:
        print(x, file=log)
    while not both_looked():
        time.sleep(0.01)
    time.sleep(0.01)
    if x == 59 and os.environ["FAIL"] == "yes":
        raise ValueError("fifty-nine")
    return helper(x)

if __name__ == "__main__":
    mode, failing = sys.argv[1], os.environ["FAIL"] == "yes"
    options = {"code_change": mode} if mode != "force" else {}
    results = Memento(experiment, num_workers=2, listeners=[Looked()], **options).run(
        {"parameters": {"x": list(range(60))}}, force_run=mode == "force", progress=False, on_error="return")
    print([result.inner for result in results if result.ok] == [3 * x for x in range(60 - failing)])
    print([result.status.name for result in results if not result.ok])
"""


def at_once(folder: Path, mode: str, many: int = 2, *, failing: bool = False) -> list[str]:
    """Return what so many runs printed, none of which gives a result before all have looked at what is stored."""
    for mark in (*folder.glob("looked *"), *folder.glob("ran")):
        mark.unlink()
    environment = {**os.environ, "MANY": str(many), "FAIL": "yes" if failing else "no"}
    command = [sys.executable, "script.py", mode]
    runs = [
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(many)
    ]
    return [run.communicate(timeout=60)[0] for run in runs]


def numbers_run(folder: Path) -> list[int]:
    return sorted(map(int, (folder / "ran").read_text().split()))


@pytest.mark.parametrize("mode", ["rerun", "force"])
def test_two_runs_at_once_compute_each_configuration_anew_once_and_both_have_all(tmp_path: Path, mode: str) -> None:
    write(tmp_path, script=AT_ONCE)
    assert at_once(tmp_path, "warn", many=1) == ["False\n[]\n"]
    write(tmp_path, HELPER.replace("RATE = 2", "RATE = 3"), AT_ONCE)
    assert at_once(tmp_path, mode) == ["True\n[]\n"] * 2
    assert numbers_run(tmp_path) == list(range(60))
    with open_store() as store, contextlib.closing(sqlite3.connect(store.database)) as ledger:
        assert ledger.execute("SELECT count(*) FROM outcomes WHERE damaged = 2").fetchone() == (60,)  # REPLACED
    assert at_once(tmp_path, "rerun", many=1) == ["True\n[]\n"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mode", ["rerun", "force"])
def test_what_fails_anew_fails_in_both_of_two_runs_at_once(tmp_path: Path, mode: str) -> None:
    write(tmp_path, script=AT_ONCE)
    at_once(tmp_path, "warn", many=1)
    write(tmp_path, HELPER.replace("RATE = 2", "RATE = 3"), AT_ONCE)
    assert at_once(tmp_path, mode, failing=True) == ["True\n['FAILED']\n"] * 2
    assert numbers_run(tmp_path)[:60] == list(range(60))


WAITS = """
import sys, time
from pathlib import Path
from memento import Memento
from memento.events import RunProgressed

class Told:
    hears = (RunProgressed,)
    def handle(self, event):
        Path(sys.argv[1]).touch()  # it has tried to claim what there is
    def close(self):
        pass

def experiment(context, config):
    until = time.monotonic() + 60
    while not Path("go on").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return config.x + 1

if __name__ == "__main__":
    [result] = Memento(experiment, num_workers=1, listeners=[Told()]).run(
        {"parameters": {"x": [1]}}, cache_path="store", progress=False)
    print(result.inner, result.was_cached)
"""


def test_what_other_code_computes_while_this_run_waits_is_told(tmp_path: Path) -> None:
    command, pipe = [sys.executable, "-B", "script.py"], subprocess.PIPE
    (tmp_path / "script.py").write_text(WAITS)
    with subprocess.Popen([*command, "first"], cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as first:
        wait_for((tmp_path / "first").exists)
        (tmp_path / "script.py").write_text(WAITS.replace("+ 1", "+ 100"))
        with subprocess.Popen([*command, "second"], cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as second:
            wait_for((tmp_path / "second").exists)
            (tmp_path / "go on").touch()
            assert first.communicate(timeout=60)[0] == "2 False\n"
            told, said = second.communicate(timeout=60)
    assert told == "2 True\n"
    assert "1 results that another run stored meanwhile were computed by other code, which differs in script." in said


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


GIVEN = """
import argparse, json, os, time
from memento import Memento

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.5)
parser.add_argument("--workers", type=int, default=1)
args = parser.parse_args()
SCALE = int(os.environ.get("SCALE", "1"))
SETUP = json.load(open("setup.json"))
BEGUN = time.time()

def experiment(context, config):
    return config.x * args.rate * SCALE * SETUP["factor"] + 0 * BEGUN

if __name__ == "__main__":
    results = Memento(experiment, num_workers=args.workers, code_change="rerun").run(
        {"parameters": {"x": [1, 2]}}, progress=False)
    print([result.inner for result in results], sum(result.was_cached for result in results))
"""


def test_values_that_came_from_outside_count_as_code_where_the_experiment_uses_them(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(GIVEN)

    def given(*options: str, factor: int = 1, scale: str = "1") -> str:
        (tmp_path / "setup.json").write_text(f'{{"factor": {factor}}}')
        done = subprocess.run(
            [sys.executable, "study.py", *options],
            cwd=tmp_path, env={**os.environ, "SCALE": scale}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    assert given() == "[0.5, 1.0] 0"
    assert given("--workers", "2") == "[0.5, 1.0] 2"  # an option that the experiment does not look at
    assert given("--rate", "2") == "[2.0, 4.0] 0"
    assert given("--rate", "2", factor=3) == "[6.0, 12.0] 0"
    assert given("--rate", "2", factor=3, scale="10") == "[60.0, 120.0] 0"
    assert given("--rate", "2", factor=3, scale="10") == "[60.0, 120.0] 2"


STEPS = """
import os, sys
from memento import Memento
from helpers import helper

def experiment(context, config):
    began = context.checkpoint_exist()
    done = context.restore(default=[])
    while len(done) < 4:
        if len(done) - config.x == int(os.environ.get("DIES", 9)):
            raise ValueError("dies")
        done.append(helper(1))
        context.checkpoint(done)
    return [began, *done]

if __name__ == "__main__":
    results = Memento(experiment, code_change=sys.argv[1], num_workers=1).run(
        {"parameters": {"x": [0, 1, 2]}}, progress=False, on_error="return")
    print([result.inner for result in results if result.ok])
"""
ANEW = "[[False, 3, 3, 3, 3], [False, 3, 3, 3, 3], [False, 3, 3, 3, 3]]"
GOING_ON = "[[False, 3, 3, 3, 3], [True, 2, 3, 3, 3], [True, 2, 2, 3, 3]]"


def die_and_edit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave two checkpoints of older code, of three configurations of which none has succeeded."""
    write(folder, script=STEPS)
    monkeypatch.setenv("DIES", "0")
    assert run(folder, "rerun") == ("[]", "")
    write(folder, HELPER.replace("RATE = 2", "RATE = 3"), STEPS)


def test_rerun_begins_anew_what_older_code_had_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    die_and_edit(tmp_path, monkeypatch)
    assert run(tmp_path, "rerun") == ("[]", "")  # its own checkpoints are gone on from
    monkeypatch.delenv("DIES")
    assert run(tmp_path, "rerun") == (GOING_ON.replace("2", "3"), "")
    assert not [path for path in (tmp_path / ".memento" / "checkpoints").rglob("*") if path.is_file()]


def test_what_goes_on_from_older_code_is_told_and_still_begun_anew_by_rerun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_and_edit(tmp_path, monkeypatch)
    monkeypatch.setenv("DIES", "1")  # each makes one more step with today's code
    out, err = run(tmp_path, "warn")
    assert out == "[]"
    assert (
        "UserWarning: 2 of 3 configurations to run go on from checkpoints of older code, which differs in "
        "helpers.RATE; code_change='rerun' begins them anew, code_change='ignore' silences this"
    ) in err
    assert err.count("UserWarning") == 1
    monkeypatch.delenv("DIES")
    assert run(tmp_path, "rerun")[0] == ANEW.replace("[[False, ", "[[True, ")


def test_ignore_goes_on_from_older_code_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    die_and_edit(tmp_path, monkeypatch)
    monkeypatch.delenv("DIES")
    assert run(tmp_path, "ignore") == (GOING_ON, "")


def test_force_run_begins_anew_what_older_code_had_begun_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_and_edit(tmp_path, monkeypatch)
    monkeypatch.delenv("DIES")
    script = STEPS.replace("progress=False", "progress=False, force_run=True")
    write(tmp_path, HELPER.replace("RATE = 2", "RATE = 3"), script)
    assert run(tmp_path, "warn") == (ANEW, "")
