"""What every executor promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memento.executors.processes.executor import ProcessExecutor
from memento.executors.serial import SerialExecutor
from memento.executors.threads import ThreadExecutor
from memento.protocols import Executor
from memento.spool import read_frames
from memento.task import Status, Task
from tests.executors import experiments
from tests.executors.harness import Gathered, gather, key_of, make_job, run


def _dask() -> Executor:
    pytest.importorskip("distributed", reason="Dask is not installed: pip install 'memento[dask]'")
    from memento.executors.dask import DaskExecutor

    return DaskExecutor(workers=2)


def _ray() -> Executor:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'memento[ray]'")
    from memento.executors.ray import RayExecutor

    return RayExecutor(workers=2)


MAKERS: dict[str, Callable[[], Executor]] = {
    "serial": SerialExecutor,
    "threads": lambda: ThreadExecutor(2),
    "forkserver": lambda: ProcessExecutor(2),
    "spawn": lambda: ProcessExecutor(2, start_method="spawn"),
    "fork": lambda: ProcessExecutor(2, start_method="fork"),
    "dask": _dask,
    "ray": _ray,
}


@pytest.fixture(params=MAKERS)
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    made = MAKERS[request.param]()
    yield made
    made.close()


def test_it_is_what_the_protocol_says(executor: Executor) -> None:
    assert isinstance(executor, Executor)


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


def test_what_is_delivered_is_in_a_spool_first(executor: Executor, tmp_path: Path) -> None:
    run(executor, tmp_path, experiments.double, 20)
    frames = [frame for path in (tmp_path / "spool").glob("*.spool") for frame in read_frames(path)[0]]
    assert len(frames) == 20


def test_cancelling_returns_what_was_not_begun(executor: Executor, tmp_path: Path) -> None:
    executor.start(make_job(tmp_path, experiments.slow))
    executor.submit([Task(index=index, key=key_of(index)) for index in range(50)])
    indices = {key_of(index): index for index in range(50)}
    gathered = gather(executor, indices, Gathered(), 2)
    back = [task.index for task in executor.cancel()]
    back += [task.index for task in executor.stop()]
    for report in executor.wait(0):
        from tests.executors.harness import take

        take([report], indices, gathered)
    assert len(back) >= 40
    assert sorted(set(gathered.seen) | set(back)) == list(range(50))


def test_another_job_can_follow_and_is_run_by_nobody_of_the_first(executor: Executor, tmp_path: Path) -> None:
    run(executor, tmp_path / "one", experiments.double, 5)
    executor.stop()
    assert run(executor, tmp_path / "two", experiments.triple, 50).values() == {index: 3 * index for index in range(50)}


def test_closing_twice_is_fine(executor: Executor, tmp_path: Path) -> None:
    run(executor, tmp_path, experiments.double, 2)
    executor.close()
    executor.close()
