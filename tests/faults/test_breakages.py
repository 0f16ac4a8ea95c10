"""Whoever breaks the library hears of it: each breakage is noticed by the trial that names it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.breakages import BREAKAGES, Breakage
from tests.faults.conftest import BREAKAGES as BROKEN_ON_PURPOSE
from tests.faults.conftest import FORM, Trials
from tests.faults.trial import ROOT

SECONDS = 600


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_the_text_to_break_is_still_there_once(breakage: Breakage) -> None:
    assert (ROOT / breakage.file).read_text().count(breakage.old) == 1
    assert (ROOT / "tests" / "faults" / breakage.trial.partition("::")[0]).exists()


@pytest.mark.skipif(FORM != "long", reason="breaking the library on purpose belongs to the long form")
@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.name)
def test_a_broken_library_is_noticed(breakage: Breakage, tmp_path: Path, trials: Callable[..., Trials]) -> None:
    counted = trials(promise=BROKEN_ON_PURPOSE, trial=breakage.name)
    copy = tmp_path / "copy"
    for name in ("memento", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    broken = copy / breakage.file
    broken.write_text(broken.read_text().replace(breakage.old, breakage.new))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "MEMENTO_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "trial"),
         f"tests/faults/{breakage.trial}"],
        cwd=copy, env={**environment, "PYTHONPATH": str(copy)}, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    if done.returncode == 1 and re.search(r"\d+ (failed|error)", done.stdout):
        counted.held()
    else:
        counted.broke(f"{breakage.trial} held all the same:\n{done.stdout[-2000:]}{done.stderr[-1000:]}")
    counted.note(f"`{breakage.trial}`")
