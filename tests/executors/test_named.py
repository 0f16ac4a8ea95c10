"""Executors by their names: ours, and those that other packages add."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from memento import Memento, OptionError

MODULE = """
from memento import SerialExecutor

closed = []

class Tiny(SerialExecutor):
    def __init__(self, workers):
        super().__init__()
        self.workers = workers

    def close(self):
        super().close()
        closed.append(self.workers)

def broken(workers):
    raise RuntimeError("no licence")

def nothing(workers):
    return 3
"""
POINTS = """[memento.executors]
tiny = tiny_executors:Tiny
broken = tiny_executors:broken
nothing = tiny_executors:nothing
"""


def square(context, config):
    return config.x**2


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package as an installer leaves it: a module, and the folder that says what it adds."""
    folder = tmp_path / "site-packages"
    metadata = folder / "tiny_executors-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "tiny_executors.py").write_text(MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-executors\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "tiny_executors", raising=False)
    return folder


def test_another_package_adds_an_executor_by_an_entry_point_and_it_is_closed(package: Path) -> None:
    results = Memento(square, executor="tiny", num_workers=3).run({"parameters": {"x": [2, 3]}})
    assert [result.inner for result in results] == [4, 9]
    import tiny_executors

    assert tiny_executors.closed == [3]


def test_a_package_whose_executor_cannot_be_made_is_named(package: Path) -> None:
    with pytest.raises(OptionError) as raised:
        Memento(square, executor="broken").run({"parameters": {"x": [2]}})
    assert str(raised.value) == (
        "executor='broken' is tiny_executors:broken, added by another package, and could not be made: "
        "RuntimeError: no licence"
    )
    with pytest.raises(OptionError, match=r"executor='nothing': tiny_executors:nothing gave 3, which has not the meth"):
        Memento(square, executor="nothing").run({"parameters": {"x": [2]}})


def test_an_unknown_name_is_refused_with_the_nearest_known_one(package: Path) -> None:
    with pytest.raises(OptionError) as raised:
        Memento(square, executor="tinny")
    assert str(raised.value) == (
        "executor='tinny' is not one of 'processes', 'threads', 'serial', 'slurm', 'dask', 'ray', 'broken', 'nothing', "
        "'tiny'; did you mean 'tiny'?"
    )


@pytest.mark.parametrize(("name", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_that_is_not_installed_names_its_extra(name: str, module: str, tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules[{module!r}] = None  # as where it is not installed
from memento import Memento, MissingExtra
try:
    Memento(print, executor={name!r}).run({{"parameters": {{"x": [1]}}}})
except MissingExtra as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == (
        f"this needs {module}, which is not installed; install it with: pip install 'memento[{name}]'\n"
    )
