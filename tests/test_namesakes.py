"""Scripts and notebooks of one name in different folders share keys, and never take one another's results."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from memento.hashing.origin import is_another_file
from memento.store import open_store
from memento.store.history import run_checksum

SCRIPT = """
import sys
from memento import Memento

def experiment(x):
    with open("ran", "a") as log:
        print(x, file=log)
    return x * FACTOR

if __name__ == "__main__":
    results = Memento(experiment, code_change=sys.argv[1], num_workers=1).run(
        {"parameters": {"x": [1, 2]}}, cache_path="../store", progress=False)
    print([result.inner for result in results])
"""
MODES = ["warn", "rerun", "ignore"]


def write(folder: Path, factor: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "study.py").write_text(SCRIPT.replace("FACTOR", str(factor)))
    return folder


def run(folder: Path, mode: str = "warn", file: str = "study.py", **environment: str) -> tuple[str, str]:
    """Return what the script of `folder` prints and what it warns of; for "-" it is typed in rather than run."""
    done = subprocess.run(
        [sys.executable, file, mode], cwd=folder, capture_output=True, text=True, check=False,
        input=(folder / "study.py").read_text(), env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def ran(folder: Path) -> list[str]:
    return (folder / "ran").read_text().split() if (folder / "ran").exists() else []


@pytest.mark.parametrize("mode", MODES)
def test_each_of_two_scripts_of_one_name_has_its_own_results_and_computes_them_once(tmp_path: Path, mode: str) -> None:
    one, two = write(tmp_path / "one", 2), write(tmp_path / "two", 3)
    assert run(one, mode) == ("[2, 4]", "")
    out, said = run(two, mode)
    assert out == "[3, 6]"
    assert (
        "2 of 2 configurations to run have a stored result that other code of the same name gave, in "
        f"{one / 'study.py'}; it is not used, and is kept. Give one of the two another version=" in said
    )
    assert said.count("UserWarning") == 1
    for _ in range(2):  # each finds its own, whichever ran last
        assert run(one, mode) == ("[2, 4]", "")
        assert run(two, mode) == ("[3, 6]", "")
    assert ran(one) == ran(two) == ["1", "2"]


def test_what_another_script_gave_is_no_older_result_of_one_that_has_introduced_a_parameter(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", 2), write(tmp_path / "two", 3)
    script = (two / "study.py").read_text().replace("experiment(x)", "experiment(x, scale)")
    script = script.replace("""{"x": [1, 2]}}""", """{"x": [1, 2], "scale": [1]}, "introduced": {"scale": 1}}""")
    (two / "study.py").write_text(script)
    assert run(one) == ("[2, 4]", "")
    assert run(two)[0] == "[3, 6]"
    assert ran(two) == ["1", "2"]


def test_a_copy_of_a_script_shares_its_results(tmp_path: Path) -> None:
    one, copy = write(tmp_path / "one", 2), write(tmp_path / "copy", 2)
    assert run(one) == run(copy) == ("[2, 4]", "")
    assert ran(copy) == []


def test_a_script_that_was_moved_and_changed_is_the_same_one(tmp_path: Path) -> None:
    one = write(tmp_path / "one", 2)
    run(one)
    moved = write(one.rename(tmp_path / "moved"), 3)
    out, said = run(moved)
    assert out == "[2, 4]"
    assert "2 of 2 stored results were computed by older code, which differs in study.experiment" in said
    assert run(moved, "ignore") == ("[2, 4]", "")
    (tmp_path / "link").symlink_to(moved)
    assert run(tmp_path / "link", "ignore") == ("[2, 4]", "")
    assert ran(moved) == ["1", "2"]


def test_a_project_that_was_copied_with_its_store_and_changed_goes_on_with_it(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    run(write(tmp_path / "here" / "one", 2))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    out, said = run(write(tmp_path / "there" / "one", 3))
    assert out == "[2, 4]"
    assert "computed by older code" in said


def test_an_edit_of_one_of_them_concerns_its_own_older_results(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", 2), write(tmp_path / "two", 3)
    run(one)
    run(two)
    write(one, 5)
    out, said = run(one)
    assert out == "[2, 4]"
    assert "2 of 2 stored results were computed by older code" in said
    assert run(one, "rerun")[0] == "[5, 10]"
    assert run(two, "ignore") == ("[3, 6]", "")
    assert (ran(one), ran(two)) == (["1", "2", "1", "2"], ["1", "2"])


def test_a_run_that_did_not_say_from_where_it_came_counts_as_older_code(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", 2), write(tmp_path / "two", 3)
    run(one)
    with open_store(tmp_path / "store") as store, contextlib.closing(sqlite3.connect(store.database)) as ledger:
        number, *facts, about = ledger.execute("SELECT id, experiment, started, code, about FROM runs").fetchone()
        known = json.loads(about)
        assert known.pop("file") == "../one/study.py"
        about = json.dumps(known)
        record = [about, run_checksum(number, *facts, about), number]
        ledger.execute("UPDATE runs SET about = ?, checksum = ? WHERE id = ?", record)
        ledger.commit()
    out, said = run(two)
    assert out == "[2, 4]"
    assert "computed by older code" in said
    assert ran(two) == []


AT_ONCE = """
import glob, os, sys, time
from memento import Memento
from memento.events import RunStarted

class Begun:
    hears = (RunStarted,)

    def handle(self, event):
        open(f"../begun {os.getpid()}", "w").close()

    def close(self):
        pass

def experiment(x):
    with open("ran", "a") as log:
        print(x, file=log)
    while len(glob.glob("../begun *")) < 2:  # each has looked at what is stored before anything is
        time.sleep(0.01)
    return x / FACTOR

if __name__ == "__main__":
    results = Memento(experiment, code_change=sys.argv[1], num_workers=1, listeners=[Begun()]).run(
        {"parameters": {"x": [1, 2]}}, cache_path="../store", progress=False, on_error="return")
    print([result.inner if result.ok else result.error.type for result in results])
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("factor", "given"), [(4, "[0.25, 0.5]"), (0, "['ZeroDivisionError', 'ZeroDivisionError']")])
def test_two_that_run_at_once_both_end_with_what_is_theirs(tmp_path: Path, mode: str, factor: int, given: str) -> None:
    running = []
    for name, divisor in (("one", 2), ("two", factor)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "study.py").write_text(AT_ONCE.replace("FACTOR", str(divisor)))
        command = [sys.executable, "study.py", mode]
        running.append(subprocess.Popen(command, cwd=tmp_path / name, stdout=subprocess.PIPE, text=True))
    assert [process.communicate(timeout=60)[0] for process in running] == ["[0.5, 1.0]\n", f"{given}\n"]
    assert ran(tmp_path / "one") == ran(tmp_path / "two") == ["1", "2"]


def test_a_notebook_is_no_other_file_than_the_folder_it_lies_in(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "study.ipynb").touch()
    places = [str(one), str(two), str(one / "study.ipynb"), str(two / "study.ipynb")]
    assert [is_another_file(place, places[2]) for place in places] == [False, True, False, True]
    assert [is_another_file(place, places[1]) for place in places] == [True, False, True, False]


def test_notebooks_of_one_name_are_told_apart_by_their_folders_or_by_their_files(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", 2), write(tmp_path / "two", 3)
    for folder in (one, two):
        text = (folder / "study.py").read_text().replace("num_workers=1", "executor='serial'")
        (folder / "study.py").write_text(text)
        (folder / "study.ipynb").touch()
    assert run(one, file="-")[0] == "[2, 4]"
    out, said = run(two, "ignore", file="-")
    assert out == "[3, 6]"
    assert f"gave, in {one};" in said
    # Jupyter's server says what the notebook is called; what ran it before did not.
    for folder, given in ((one, "[2, 4]"), (two, "[3, 6]")):
        assert run(folder, "ignore", file="-", JPY_SESSION_NAME=str(folder / "study.ipynb"))[0] == given
    assert (ran(one), ran(two)) == (["1", "2"], ["1", "2"])


STEPS = """
import os, signal, sys
from memento import Memento

def experiment(context, config):
    done = context.restore(default=[])
    while len(done) < 4:
        done.append(FACTOR)
        context.checkpoint(done)
        if len(done) == 2 and os.environ.get("DIES"):
            os.kill(os.getpid(), signal.SIGKILL)
    return sum(done)

if __name__ == "__main__":
    results = Memento(experiment, code_change=sys.argv[1], num_workers=1).run(
        {"parameters": {"x": [1]}}, cache_path="../store", progress=False, on_error="return")
    print([result.inner for result in results if result.ok])
"""


@pytest.mark.parametrize("mode", MODES)
def test_nobody_goes_on_from_the_checkpoint_of_another_script_and_each_finds_its_own(tmp_path: Path, mode: str) -> None:
    one, two = write(tmp_path / "one", 0), write(tmp_path / "two", 0)
    (one / "study.py").write_text(STEPS.replace("FACTOR", "1"))
    (two / "study.py").write_text(STEPS.replace("FACTOR", "10"))
    assert run(one, mode, DIES="yes")[0] == "[]"
    assert run(two, mode, DIES="yes")[0] == "[]"
    # What is added now shows from where each goes on: two steps were made by what the script was before.
    (one / "study.py").write_text(STEPS.replace("FACTOR", "100"))
    assert run(one, mode)[0] == ("[400]" if mode == "rerun" else "[202]")
    assert run(two, mode)[0] == "[40]"
    assert not [path for path in (tmp_path / "store" / "checkpoints").rglob("*") if path.is_file()]


REMEMBERING = """
import sys
from memento import memoize

@memoize(store="../store", code_change=sys.argv[1])
def square(x):
    with open("ran", "a") as log:
        print(x, file=log)
    return [x * FACTOR] * SIZE

if __name__ == "__main__":
    print([square(x)[0] for x in (1, 2)])
"""


FORGETTING = """
if sys.argv[1] == "ignore":
    print(square.forget(1), square.forget(1))
"""


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("forgotten", ["newer", "older"])
def test_forgetting_leaves_what_a_function_of_another_script_remembers(
    tmp_path: Path, size: int, forgotten: str
) -> None:
    one, two = write(tmp_path / "one", 0), write(tmp_path / "two", 0)
    for folder, factor in ((one, "2"), (two, "3")):
        text = REMEMBERING.replace("FACTOR", factor).replace("SIZE", str(size))
        (folder / "study.py").write_text(text + FORGETTING)
    run(one)
    run(two)
    forgetful, other, values = (two, one, "[2, 4]") if forgotten == "newer" else (one, two, "[3, 6]")
    assert run(forgetful, "ignore")[0].splitlines()[1] == "True False"
    assert run(other) == (values, "")
    assert ran(other) == ["1", "2"]
    run(forgetful)
    run(other)
    assert (ran(forgetful), ran(other)) == (["1", "2", "1"], ["1", "2"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [1, 100_000])
def test_functions_that_remember_never_return_what_those_of_another_script_gave(
    tmp_path: Path, mode: str, size: int
) -> None:
    one, two = write(tmp_path / "one", 0), write(tmp_path / "two", 0)
    for folder, factor in ((one, "2"), (two, "3")):
        text = REMEMBERING.replace("FACTOR", factor).replace("SIZE", str(size))
        (folder / "study.py").write_text(text)
    for _ in range(2):  # each finds its own, whichever ran last
        assert run(one, mode) == ("[2, 4]", "")
        assert run(two, mode) == ("[3, 6]", "")
    assert ran(one) == ran(two) == ["1", "2"]


def test_an_edit_of_a_script_concerns_what_its_own_functions_remember(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", 0), write(tmp_path / "two", 0)
    texts = {factor: REMEMBERING.replace("FACTOR", factor).replace("SIZE", "1") for factor in "235"}
    (one / "study.py").write_text(texts["2"])
    (two / "study.py").write_text(texts["3"])
    run(one)
    run(two)
    (one / "study.py").write_text(texts["5"])
    out, said = run(one)
    assert out == "[2, 4]"
    assert "computed by older code, which differs in study.square" in said
    assert run(one, "rerun")[0] == "[5, 10]"
    assert run(two, "ignore") == ("[3, 6]", "")
