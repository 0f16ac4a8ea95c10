"""A file that is edited after it was imported: what is loaded is one thing, and what stands there another."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from memento.experiment import Experiment
from memento.fingerprint.identity import identify
from tests.test_fingerprint import importable

BEFORE = """
class Model:
    def fit(self, x):
        return x + 1

    @property
    def rate(self):
        return 1

    @staticmethod
    def scale(x):
        return x

def helper(x):
    "Adds."
    return x + 1

def experiment(context, config):
    return helper(config.x), Model().fit(1), [y for y in (lambda z: z)((1, 2))]
"""

SCRIPT = """
import sys
from pathlib import Path
from memento import Memento
from helper import add

if len(sys.argv) > 1:  # stands for somebody who saves an edit while this still loads its data
    edited = Path(sys.argv[1])
    edited.write_text(edited.read_text().replace("+ 1", "+ 100"))

def experiment(context, config):
    return add(config.x) + 1

if __name__ == "__main__":
    [result] = Memento(experiment, executor="serial", code_change="rerun").run(
        {"parameters": {"x": [1]}}, cache_path="store", progress=False)
    print(result.inner, result.was_cached)
"""


def edited(folder: Path, before: str, after: str) -> tuple[Experiment, Experiment]:
    """Return what is known of the experiment before and after its file is edited, with what was loaded before."""
    file = folder / "single.py"
    file.write_text(BEFORE)
    with importable(folder):
        single = importlib.import_module("single")
        known = identify(single.experiment)
        assert BEFORE.count(before) == 1
        file.write_text(BEFORE.replace(before, after))
        return known, identify(single.experiment)


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ("helper(config.x)", "helper(-config.x)", "single.experiment"),
        ("    return x + 1\n\ndef experiment", "    return x + 22\n\ndef experiment", "single.helper"),
        ("        return x + 1\n", "        return x + 22\n", "single.Model"),
        ("return 1\n", "return 22\n", "single.Model"),
        ("        return x\n", "        return -x\n", "single.Model"),
    ],
)
def test_what_was_edited_since_it_was_imported_is_said_and_counts_as_neither(
    before: str, after: str, name: str, tmp_path: Path
) -> None:
    known, now = edited(tmp_path, before, after)
    assert known.notes == ()
    assert now.notes == (
        f"{name} changed on the disk after being imported: this process runs what was imported, worker processes may "
        "run what stands there now; what they compute counts as of neither, so restart Python",
    )
    with importable(tmp_path):
        anew = identify(importlib.import_module("single").experiment)
    assert anew.notes == ()
    assert len({known.code[name], now.code[name], anew.code[name]}) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('def helper(x):\n    "Adds."\n', "# adds\n\n\ndef helper(x):\n    'Adds one.'\n"),
        ("def helper(x):", "def unrelated(x):\n    return x\n\ndef helper(x: int) -> int:"),
    ],
)
def test_an_edit_that_changes_nothing_of_it_is_not(before: str, after: str, tmp_path: Path) -> None:
    known, now = edited(tmp_path, before, after)
    assert now == known
    assert now.notes == ()


@pytest.mark.parametrize("file", ["script.py", "helper.py"])
def test_a_result_of_code_that_was_edited_meanwhile_is_computed_anew(file: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text("def add(x):\n    return x + 1\n")

    def run(*arguments: str) -> tuple[str, str]:
        command = [sys.executable, "-B", "script.py", *arguments]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
        return ran.stdout, ran.stderr

    told, said = run(file)
    assert told == "3 False\n"
    assert "changed on the disk after being imported" in said
    told, said = run()
    assert told == "102 False\n"
    assert "changed on the disk" not in said
    assert run() == ("102 True\n", "")


REPLACED = """
import time
from pathlib import Path
from memento import Memento
from helper import add

def experiment(context, config):
    if config.x == 0 and context.attempt == 1:
        Path("began").touch()
        time.sleep(60)
    return add(config.x)

if __name__ == "__main__":
    results = Memento(experiment, num_workers=1).run(
        {"parameters": {"x": [0]}}, cache_path="store", progress=False, timeout=1, retries={"timeout": 1})
    print(results[0].inner)
"""


def run_and_edit(folder: Path, change: Callable[[], object], script: str = REPLACED) -> tuple[str, str]:
    """Return what a script prints whose first worker is ended and replaced after `change`."""
    (folder / "script.py").write_text(script)
    command = [sys.executable, "-B", "script.py"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        until = time.monotonic() + 60
        while not (folder / "began").exists() and time.monotonic() < until:
            time.sleep(0.01)
        change()
        return process.communicate(timeout=60)


def test_a_worker_that_takes_anothers_place_runs_what_stood_there_when_the_run_began(tmp_path: Path) -> None:
    helper = tmp_path / "helper.py"
    helper.write_text("def add(x):\n    return x + 1\n")
    told, said = run_and_edit(tmp_path, lambda: helper.write_text("def add(x):\n    return x + 100\n"))
    assert told == "1\n"
    assert "script.py:14: UserWarning: helper.py changed while the run went on, which ran what stood there" in said


def test_it_does_so_where_a_whole_package_is_gone_by_then(tmp_path: Path) -> None:
    package = tmp_path / "project" / "parts"
    package.mkdir(parents=True)
    (tmp_path / "project" / "__init__.py").write_text("from project.constants import *\n")
    (tmp_path / "project" / "constants.py").write_text("ONE = 1\n")
    (package / "__init__.py").write_text("")
    (package / "adding.py").write_text("from .. import ONE\n\ndef add(x):\n    return x + ONE\n")
    script = REPLACED.replace("from helper", "from project.parts.adding")
    told, _ = run_and_edit(tmp_path, lambda: (tmp_path / "project").rename(tmp_path / "moved"), script)
    assert told == "1\n"


def test_it_does_so_where_a_module_became_a_package_by_then(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def add(x):\n    return x + 1\n")

    def change() -> None:
        (tmp_path / "helper").mkdir()
        (tmp_path / "helper.py").rename(tmp_path / "helper" / "adding.py")
        (tmp_path / "helper" / "__init__.py").write_text("from helper.adding import add as add_one\n")

    assert run_and_edit(tmp_path, change)[0] == "1\n"


def test_it_does_so_where_a_package_without_a_file_of_its_own_is_gone_by_then(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "adding.py").write_text("def add(x):\n    return x + 1\n")
    script = REPLACED.replace("from helper", "from project.adding")
    assert run_and_edit(tmp_path, (tmp_path / "project" / "adding.py").unlink, script)[0] == "1\n"
    (tmp_path / "began").unlink()
    (tmp_path / "project" / "adding.py").write_text("def add(x):\n    return x + 1\n")
    change = lambda: (tmp_path / "project").rename(tmp_path / "moved")  # noqa: E731
    assert run_and_edit(tmp_path, change, script.replace('"store"', '"another"'))[0] == "1\n"


def test_modules_that_the_experiment_does_not_use_stay_what_they_were_as_well(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("from other import unused\n\ndef add(x):\n    return x + 1\n")
    (tmp_path / "other.py").write_text("unused = 1\n")
    told, said = run_and_edit(tmp_path, lambda: (tmp_path / "other.py").write_text("renamed = 1\n"))
    assert (told, said) == ("1\n", "")


def test_failures_and_remembering_functions_in_such_a_worker_tell_of_what_it_runs(tmp_path: Path) -> None:
    helper = tmp_path / "helper.py"
    text = (
        "from memento import memoize\n\n@memoize\ndef scaled(x):\n    return x + 1\n\n"
        "def add(x):\n    scaled(x)\n    raise ValueError(x)  # as it was\n"
    )
    helper.write_text(text)
    script = REPLACED.replace("print(results[0].inner)", "print(results[0].traceback)").replace(
        "progress=False,", "progress=False, on_error='return',"
    )
    told, _ = run_and_edit(tmp_path, lambda: helper.write_text("# moved\n" * 5 + text.replace("+ 1", "+ 2")), script)
    assert "    raise ValueError(x)  # as it was\n" in told
    called = subprocess.run(
        [sys.executable, "-B", "-c", "import helper; print(helper.scaled(0))"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert called.stdout == "1\n"
    assert "was computed by older code, which differs in helper.scaled" in called.stderr
