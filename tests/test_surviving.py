"""What is told of an interrupt, and what is left after one. What kills and power cuts cost is tried in tests/faults."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from memento import Memento, StoreError, open_store
from memento.executors.processes.proc import descendants
from memento.running.interrupts import Interrupts
from tests import experiments
from tests.experiments import noted

ROOT = Path(__file__).parent.parent


def start(experiment: str, matrix: dict[str, Any], **options: Any) -> subprocess.Popen[str]:
    arguments = json.dumps({"experiment": experiment, "matrix": matrix, "options": options})
    return subprocess.Popen(
        [sys.executable, "-m", "tests.experiments", arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Any, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def matrix(notes: Path, count: int, **settings: Any) -> dict[str, Any]:
    return {"parameters": {"x": list(range(count))}, "settings": {"notes": str(notes), **settings}}


def finish(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_what_is_finished_and_says_how_to_resume(number: int, status: int, notes: Path) -> None:
    what = matrix(notes, 60, seconds=0.05)
    process = start("sleeping", what)
    wait_for(lambda: len(noted(notes)) >= 6)
    begun = time.monotonic()
    process.send_signal(number)
    code, _, err = finish(process)
    assert time.monotonic() - begun < 5
    # An uncaught KeyboardInterrupt ends Python by the signal itself, which shells show as 130.
    assert code == status, err
    assert "run the same again" in err
    results = Memento(experiments.sleeping, num_workers=2).run(what, progress=False)
    assert results is not None
    assert len(noted(notes)) == 60, "something finished ran again"
    assert sum(result.was_cached for result in results) >= 6


def test_an_experiment_can_end_politely_and_go_on_next_time(notes: Path) -> None:
    what = matrix(notes, 2)
    process = start("stopping_politely", what)
    wait_for(lambda: len(noted(notes)) == 2)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == -signal.SIGINT
    assert "2 configurations are left: run the same again, nothing stored is run twice" in err
    results = Memento(experiments.stopping_politely, num_workers=2).run(what, progress=False)
    assert results is not None
    assert [result.inner for result in results] == ["went on", "went on"]


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    """As nohup has it, and a shell for what it runs in the background."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Interrupts(inline=False) as interrupts:
            os.kill(os.getpid(), signal.SIGTERM)
        assert (interrupts.count, signal.getsignal(signal.SIGTERM)) == (0, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_interrupt_of_a_run_that_is_stopping_early_lets_what_runs_end_politely_too(notes: Path) -> None:
    what = matrix(notes, 2)
    process = start("one_fails_while_another_waits_to_be_stopped", what, on_error="stop")
    assert process.stderr is not None
    while "zero" not in process.stderr.readline():  # the failure was told, and the run waits for the other
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == -signal.SIGINT
    results = Memento(experiments.one_fails_while_another_waits_to_be_stopped, num_workers=2).run(
        what, progress=False, on_error="return"
    )
    assert results is not None
    assert results[1].inner == "went on"


def test_a_second_interrupt_ends_at_once(notes: Path) -> None:
    process = start("sleeping", matrix(notes, 10, seconds=600))
    wait_for(lambda: len(descendants(process.pid)) >= 3)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None, "the running experiments were given no grace"
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    finish(process)
    assert time.monotonic() - begun < 3


def test_the_first_interrupt_says_at_once_how_long_it_waits_and_what_a_second_one_does(notes: Path) -> None:
    process = start("sleeping", matrix(notes, 10, seconds=600))
    wait_for(lambda: len(descendants(process.pid)) >= 3)
    assert process.stderr is not None
    process.stderr.readline()  # it has begun
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == (
        "note: interrupted: nothing new is begun, and what is running has 3.5 s to stop by itself; "
        "a second interrupt ends it at once\n"
    )
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    finish(process)


def test_a_damaged_entry_is_reported_and_computed_anew_and_no_other(notes: Path, store_path: Path) -> None:
    what = matrix(notes, 5)
    run = Memento(experiments.square, num_workers=1).run
    results = run(what, progress=False)
    assert results is not None
    with contextlib.closing(sqlite3.connect(store_path / "ledger.sqlite")) as ledger, ledger:
        where = "substr(head, 2, 16) = ?"
        (head,) = ledger.execute(f"SELECT head FROM outcomes WHERE {where}", [bytes.fromhex(results[2].key)]).fetchone()
        flipped = bytearray(head)
        flipped[40] ^= 1
        ledger.execute(f"UPDATE outcomes SET head = ? WHERE {where}", [flipped, bytes.fromhex(results[2].key)])
    with pytest.warns(UserWarning, match="the store is damaged: .* it is computed anew"):
        again = run(what, progress=False)
    assert again is not None
    assert [result.was_cached for result in again] == [True, True, False, True, True]
    assert [result.inner for result in again] == [0, 1, 4, 9, 16]
    assert len(noted(notes)) == 6


@pytest.mark.parametrize("executor", ["processes", "threads", "serial"])
def test_a_run_whose_store_is_removed_meanwhile_ends_and_says_so(executor: str, store_path: Path) -> None:
    what = {"parameters": {"x": list(range(20))}, "settings": {"store": str(store_path)}}
    begun = time.monotonic()
    with pytest.raises(StoreError, match="removed"):
        Memento(experiments.removing_the_store, num_workers=2, executor=executor).run(what, progress=False)
    assert time.monotonic() - begun < 30
    assert not (store_path / "ledger.sqlite").exists()


def test_an_interrupted_run_leaves_a_store_without_claims_or_spools(notes: Path, store_path: Path) -> None:
    process = start("sleeping", matrix(notes, 50, seconds=0.05))
    wait_for(lambda: len(noted(notes)) >= 3)
    process.send_signal(signal.SIGTERM)
    finish(process)
    with open_store() as store:
        assert store.take_over() == 0
    assert list((store_path / "spool").iterdir()) == []
