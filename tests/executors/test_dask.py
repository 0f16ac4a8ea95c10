"""Dask runs experiments as this machine would: what is special is who may die, and what travels how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

from memento import DaskExecutor, EngineLost, Memento, OptionError, Status, WorkerStartError, open_store
from memento.events import Succeeded
from memento.executors.engines import dask_connection
from memento.protocols import Executor
from memento.task import Task
from tests.executors import experiments
from tests.executors.daskcluster import Cluster, local_cluster, worker_of
from tests.executors.harness import Gathered, gather, key_of, make_job, run, take, until


@pytest.fixture
def local() -> Iterator[DaskExecutor]:
    made = DaskExecutor(workers=2)
    yield made
    made.close()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_run_by_name_needs_nothing_but_the_name() -> None:
    results = Memento(lambda context, config: config.x**2, executor="dask", num_workers=2).run(
        {"parameters": {"x": [1, 2, 3]}}
    )
    assert [result.inner for result in results] == [1, 4, 9]


def test_a_task_cancelled_with_the_job_before_is_no_lost_connection_of_the_next(local: DaskExecutor) -> None:
    class Late(distributed.Future):  # type: ignore[misc]
        """Is heard of in one thread while another begins the next job."""

        status = "cancelled"

        def __init__(self) -> None:
            """Belong to no client."""

        def result(self, timeout: float | None = None) -> Any:
            engine.abandon()
            engine.open("second", heard.append)
            raise distributed.CancelledError("first-1")

        def __del__(self) -> None:
            """Have nothing to give back."""

    heard: list[Any] = []
    engine = local._engine
    engine.open("first", heard.append)
    engine._futures[1] = late = Late()
    engine._client._cancel = _nothing
    engine._on_done("first", 1, late)
    assert engine.look() == ""
    assert heard == []


async def _nothing(futures: Any) -> None:
    """Stand for a cancellation that has been sent."""


def test_devices_are_refused_before_anything_runs(local: DaskExecutor) -> None:
    with pytest.raises(OptionError, match=r"runtime asks for gpus=1, which DaskExecutor cannot lease; start workers"):
        local.submit([Task(index=0, key=key_of(0), gpus=1)])


def test_a_scheduler_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_connection, "PATIENCE", 0.2)
    executor = DaskExecutor("tcp://127.0.0.1:9")
    with pytest.raises(WorkerStartError, match=r"the Dask scheduler tcp://127\.0\.0\.1:9 cannot be reached"):
        executor.start(make_job(tmp_path, experiments.double))
    executor.close()


def test_what_is_no_cluster_is_refused() -> None:
    with pytest.raises(OptionError, match=r"DaskExecutor\(3\) is neither the address of a scheduler"):
        DaskExecutor(3)


def test_a_worker_that_dies_costs_the_experiment_it_was_running_at_once(cluster: Cluster, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def experiment(context: Any, config: Any) -> int:
        with open(ran, "a") as file:
            file.write(f"{config['index']}\n")
        if config["index"] == 3:
            context.record({"loss": 0.5})
            time.sleep(1.5)
            context.record({"loss": 0.25})
            time.sleep(1000)
        return 2 * config["index"]

    cluster.add_workers(1)
    executor = DaskExecutor(cluster.address)
    executor.start(make_job(tmp_path, experiment))
    indices = {key_of(index): index for index in range(20)}
    executor.submit([Task(index=index, key=key, attempt=1) for key, index in indices.items()])
    gathered = Gathered()
    until(lambda: take(executor.wait(0.1), indices, gathered) or "3" in lines(ran))
    end = time.monotonic() + 2.5  # until its metrics have been told
    while time.monotonic() < end:
        take(executor.wait(0.1), indices, gathered)
    cluster.workers[0].kill()
    cluster.start_worker()
    gather(executor, indices, gathered, 20)
    executor.close()
    lost = gathered.lost[3]
    assert lost.status is Status.KILLED
    assert (lost.failure.type, lost.failure.cause) == ("WorkerLost", "node")
    assert lost.failure.message.startswith("the Dask worker tcp://127.0.0.1:")
    assert lost.failure.message.endswith("died while it ran the experiment")
    assert lost.metrics
    assert lines(ran).count("3") == 1
    assert gathered.values() == {index: 2 * index for index in range(20) if index != 3}
    assert sorted(gathered.seen) == list(range(20))


@pytest.mark.slow
def test_a_worker_that_its_nanny_starts_again_does_not_run_it_again_unasked(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def experiment(context: Any, config: Any) -> int:
        if config.x == 5:
            with open(ran, "a") as file:
                file.write(f"{context.attempt}\n")
            if context.attempt == 1:
                time.sleep(1.5)  # by then it is known what the worker is running
                os.kill(int(worker_of(os.getpid())), signal.SIGKILL)
                time.sleep(1000)
        return int(config.x)

    matrix = {"parameters": {"x": list(range(10))}}
    with local_cluster(n_workers=2, threads_per_worker=1) as cluster:
        executor = DaskExecutor(cluster)
        assert executor.slots == 2
        results = Memento(experiment, executor=executor).run(matrix, retries={"killed": 1})
        executor.close()
    assert [result.inner for result in results] == list(range(10))
    assert [len(result.attempts) for result in results] == [1, 1, 1, 1, 1, 2, 1, 1, 1, 1]
    assert lines(ran) == ["1", "2"]


@pytest.mark.slow
def test_workers_that_somebody_restarts_cost_what_they_were_running(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def experiment(context: Any, config: Any) -> int:
        with open(ran, "a") as file:
            file.write(f"{config.x}\n")
        if config.x == 1 and ran.read_text().split().count("1") == 1:
            time.sleep(1000)
        return int(config.x)

    with local_cluster(n_workers=1, threads_per_worker=1) as cluster:

        def restart() -> None:
            until(lambda: "1" in lines(ran))
            with distributed.Client(cluster, set_as_default=False) as client:
                client.restart()

        restarting = threading.Thread(target=restart)
        restarting.start()
        executor = DaskExecutor(cluster)
        results = Memento(experiment, executor=executor).run({"parameters": {"x": [0, 1, 2]}}, retries={"node": 1})
        restarting.join()
        executor.close()
    assert [result.inner for result in results] == [0, 1, 2]
    assert lines(ran).count("1") == 2


def test_a_scheduler_that_dies_is_a_clear_error_and_costs_nothing_delivered(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add_workers(2)

    def experiment(context: Any, config: Any) -> int:
        if config.x == 9:
            time.sleep(1000)
        return int(config.x)

    done: list[str] = []

    class Killer:
        hears = (Succeeded,)

        def handle(self, event: Any) -> None:
            done.append(event.key)
            if len(done) == 5:
                cluster.scheduler.kill()

        def close(self) -> None:
            pass

    executor = DaskExecutor(cluster.address)
    with pytest.raises(EngineLost, match=r"the connection to the Dask scheduler tcp://.* was lost; what was delivered"):
        Memento(experiment, executor=executor, listeners=[Killer()]).run({"parameters": {"x": list(range(10))}})
    executor.close()
    with open_store() as store:
        stored = store.find([bytes.fromhex(key) for key in done])
    assert len(stored) >= 5
    assert all(entry.ok for entry in stored.values())


@pytest.mark.slow
def test_ten_thousand_small_experiments_are_batched(local: DaskExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    send = local._engine.send
    monkeypatch.setattr(local._engine, "send", lambda batch: (sent.append(len(batch.tasks)), send(batch)))
    results = Memento(lambda context, config: config.x, executor=local).run({"parameters": {"x": list(range(10_000))}})
    assert [result.inner for result in results] == list(range(10_000))
    assert len(sent) < 1000


def test_large_results_and_files_come_home_without_a_shared_file_system(local: DaskExecutor) -> None:
    def experiment(context: Any, config: Any) -> bytes:
        (context.directory / "model.bin").write_bytes(b"weights")
        return bytes(300_000)

    (result,) = Memento(experiment, executor=local).run({"parameters": {"x": [1]}})
    assert result.inner == bytes(300_000)
    assert (result.directory / "model.bin").read_bytes() == b"weights"


def test_a_checkpoint_travels_with_the_attempts(local: DaskExecutor, store_path: Path) -> None:
    def experiment(context: Any, config: Any) -> int:
        reached = context.restore(default=0)
        context.checkpoint(reached + 1)
        if reached < 2:
            raise ValueError(f"only {reached}")
        return int(reached)

    (result,) = Memento(experiment, executor=local).run({"parameters": {"x": [1]}}, retries=3)
    assert result.inner == 2
    assert len(result.attempts) == 3
    assert not [path for path in (store_path / "checkpoints").rglob("*") if path.is_file()]


def test_what_waits_behind_a_long_experiment_is_run_by_others(local: DaskExecutor, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def experiment(context: Any, config: Any) -> int:
        while config["index"] == 500 and not go.exists():
            time.sleep(0.01)
        return int(config["index"])

    local.start(make_job(tmp_path, experiment))
    indices = {key_of(index): index for index in range(1000)}
    local.submit([Task(index=index, key=key) for key, index in indices.items()])
    gathered = gather(local, indices, Gathered(), 999)
    assert 500 not in gathered.seen
    go.touch()
    gather(local, indices, gathered, 1000)
    assert len(gathered.values()) == 1000


def test_a_cluster_or_a_client_that_is_passed_in_stays_open(tmp_path: Path) -> None:
    with (
        local_cluster(n_workers=1, threads_per_worker=2, processes=False, memory_limit=0) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        for place in (cluster, client):
            executor = DaskExecutor(place)
            assert isinstance(executor, Executor)
            assert run(executor, tmp_path / type(place).__name__, experiments.double, 3).values() == {0: 0, 1: 2, 2: 4}
            assert executor.slots == 2
            executor.close()
        assert client.submit(sum, (1, 2)).result() == 3


def test_when_the_orchestrator_is_gone_the_work_ends(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add_workers(1)
    pid = tmp_path / "pid"
    script = f"""
import os, time
from memento import DaskExecutor, Memento

def experiment(context, config):
    with open({str(pid)!r}, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(1000)

Memento(experiment, executor=DaskExecutor({cluster.address!r})).run({{"parameters": {{"x": [1]}}}})
"""
    orchestrator = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    until(lambda: pid.exists() and pid.read_text())
    experiment = Path(f"/proc/{pid.read_text()}")
    assert experiment.exists()
    orchestrator.send_signal(signal.SIGKILL)
    orchestrator.wait()
    until(lambda: not experiment.exists())
