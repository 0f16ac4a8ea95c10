"""`memento gc`: tells first, changes only what it is told to, and keeps every result that a matrix finds."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memento import Memento, layout, open_store
from memento.cli.main import main
from memento.spool import SpoolWriter
from tests.store.helpers import RUN, key_of, outcome_of
from tests.store.test_garbage import put
from tests.test_status import files_of


def large(context: Any, config: Any) -> bytes:
    return bytes(100_000 + config.x)


MATRIX = {"parameters": {"x": [1, 2]}}


def run(**options: Any) -> list[int]:
    results = Memento(large, executor="serial").run(MATRIX, progress=False, **options)
    return [len(result.inner) for result in results or ()]


@pytest.fixture
def orphan(store_path: Path) -> Path:
    run()
    return put(layout.blob_path(store_path, key_of(9), RUN, 1, "value"), bytes(2500))


def gc(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    status = main(["gc", *arguments])
    return status, capsys.readouterr().out.splitlines()


def test_it_tells_what_nothing_asks_for_and_changes_nothing(orphan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gc(capsys) == (
        0,
        ["1 path, 2.5 kB: each belongs to no outcome", "1 path, 2.5 kB in all that nothing asks for"],
    )
    assert gc(capsys, "--all")[1][1] == f"  {orphan}"
    assert orphan.exists()


def test_it_moves_and_then_removes_when_it_is_told_to(orphan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gc(capsys, "--move")[1][1:] == [
        "1 path, 2.5 kB in all that nothing asks for",
        "moved to the trash",
        "2.5 kB lie in the trash; --purge removes them for good",
    ]
    assert not orphan.exists()
    assert gc(capsys) == (
        0,
        ["0 paths, 0 bytes in all that nothing asks for", "2.5 kB lie in the trash; --purge removes them for good"],
    )
    assert gc(capsys, "--purge")[1][1:] == ["2.5 kB removed for good"]
    assert gc(capsys) == (0, ["0 paths, 0 bytes in all that nothing asks for"])
    assert run(force_cache=True) == [100_001, 100_002]


def test_values_that_newer_results_have_replaced_go_by_their_age(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    run(force_run=True)
    assert gc(capsys, "--superseded", "1")[1] == ["0 paths, 0 bytes in all that nothing asks for"]
    told = gc(capsys, "--superseded", "0", "--move", "--purge")[1]
    assert told[0].startswith("2 paths, 200.")
    assert told[0].endswith(" kB: each is of a result that a newer one has replaced")
    assert run(force_cache=True) == [100_001, 100_002]


def test_nothing_is_made_where_there_is_no_store_and_nothing_touched_while_a_run_goes_on(
    store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gc", str(store_path / "elsewhere")]) == 1
    assert "there is no store at" in capsys.readouterr().err
    assert not (store_path / "elsewhere").exists()

    run()
    with open_store() as store:
        going_on = store.begin_run(experiment="e", code={}, about={})
        for options in ([], ["--move"]):
            assert main(["gc", *options]) == 1
            assert "a run goes on over the store" in capsys.readouterr().err
        store.end_run(going_on)


def contents(store_path: Path) -> tuple[dict[str, bytes], list[str]]:
    """Return the files of a store, and what is in its ledger: its write-ahead log comes and goes as others close it."""
    files = {name: data for name, data in files_of(store_path).items() if not name.startswith("ledger.")}
    with contextlib.closing(sqlite3.connect(store_path / "ledger.sqlite")) as database:
        return files, list(database.iterdump())


def test_what_a_dead_run_left_is_neither_judged_nor_touched_unless_it_is_to_move(
    orphan: Path, store_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store() as store:
        dead = store.begin_run(experiment="e", code={}, about={})
        value = put(layout.blob_path(store_path, key_of(2), dead.id, 1, "value"))
        writer = SpoolWriter(dead.spool / "w.spool")
        writer.append(outcome_of(2, b"12345", run=dead.id, in_file=True))
        writer.close()
        dead.unlock()
    os.utime(dead.spool, (0, 0))  # however long ago that was
    before = contents(store_path)
    assert gc(capsys) == (
        0,
        [
            "1 path, 2.5 kB: each belongs to no outcome",
            "1 path, 2.5 kB in all that nothing asks for",
            "what 1 dead run left is not among it: --move takes that in first, as the next run does",
        ],
    )
    assert contents(store_path) == before
    assert gc(capsys, "--move")[1][-2] == "moved to the trash"
    assert not orphan.exists()
    assert value.exists()
    assert not dead.spool.exists()


@pytest.mark.parametrize("days", ["soon", "-1", "inf", "nan"])
def test_days_that_are_none_are_refused(days: str) -> None:
    command = [sys.executable, "-m", "memento", "gc", f"--superseded={days}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"argument --superseded: invalid number of days value: '{days}'" in done.stderr
