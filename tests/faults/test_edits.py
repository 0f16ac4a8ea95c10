"""Promise 10: no silent stale result. Each edit is made to a project whose results are stored, and it is run again."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.faults import trial
from tests.faults.conftest import Trials
from tests.test_fingerprint import NOTICED, UNNOTICED, write_project

Edit = tuple[str, str, str]

# It is the project's own function that is run: to log its runs from inside would be an edit to it.
SCRIPT = """
import json, warnings
from memento import Memento

sys.path.insert(0, str(Path.cwd()))
from study.experiment import experiment

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    said = [[result.was_cached for result in
             Memento(experiment, executor="serial", code_change=change).run(
                 {"parameters": {"index": [1, 2]}}, cache_path="store", progress=False)]
            for change in ("warn", "rerun")]
print(json.dumps({"cached": said, "warned": [str(warning.message) for warning in caught]}))
"""
FRESH = {"cached": [[False, False], [True, True]], "warned": []}
SAME = {"cached": [[True, True], [True, True]], "warned": []}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A folder with the project, and with what it gave."""
    folder = tmp_path / "stored"
    folder.mkdir()
    write_project(folder)
    assert run(folder) == FRESH
    assert run(folder) == SAME
    return folder


def run(folder: Path) -> dict[str, Any]:
    ended = trial.run(folder, SCRIPT, env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert ended.status == 0, ended.err
    said: dict[str, Any] = json.loads(ended.out)
    return said


def after(stored: Path, edit: Edit) -> dict[str, Any]:
    """Return what running says in a copy of what is stored, after `edit`."""
    folder = stored.with_name("edited")
    shutil.copytree(stored, folder)
    write_project(folder, edit)
    try:
        return run(folder)
    finally:
        shutil.rmtree(folder)


def spread(kinds: Mapping[str, Any], count: int) -> list[str]:
    """Return `count` of the kinds, from all over them."""
    return list(itertools.islice(kinds, 0, None, max(1, len(kinds) // count)))[:count]


def test_edits_that_change_something_are_noticed(
    stored: Path, size: Callable[..., int], trials: Callable[..., Trials]
) -> None:
    noticed = trials(promise=10, trial="edits that change something: named with the results, and run anew if so wished")
    for kind in spread(NOTICED, size(short=20, long=len(NOTICED))):
        edit, name = NOTICED[kind]
        said = after(stored, edit)
        told = " ".join(said["warned"])
        if said["cached"] == [[True, True], [False, False]] and "computed by older code" in told and name in told:
            noticed.held()
        else:
            noticed.broke(f"{kind}: {said}")


def test_edits_that_change_nothing_are_not_noticed(
    stored: Path, size: Callable[..., int], trials: Callable[..., Trials]
) -> None:
    unnoticed = trials(promise=10, trial="edits that change nothing: not a word, and nothing run")
    for kind in spread(UNNOTICED, size(short=10, long=len(UNNOTICED))):
        said = after(stored, UNNOTICED[kind])
        if said == SAME:
            unnoticed.held()
        else:
            unnoticed.broke(f"{kind}: {said}")
