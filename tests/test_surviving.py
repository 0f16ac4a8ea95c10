"""Nothing finished is lost or computed twice, whoever is killed and when."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memento import Memento, StoreError, open_store
from memento.executors.processes.supervisor import descendants
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
    assert finish(process)[0] == -signal.SIGINT
    results = Memento(experiments.stopping_politely, num_workers=2).run(what, progress=False)
    assert results is not None
    assert [result.inner for result in results] == ["went on", "went on"]


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


@pytest.mark.parametrize("executor", ["processes", "spawn", "fork"])
def test_a_killed_orchestrator_leaves_no_process_after_three_seconds(executor: str, notes: Path) -> None:
    process = start("leaving_processes", matrix(notes, 10), executor=executor)
    wait_for(lambda: len(noted(notes)) == 2)
    below = descendants(process.pid)
    process.kill()
    process.communicate()
    time.sleep(3)
    assert [pid for pid in below if _alive(pid)] == []


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("seed", range(8))
def test_killing_everything_at_a_random_instant_loses_nothing_finished(
    seed: int, notes: Path, store_path: Path
) -> None:
    """What an experiment notes last is that it finished; at most the two that were running may run again."""
    rng = random.Random(seed)
    what = matrix(notes, 120, seconds=0.002)
    process = start("sleeping", what)
    wait_for(lambda: len(noted(notes)) >= rng.randrange(1, 60))
    time.sleep(rng.random() * 0.02)
    for pid in [process.pid, *descendants(process.pid)] if seed % 2 else [*descendants(process.pid), process.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()
    before = len(noted(notes))
    results = Memento(experiments.sleeping, num_workers=2).run(what, progress=False)
    assert results is not None
    assert [result.inner for result in results] == [x**2 for x in range(120)]
    times = Counter(ast.literal_eval(line)["x"] for line in noted(notes))
    assert set(times) == set(range(120))
    again = [x for x, count in times.items() if count > 1]
    assert len(again) <= 2, f"finished before the kill and ran again: {again} of {before}"
    assert list((store_path / "spool").iterdir()) == []


def test_a_dead_runs_claims_are_taken_over(notes: Path) -> None:
    what = matrix(notes, 20, seconds=0.2)
    dying = start("sleeping", what)
    wait_for(lambda: len(noted(notes)) >= 2)
    living = start("sleeping", what, progress=False)
    wait_for(lambda: len(noted(notes)) >= 6)
    dying.kill()
    dying.communicate()
    code, out, err = finish(living)
    assert code == 0, err
    assert out.strip() == f"got {[x**2 for x in range(20)]}"
    times = Counter(noted(notes))
    assert sum(times.values()) - len(times) <= 2


def test_two_and_four_runs_at_once_execute_each_configuration_once(notes: Path) -> None:
    what = matrix(notes, 200, seconds=0.005)
    runs = [start("sleeping", what, progress=False) for _ in range(4)]
    for process in runs:
        code, out, err = finish(process)
        assert code == 0, err
        assert out.strip() == f"got {[x**2 for x in range(200)]}"
    assert sorted(Counter(noted(notes)).values()) == [1] * 200


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_ctrl_c_reaches_experiments_in_this_process_too(executor: str, notes: Path) -> None:
    what = matrix(notes, 60, seconds=0.05)
    process = start("sleeping", what, executor=executor)
    wait_for(lambda: len(noted(notes)) >= 6)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process, 10)
    assert code == -signal.SIGINT, err
    assert "run the same again" in err
    results = Memento(experiments.sleeping, num_workers=2).run(what, progress=False)
    assert results is not None
    assert len(noted(notes)) == 60, "something finished ran again"


def test_a_full_disk_is_one_clear_error_and_what_was_stored_stays(notes: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"this machine does not let tests mount: {mounted.stderr.strip()}")
    try:
        what = {"parameters": {"x": list(range(20))}, "settings": {"notes": str(notes)}}
        small = {**what, "parameters": {"x": [1, 2]}}
        assert Memento(experiments.square, num_workers=1).run(small, progress=False, cache_path=disk) is not None
        with pytest.raises(StoreError, match=r"No space left on device"):
            Memento(experiments.large, num_workers=1).run(what, progress=False, cache_path=disk)
        again = Memento(experiments.square, num_workers=1).run(small, progress=False, cache_path=disk)
        assert again is not None
        assert [result.was_cached for result in again] == [True, True]
    finally:
        subprocess.run(["umount", disk], check=True)


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


def test_an_interrupted_run_leaves_a_store_without_claims_or_spools(notes: Path, store_path: Path) -> None:
    process = start("sleeping", matrix(notes, 50, seconds=0.05))
    wait_for(lambda: len(noted(notes)) >= 3)
    process.send_signal(signal.SIGTERM)
    finish(process)
    with open_store() as store:
        assert store.take_over() == 0
    assert list((store_path / "spool").iterdir()) == []
