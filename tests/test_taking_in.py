"""What is finished is stored once, and told as it was, whatever comes between its delivery and the store."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memento import Config, Context, Memento, Status, events
from memento.executors.processes.worker_handle import WorkerHandle
from memento.heads import has_succeeded, identity_in
from memento.protocols import Delivered, Interrupted, Noted
from memento.running.circuit_breaker import CircuitBreaker
from memento.running.intake import Intake
from memento.running.keeping import Keeper
from memento.running.pace import Pace
from memento.running.retries import RetryPolicy
from memento.running.state import RunState
from memento.store import Run, SqliteStore, open_store
from memento.store.connection import Ledger
from memento.task import Failure, Outcome, Task
from tests.store.helpers import frame, key_of


def heads(root: Path) -> list[bytes]:
    with open_store(root) as store:
        store.take_over()
        with store._ledger.reading() as database:
            return [head for (head,) in database.execute("SELECT head FROM outcomes ORDER BY id")]


def run(experiment: Callable[..., Any], what: Any, **options: Any) -> Any:
    memento = {
        name: options.pop(name) for name in ("executor", "listeners", "retries", "max_failures") if name in options
    }
    return Memento(experiment, num_workers=2, **memento).run(what, progress=False, **options)


class Failing:
    """A listener that fails slowly, so that more is delivered meanwhile."""

    hears = (events.Failed,)

    def handle(self, event: events.Event) -> None:
        time.sleep(0.05)
        raise RuntimeError("no ears")

    def close(self) -> None:
        pass


def noting(context: Context, config: Config) -> int:
    if config.x % 50 == 40:
        raise ValueError("x")
    descriptor = os.open(config.settings.notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b"finished\n")
    os.close(descriptor)
    time.sleep(0.0005)
    return int(config.x)


def test_a_report_that_breaks_off_in_the_middle_loses_nothing_behind_it(tmp_path: Path, store_path: Path) -> None:
    """The warning of a listener that fails is an error here: it is raised while the delivered are counted."""
    what = {"parameters": {"x": list(range(1000))}, "settings": {"notes": str(tmp_path / "notes")}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(Exception):  # noqa: B017, PT011 - whichever was first
            run(noting, what, listeners=[Failing()])
    finished = len((tmp_path / "notes").read_text().split())
    stored = sum(has_succeeded(head) for head in heads(store_path))
    assert finished - 2 <= stored <= finished  # a worker may have been ended between the note and the spool


def short(context: Context, config: Config) -> int:
    time.sleep(0.01)
    return int(config.x)


@pytest.mark.parametrize("transaction", [3, 4, 6])
def test_ctrl_c_in_the_moment_of_a_commit_stores_nothing_twice(
    transaction: int, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, synced = Ledger.writing, []

    @contextlib.contextmanager
    def interrupted(self: Ledger, *, sync: bool = True) -> Iterator[Any]:
        with writing(self, sync=sync) as database:
            yield database
        synced.append(sync)
        if sync and sum(synced) == transaction:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Ledger, "writing", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(short, {"parameters": {"x": list(range(20))}}, executor="serial")
    monkeypatch.undo()
    stored = [identity_in(head) for head in heads(store_path)]
    assert stored
    assert len(stored) == len(set(stored))


def ending(context: Context, config: Config) -> int:
    if config.x == 0:
        time.sleep(0.3)
        raise ValueError("first")
    time.sleep({1: 0.25, 2: 0.8}.get(config.x, 2.0))
    if config.x == 2:
        raise KeyError("final")
    return int(config.x)


def test_a_failure_whose_retry_was_given_back_is_told_as_that_failure(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = SqliteStore.save_and_release

    def slowly(self: SqliteStore, *arguments: Any, **options: Any) -> Any:
        time.sleep(0.08)
        return save(self, *arguments, **options)

    monkeypatch.setattr(SqliteStore, "save_and_release", slowly)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it stopped
        options: dict[str, Any] = {"on_error": "return", "max_failures": 1, "retries": {ValueError: 3}}
        results = Memento(ending, num_workers=2).run({"parameters": {"x": list(range(6))}}, progress=False, **options)
    assert results is not None
    if results[0].attempts:
        assert results[0].status is Status.FAILED
        assert results[0].error is not None
        assert results[0].error.message == "first"


@pytest.fixture
def begun(store_path: Path) -> Iterator[tuple[SqliteStore, Run, Keeper]]:
    with open_store(store_path) as store:
        yield store, store.begin_run(experiment="e", code={}, about={}), Keeper(store, {})


def test_what_was_read_of_a_spool_and_could_not_be_stored_is_read_again(
    begun: tuple[SqliteStore, Run, Keeper],
) -> None:
    _, run, keeper = begun
    keeper.add([frame(1)])
    keeper.read_up_to("worker-1.spool", 100)
    keeper.commit(run)
    keeper.add([frame(2)])
    keeper.read_up_to("worker-1.spool", 200)
    assert keeper.taken == {"worker-1.spool": 100}


class Told:
    """Takes note of what is told; the words "break off" raise what Ctrl-C does."""

    succeeded = failed = 0

    def __init__(self) -> None:
        self.will_retry: list[bool] = []

    def tell_notice(self, message: str) -> None:
        if message == "break off":
            raise KeyboardInterrupt

    def tell_failure(self, outcome: Outcome, failure: Failure, row: int, *, will_retry: bool) -> None:
        self.will_retry.append(will_retry)

    def left_off(self, *keys: bytes) -> None: ...

    def tell_successes(self, entries: Any, rows: Any) -> None: ...


def two_out(begun: tuple[SqliteStore, Run, Keeper], *, stopping: bool = False) -> tuple[Intake, Any, Any]:
    """Return what takes in two configurations that are out and may be tried again, its plan and whom it tells."""
    store, _, keeper = begun
    keys = [key_of(0), key_of(1)]
    plan: Any = SimpleNamespace(keys=keys, todo=[0, 1], entries=[None, None])
    told: Any = Told()
    watch = CircuitBreaker(stop_at_first=False, max_failures=None)
    state = RunState(plan=plan, store=store, tally=told, retries=RetryPolicy(9), watch=watch)
    intake = Intake(state, keeper, Pace(), stopping=lambda: stopping)
    intake.hand_out([Task(0, keys[0]), Task(1, keys[1])])
    return intake, plan, told


def test_what_stands_in_a_spool_before_a_report_that_broke_off_is_read_again(
    begun: tuple[SqliteStore, Run, Keeper],
) -> None:
    intake, _, _ = two_out(begun)
    _, run, _ = begun
    with pytest.raises(KeyboardInterrupt):
        intake.hear(run, [Noted(message="break off"), Delivered(frames=[frame(0)], spool="worker-1.spool", end=100)])
    intake.hear(run, [Delivered(frames=[frame(1)], spool="worker-1.spool", end=200)])
    intake.commit(run)
    assert intake.taken == {}


def test_an_attempt_that_goes_on_elsewhere_is_stored_and_is_no_result_yet(
    begun: tuple[SqliteStore, Run, Keeper],
) -> None:
    intake, plan, told = two_out(begun)
    store, run, _ = begun
    intake.hear(run, [Interrupted(frames=[frame(0, status=Status.FAILED, run=run.id)])])
    intake.commit(run)
    assert (plan.entries, told.will_retry) == ([None, None], [True])
    assert len(store.history(key_of(0))) == 1


def test_what_fails_while_the_run_comes_to_its_end_is_not_tried_again_and_told_so(
    begun: tuple[SqliteStore, Run, Keeper],
) -> None:
    intake, plan, told = two_out(begun, stopping=True)
    _, run, _ = begun
    intake.hear(run, [Delivered(frames=[frame(0, status=Status.FAILED, run=run.id)])])
    intake.commit(run)
    assert (told.will_retry, told.failed, intake.later) == ([False], 1, [])
    assert [entry is None for entry in plan.entries] == [False, True]


def held_up(context: Context, config: Config) -> int:
    time.sleep(1.0 if config.x == 20 else 0.02)
    return int(config.x)


def test_what_nobody_else_can_run_stays_behind_a_long_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    withdraw = WorkerHandle.withdraw
    monkeypatch.setattr(WorkerHandle, "withdraw", lambda self: (asked.append(1), withdraw(self))[1])
    results = run(held_up, {"parameters": {"x": list(range(22))}, "runtime": {"cpus": 2}})
    assert [result.inner for result in results] == list(range(22))
    assert len(asked) <= 2


def forking(context: Context, config: Config) -> int:
    child = os.fork()
    if child == 0:
        begun = context.restore(0)
        for step in range(begun, 5):
            context.checkpoint(step + 1)
        os._exit(5 - begun)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_checkpoint_made_in_a_forked_process_goes_with_the_success() -> None:
    what = {"parameters": {"x": [1]}}
    assert run(forking, what)[0].inner == 5
    assert run(forking, what, force_run=True)[0].inner == 5


def recording_and_hanging(context: Context, config: Config) -> None:
    for step in range(20):
        context.record({"loss": (step, 1.0)})
    time.sleep(60)


def test_what_was_recorded_before_an_experiment_hangs_is_kept() -> None:
    results = run(recording_and_hanging, {"parameters": {"x": [1]}}, timeout=3, on_error="return")
    assert results[0].status is Status.TIMED_OUT
    assert len(results[0].metric_points("loss")[1]) == 20
