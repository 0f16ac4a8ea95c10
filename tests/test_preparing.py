"""The supervisor of workers starts while the matrix is still expanded, and stays nowhere where none is needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memento import CacheMiss, Memento, Results
from memento.executors.processes.proc import descendants
from tests import experiments
from tests.test_surviving import wait_for


def below() -> list[int]:
    return descendants(os.getpid())


@pytest.fixture
def before() -> set[int]:
    """The processes below this one that other tests have left to its session, such as servers."""
    return set(below())


def matrix(notes: Path, *, expanding: Callable[[], object], values: int = 3) -> dict[str, Any]:
    """Return a matrix that calls `expanding` for each of its configurations when it is expanded."""
    return {
        "parameters": {"x": list(range(values))},
        "settings": {"notes": str(notes)},
        "exclude": [lambda config: config.x == 0 or (bool(expanding()) and False)],
    }


def run(what: dict[str, Any], **options: Any) -> Results | None:
    return Memento(experiments.square, num_workers=2).run(what, progress=False, **options)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.mark.usefixtures("store_path")
def test_it_starts_before_a_matrix_is_expanded_where_nothing_is_stored_and_not_where_all_is(
    notes: Path, before: set[int]
) -> None:
    seen: list[int] = []
    what = matrix(notes, expanding=lambda: seen.append(len(set(below()) - before)))

    run(what)
    assert set(seen) == {1}
    seen.clear()
    run(what)
    assert set(seen) == {0}
    assert set(below()) == before


def test_a_dry_run_and_a_run_from_the_store_alone_start_nothing(notes: Path, before: set[int]) -> None:
    seen: list[int] = []
    what = matrix(notes, expanding=lambda: seen.append(len(set(below()) - before)))

    run(what, dry_run=True)
    with pytest.raises(CacheMiss):
        run(what, force_cache=True)
    assert set(seen) == {0}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_it_is_gone_after_an_error_in_the_matrix(error: type[BaseException], notes: Path, before: set[int]) -> None:
    def broken() -> None:
        raise error

    with pytest.raises((ValueError, KeyboardInterrupt)):
        run(matrix(notes, expanding=broken))
    assert set(below()) == before


def test_another_is_started_for_one_that_was_killed_before_the_run_began(notes: Path, before: set[int]) -> None:
    killed: list[int] = []

    def kill() -> None:
        if not killed:
            (process,) = set(below()) - before
            os.kill(process, signal.SIGKILL)
            killed.append(process)

    results = run(matrix(notes, expanding=kill))
    assert len(killed) == 1
    assert [result.inner for result in results or ()] == [1, 4]


def test_none_stays_when_the_orchestrator_is_killed_while_it_expands(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from memento import Memento\n"
        "matrix = {'parameters': {'x': [1]}, 'exclude': [lambda config: time.sleep(600)]}\n"
        "Memento(lambda x: x).run(matrix)\n"
    )
    process = subprocess.Popen([sys.executable, script], cwd=tmp_path)
    wait_for(lambda: descendants(process.pid))
    supervisors = descendants(process.pid)
    process.kill()
    process.wait()
    wait_for(lambda: not any(Path(f"/proc/{supervisor}").exists() for supervisor in supervisors), seconds=3)


def test_a_warning_of_a_run_names_the_line_that_called_it(notes: Path) -> None:
    with pytest.warns(UserWarning, match="stopped after the first failure") as caught:
        Memento(experiments.always_failing, executor="serial").run(
            matrix(notes, expanding=lambda: None, values=9), max_failures=1, on_error="return", progress=False
        )
    assert [warning.filename for warning in caught] == [__file__]
