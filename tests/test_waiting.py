"""A run that waits for what another run computes: a success is its own, a failure too, and what is stopped is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memento import Memento, Results, Status, open_store
from memento.events import Event, Failed, RunFinished, RunProgressed
from memento.experiment import Experiment
from memento.running.circuit_breaker import CircuitBreaker
from memento.running.orphaned_runs import OrphanedRuns
from memento.running.other_runs import OtherRuns
from memento.running.retries import RetryPolicy
from memento.running.state import RunState
from memento.store import SqliteStore
from memento.validity import Validity
from tests.store.helpers import frame, key_of

OTHER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from study import experiment
from memento import Memento
Memento(experiment, executor="serial").run({"parameters": {"x": [1, 2, 3]}}, cache_path="store", progress=False)
"""
STUDY = """
import os, time
from pathlib import Path

def experiment(context, config):
    with open("ran", "a") as file:
        file.write(f"{os.getpid()}\\n")
    until = time.monotonic() + 60
    while config.x == 1 and not Path("go on").exists() and time.monotonic() < until:
        time.sleep(0.01)
    if Path("fail").exists():
        raise ValueError("bad")
    return config.x
"""


class Heard:
    hears = (Failed, RunFinished, RunProgressed)

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.waits = threading.Event()  # it has tried to claim what there is

    def handle(self, event: Event) -> None:
        if isinstance(event, RunProgressed):
            self.waits.set()
        else:
            self.events.append(event)

    def close(self) -> None: ...


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Another process, whose run has begun with the first of three experiments, serially."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "study.py").write_text(STUDY)
    monkeypatch.delitem(sys.modules, "study", raising=False)
    with subprocess.Popen([sys.executable, "-c", OTHER, str(tmp_path)], stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: Path("ran").exists())
        yield process
        process.kill()
    sys.modules.pop("study", None)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def run_beside(then: Callable[[], None], **options: Any) -> tuple[Results, Heard]:
    """Run the first of them here while the other process does, and call `then` once this run waits for it."""
    from study import experiment  # type: ignore[import-not-found]

    heard, done = Heard(), []
    memento = Memento(experiment, num_workers=1, executor="threads", listeners=[heard])
    thread = threading.Thread(
        target=lambda: done.append(
            memento.run({"parameters": {"x": [1]}}, cache_path="store", progress=False, on_error="return", **options)
        )
    )
    thread.start()
    assert heard.waits.wait(60)
    then()
    thread.join(60)
    return done[0], heard


def test_what_the_other_is_stopped_over_is_computed_here(other: subprocess.Popen[bytes]) -> None:
    def interrupt() -> None:
        other.send_signal(signal.SIGINT)
        other.wait()
        Path("go on").touch()

    results, _ = run_beside(interrupt)
    assert [(result.status, result.inner) for result in results] == [(Status.SUCCEEDED, 1)]
    assert len(Path("ran").read_text().split()) == 2


def test_what_fails_there_is_told_here_and_not_computed_again(other: subprocess.Popen[bytes]) -> None:
    def fail() -> None:
        Path("fail").touch()
        Path("go on").touch()

    results, heard = run_beside(fail)
    assert [(result.status, result.was_cached) for result in results] == [(Status.FAILED, True)]
    failed, finished = heard.events
    assert isinstance(failed, Failed)
    assert (failed.failure.message, failed.config.x, failed.will_retry) == ("bad", 1, False)
    assert isinstance(finished, RunFinished)
    assert finished.counts.failed == 1
    with open_store("store") as store:
        assert len(store.history(bytes.fromhex(results[0].key))) == 1


def test_what_fails_there_is_tried_again_here_as_often_as_is_asked_for(other: subprocess.Popen[bytes]) -> None:
    def fail() -> None:
        Path("fail").touch()
        Path("go on").touch()

    results, heard = run_beside(fail, retries=1)
    assert [(result.status, result.was_cached) for result in results] == [(Status.FAILED, False)]
    assert [event.will_retry for event in heard.events if isinstance(event, Failed)] == [False]
    with open_store("store") as store:
        assert len(store.history(bytes.fromhex(results[0].key))) == 2


def settled(store: SqliteStore, status: Status, *, retries: int = 0, cancelled: bool = False) -> tuple[Any, ...]:
    """Return what is known of a configuration once another run has given it up with an outcome of this `status`.

    These are: its entry here, whether it is to be computed here, why this run should stop, and what the engine learnt.
    """
    plan: Any = SimpleNamespace(keys=[key_of(0)], entries=[None])
    plan.standing = Validity(store, Experiment(name="e"), newest=0, force_run=False, rerun=False)
    mine: list[int] = []
    learnt: list[Any] = []
    todo: Any = SimpleNamespace(others={0}, put_back=mine.append)
    tally: Any = SimpleNamespace(stored=0, failed=0, began_at=0.0, tell_failure=lambda *told, **how: None)
    remote: Any = SimpleNamespace(learn=lambda *what: learnt.append(what))
    attendance = OrphanedRuns(store, lambda folder: None)
    watch = CircuitBreaker(stop_at_first=True, max_failures=None)
    state = RunState(plan=plan, store=store, tally=tally, retries=RetryPolicy(retries), watch=watch)
    others = OtherRuns(state, todo, attendance, remote)
    if cancelled:
        attendance.cancelled.add(key_of(0))
    run = store.begin_run(experiment="e", code={}, about={})
    store.save([frame(0, status=status)])
    others.look(run)
    store.end_run(run)
    return plan.entries[0] is not None, mine == [0], watch.reason, learnt


def test_a_failure_elsewhere_counts_for_what_is_to_stop_this_run(store_path: Path) -> None:
    with open_store(store_path) as store:
        assert settled(store, Status.FAILED) == (True, False, "stopped after the first failure, as asked", [])


def test_what_this_run_tries_again_of_another_its_engine_has_learnt_of(store_path: Path) -> None:
    with open_store(store_path) as store:
        known, is_mine, reason, learnt = settled(store, Status.FAILED, retries=1)
        assert (known, is_mine, reason) == (True, True, None)
        assert [(key, failure.cause) for key, failure in learnt] == [(key_of(0), "error")]


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_another_run_was_stopped_over_is_computed_here_and_what_was_cancelled_in_the_cluster_is_not(
    cancelled: bool, store_path: Path
) -> None:
    with open_store(store_path) as store:
        known, is_mine, _, _ = settled(store, Status.CANCELLED, cancelled=cancelled)
        assert (known, is_mine) == (cancelled, not cancelled)
