"""What every executor promises."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memento import Memento, Status
from memento.executors.dask import DaskExecutor
from memento.executors.named import NAMES
from memento.executors.processes.executor import ProcessExecutor
from memento.executors.ray import RayExecutor
from memento.executors.serial import SerialExecutor
from memento.executors.threads import ThreadExecutor
from memento.protocols import Advanced, Delivered, Executor
from memento.spool import read_frames
from memento.task import Task
from tests.executors import experiments
from tests.executors.harness import Gathered, gather, key_of, make_job, run, take

IN_PROCESS: dict[str, Callable[[], Executor]] = {"serial": SerialExecutor, "threads": lambda: ThreadExecutor(2)}
ISOLATING: dict[str, Callable[[], Executor]] = {
    "forkserver": lambda: ProcessExecutor(2),
    "spawn": lambda: ProcessExecutor(2, start_method="spawn"),
    "fork": lambda: ProcessExecutor(2, start_method="fork"),
    "dask": lambda: DaskExecutor(workers=2),
    "ray": RayExecutor,
}
MAKERS = {**IN_PROCESS, **ISOLATING}
# tests/slurm/test_contract.py runs the same suite on a cluster.
ELSEWHERE = {"slurm"}


def _made(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "ray":
        request.getfixturevalue("connected_ray")
    made = MAKERS[request.param]()
    yield made
    made.close()


@pytest.fixture(params=MAKERS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    yield from _made(request)


@pytest.fixture(params=ISOLATING)
def isolating(request: pytest.FixtureRequest) -> Iterator[Executor]:
    yield from _made(request)


def tasks(count: int) -> list[Task]:
    return [Task(index=index, key=key_of(index)) for index in range(count)]


def indices(count: int) -> dict[bytes, int]:
    return {key_of(index): index for index in range(count)}


def lines(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_every_executor_that_has_a_name_is_here() -> None:
    kinds = {"processes" if name in ("forkserver", "spawn", "fork") else name for name in MAKERS}
    assert kinds | ELSEWHERE == set(NAMES)


def test_it_is_what_the_protocol_says(executor: Executor) -> None:
    assert isinstance(executor, Executor)
    assert executor.slots >= 1


def test_closing_what_never_started_is_fine(executor: Executor) -> None:
    assert list(executor.wait(0)) == []
    assert list(executor.stop()) == []
    executor.close()
    executor.close()


def test_every_task_comes_back_exactly_once(executor: Executor, tmp_path: Path) -> None:
    gathered = run(executor, tmp_path, experiments.double, 300)
    assert gathered.values() == {index: 2 * index for index in range(300)}
    assert len(gathered.seen) == 300


def test_a_failure_is_an_outcome(executor: Executor, tmp_path: Path) -> None:
    gathered = run(executor, tmp_path, experiments.at_five(experiments.raises), 10)
    assert gathered.outcomes[5].status is Status.FAILED
    assert gathered.failure(5).type == "ValueError"
    assert gathered.failure(5).message == "an ordinary error"
    assert 'in raises\n    raise ValueError("an ordinary error")' in gathered.failure(5).traceback
    assert "memento/worker.py" not in gathered.failure(5).traceback
    assert len(gathered.values()) == 9


def test_what_is_delivered_is_in_a_spool_before_anybody_is_told(executor: Executor, tmp_path: Path) -> None:
    executor.start(make_job(tmp_path, experiments.double))
    executor.submit(tasks(20))
    told = 0
    deadline = time.monotonic() + 60
    while told < 20:
        assert time.monotonic() < deadline
        for report in executor.wait(0.1):
            if isinstance(report, Delivered):
                told += len(report.frames)
                kept = [frame for path in (tmp_path / "spool").glob("*.spool") for frame in read_frames(path)[0]]
                assert {frame[0] for frame in report.frames} <= {frame[0] for frame in kept}
                assert len(kept) >= told


def test_what_ends_its_worker_costs_an_attempt_and_no_other_task_and_nothing_runs_twice(
    isolating: Executor, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"

    def experiment(context: Any, config: Any) -> int:
        with open(ran, "a") as file:
            file.write(f"{config['index']}\n")
        return int(experiments.vanishes() if config["index"] == 5 else 2 * config["index"])

    gathered = run(isolating, tmp_path, experiment, 20)
    ended = gathered.lost[5].status if 5 in gathered.lost else gathered.outcomes[5].status
    assert ended is Status.KILLED
    assert gathered.failure(5).exit_code == 7
    assert gathered.values() == {index: 2 * index for index in range(20) if index != 5}
    assert sorted(gathered.seen) == list(range(20))
    assert sorted(lines(ran)) == list(range(20))


def test_what_is_overdue_is_ended_and_nothing_else(isolating: Executor, tmp_path: Path) -> None:
    gathered = run(isolating, tmp_path, experiments.at_five(experiments.hangs), 8, timeout=0.5)
    over = gathered.lost[5].status if 5 in gathered.lost else gathered.outcomes[5].status
    assert over is Status.TIMED_OUT
    assert len(gathered.values()) == 7


def test_results_travel_as_bytes_and_are_opened_only_where_they_were_made(isolating: Executor, tmp_path: Path) -> None:
    opened, ran = tmp_path / "opened", tmp_path / "ran"

    def experiment(context: Any, config: Any) -> experiments.Witness:
        return experiments.Witness(str(opened), str(ran))

    gathered = run(isolating, tmp_path, experiment, 4)
    assert all(outcome.status is Status.SUCCEEDED for outcome in gathered.outcomes.values())
    assert set(lines(opened)) <= set(lines(ran))


def test_progress_is_heard_of(executor: Executor, tmp_path: Path) -> None:
    """While the experiment runs, except where it runs inside `wait`."""
    go = tmp_path / "go"

    def experiment(context: Any, config: Any) -> int:
        context.progress(3, total=10)
        while not go.exists():
            time.sleep(0.01)
        return 1

    if executor.inline:
        go.touch()
    executor.start(make_job(tmp_path, experiment))
    executor.submit(tasks(1))
    gathered, heard = Gathered(), []
    deadline = time.monotonic() + 60
    while not gathered.seen:
        assert time.monotonic() < deadline
        for report in executor.wait(0.1):
            if isinstance(report, Advanced):
                heard.append((report.task.index, report.done, report.total))
                assert executor.inline or not gathered.seen
                go.touch()
            take([report], indices(1), gathered)
    assert heard == [(0, 3, 10)]


def test_cancelling_returns_what_was_not_begun(executor: Executor, tmp_path: Path) -> None:
    executor.start(make_job(tmp_path, experiments.slow))
    executor.submit(tasks(50))
    gathered = gather(executor, indices(50), Gathered(), 2)
    back = [task.index for task in executor.cancel()]
    back += [task.index for task in executor.stop()]
    take(executor.wait(0), indices(50), gathered)
    assert len(back) + len(gathered.returned) >= 40
    assert sorted(set(gathered.seen) | set(back) | set(gathered.returned)) == list(range(50))


def test_cancelling_lets_what_runs_see_that_it_is_to_stop(executor: Executor, tmp_path: Path) -> None:
    """Where it runs inside `wait`, nothing runs that could see it."""

    begun, inline = tmp_path / "begun", executor.inline

    def experiment(context: Any, config: Any) -> str:
        begun.touch()
        while not context.should_stop and not inline:
            time.sleep(0.01)
        return "stopped"

    executor.start(make_job(tmp_path, experiment))
    executor.submit(tasks(6))
    gathered = Gathered()
    deadline = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < deadline
        take(executor.wait(0.1), indices(6), gathered)
    back = [task.index for task in executor.cancel()]
    while len(gathered.seen) + len(gathered.returned) + len(back) < 6:
        assert time.monotonic() < deadline
        take(executor.wait(0.1), indices(6), gathered)
    assert sorted(gathered.seen + gathered.returned + back) == list(range(6))
    assert set(gathered.values().values()) == {"stopped"}
    assert inline or len(back) + len(gathered.returned) >= 1


def test_draining_lets_what_runs_go_on_and_begins_nothing_more(executor: Executor, tmp_path: Path) -> None:
    executor.start(make_job(tmp_path, experiments.slow))
    executor.submit(tasks(50))
    gathered = gather(executor, indices(50), Gathered(), 2)
    back = [task.index for task in executor.drain()]
    deadline = time.monotonic() + 60
    while len(gathered.seen) + len(gathered.returned) + len(back) < 50:
        assert time.monotonic() < deadline
        take(executor.wait(0.1), indices(50), gathered)
    assert sorted(gathered.seen + gathered.returned + back) == list(range(50))
    assert len(gathered.outcomes) == len(gathered.values()) == len(gathered.seen)
    assert len(gathered.seen) < 50


def test_another_job_can_follow_and_nothing_of_the_first_reaches_it(executor: Executor, tmp_path: Path) -> None:
    executor.start(make_job(tmp_path / "one", experiments.slow))
    executor.submit(tasks(30))
    gather(executor, indices(30), Gathered(), 1)
    executor.stop()
    gathered = run(executor, tmp_path / "two", experiments.triple, 50)
    assert gathered.values() == {index: 3 * index for index in range(50)}
    assert len(gathered.seen) == 50


def test_closing_twice_is_fine(executor: Executor, tmp_path: Path) -> None:
    run(executor, tmp_path, experiments.double, 2)
    executor.close()
    executor.close()


@pytest.mark.parametrize("name", [*IN_PROCESS, "forkserver", "spawn", "fork"])
def test_closing_after_several_jobs_leaves_nothing_open_and_gives_the_streams_back(name: str, tmp_path: Path) -> None:
    executor = MAKERS[name]()
    threads, streams = threading.active_count(), (sys.stdout, sys.stderr)
    opened = []
    for jobs in (1, 3):
        for number in range(jobs):
            run(executor, tmp_path / f"{jobs}-{number}", experiments.double, 2)
            executor.stop()  # as every run ends
        executor.close()
        deadline = time.monotonic() + 10  # threads of an earlier job end when they come to it
        while threading.active_count() > threads and time.monotonic() < deadline:
            time.sleep(0.01)
        gc.collect()  # what earlier tests have left open goes now, and not in between
        opened.append(len(os.listdir("/proc/self/fd")))
    assert opened[1] <= opened[0]
    assert (sys.stdout, sys.stderr) == streams


def test_a_run_gives_the_same_everywhere_and_leaves_the_executor_to_whoever_made_it(executor: Executor) -> None:
    matrix = {"parameters": {"way": ["fine", "fails", "resumes"]}}
    memento = Memento(experiments.instructive, executor=executor)
    fine, fails, resumes = memento.run(matrix, retries={ConnectionError: 1}, on_error="return", progress=False)
    assert [fine.key, fails.key, resumes.key] == experiments.INSTRUCTIVE_KEYS
    assert (fine.status, fine.inner, list(fine.metric_points("loss")[1])) == (Status.SUCCEEDED, "fine", [0.5, 0.25])
    assert (fails.status, fails.error.type, fails.error.message) == (Status.FAILED, "ValueError", "as it was told")
    if executor.isolates:  # the others leave standard output to whoever has it, here to pytest
        assert fails.log.endswith("about to fail\n")
    assert (resumes.status, resumes.inner, len(resumes.attempts)) == (Status.SUCCEEDED, "resumed from 7", 2)
    more = memento.run({"parameters": {"way": ["fine", "again"]}}, progress=False)
    assert [(result.inner, result.was_cached) for result in more] == [("fine", True), ("again", False)]


EDITED = """
import os
from pathlib import Path

VALUE = 1

def experiment(context, config):
    if context.attempt == 1:
        file = Path(config.file)  # not `__file__`: what runs may be a copy
        file.write_text(file.read_text().replace("VALUE = 1", "VALUE = 100"))
        os._exit(1)
    return VALUE
"""


def test_an_edit_while_a_run_goes_on_reaches_no_worker(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not executor.isolates:
        pytest.skip("its experiments run in this process, which has loaded what it runs")
    file = tmp_path / "edited_meanwhile.py"
    file.write_text(EDITED)
    monkeypatch.syspath_prepend(str(tmp_path))
    edited = importlib.import_module("edited_meanwhile")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "edited_meanwhile.py changed while the run went on", UserWarning)
            memento = Memento(edited.experiment, executor=executor)
            (result,) = memento.run({"parameters": {"file": [str(file)]}}, retries=1, progress=False)
    finally:
        del sys.modules["edited_meanwhile"]
    assert (result.inner, len(result.attempts)) == (1, 2)
    assert "VALUE = 100" in file.read_text()


def test_a_signal_at_the_end_of_a_wait_does_not_make_it_wait_for_ever(tmp_path: Path) -> None:
    executor = ThreadExecutor(1)
    executor.start(make_job(tmp_path, experiments.double))
    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    over = threading.Event()

    def disturb() -> None:
        while not over.wait(0.0005):
            os.kill(os.getpid(), signal.SIGUSR1)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        for _ in range(2000):
            assert list(executor.wait(0.001)) == []
    finally:
        over.set()
        disturber.join()
        signal.signal(signal.SIGUSR1, before)
        executor.close()
