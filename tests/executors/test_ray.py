"""Ray runs experiments as this machine would: what is special is who may die, and what travels how."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'memento[ray]'")

from memento import Memento, RayExecutor, Status, WorkerStartError  # noqa: E402
from memento.protocols import Advanced, Begun  # noqa: E402
from memento.task import Task  # noqa: E402
from tests.conftest import own_processes  # noqa: E402
from tests.executors import experiments  # noqa: E402
from tests.executors.harness import Gathered, gather, key_of, make_job, run, take  # noqa: E402

WAIT = 30.0


def until(true: Callable[[], Any]) -> None:
    """Wait until it is `true`."""
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def executor() -> Iterator[RayExecutor]:
    made = RayExecutor(workers=2)
    yield made
    made.close()


def test_a_run_by_name_needs_nothing_but_the_name_and_leaves_no_ray() -> None:
    results = Memento(lambda context, config: config.x**2, executor="ray", num_workers=2).run(
        {"parameters": {"x": [1, 2, 3]}}
    )
    assert [result.inner for result in results] == [1, 4, 9]
    assert not ray.is_initialized()


def test_a_ray_that_runs_already_is_used_and_stays() -> None:
    ray.init(num_cpus=1, num_gpus=2, include_dashboard=False, log_to_driver=False)
    try:
        executor = RayExecutor()

        def experiment(context: Any, config: Any) -> str:
            return os.environ["CUDA_VISIBLE_DEVICES"]

        matrix = {"parameters": {"x": [1]}, "runtime": {"gpus": 2}}
        (result,) = Memento(experiment, executor=executor).run(matrix)
        assert sorted(result.inner.split(",")) == ["0", "1"]
        executor.close()
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_no_usage_statistics_are_sent_and_no_dashboard_is_started(executor: RayExecutor, tmp_path: Path) -> None:
    run(executor, tmp_path, experiments.double, 1)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not ray._private.worker._global_node.webui_url


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    executor = RayExecutor("auto")
    with pytest.raises(WorkerStartError, match=r"Ray cannot be reached at address='auto': "):
        executor.start(make_job(tmp_path, experiments.double))
    executor.close()


def test_what_the_experiment_gives_comes_home_and_a_hang_or_a_crash_costs_itself(executor: RayExecutor) -> None:
    def experiment(context: Any, config: Any) -> Any:
        if config.x == 3:
            os._exit(7)
        if config.x == 4:
            time.sleep(1000)
        (context.directory / "model.bin").write_bytes(b"weights")
        return bytes(300_000)

    results = Memento(experiment, executor=executor).run(
        {"parameters": {"x": [1, 2, 3, 4]}}, timeout=2, on_error="return"
    )
    assert [result.status for result in results] == [
        Status.SUCCEEDED,
        Status.SUCCEEDED,
        Status.KILLED,
        Status.TIMED_OUT,
    ]
    assert results[0].inner == bytes(300_000)
    assert (results[1].directory / "model.bin").read_bytes() == b"weights"
    assert results[2].error.exit_code == 7


def test_a_checkpoint_travels_with_the_attempts(executor: RayExecutor) -> None:
    def experiment(context: Any, config: Any) -> int:
        reached = context.restore(default=0)
        context.checkpoint(reached + 1)
        if reached < 2:
            raise ValueError(f"only {reached}")
        return int(reached)

    (result,) = Memento(experiment, executor=executor).run({"parameters": {"x": [1]}}, retries=3)
    assert result.inner == 2


def test_a_worker_that_dies_costs_the_experiment_it_was_running_at_once(executor: RayExecutor, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 3:
            with open(ran, "a") as file:
                file.write(f"{os.getpid()}\n")
            context.record({"loss": 0.5})
            time.sleep(1.5)
            context.record({"loss": 0.25})
            time.sleep(1000)
        return 2 * int(config["index"])

    executor.start(make_job(tmp_path, experiment))
    indices = {key_of(index): index for index in range(20)}
    executor.submit([Task(index=index, key=key) for key, index in indices.items()])
    gathered = Gathered()
    until(lambda: take(executor.wait(0.1), indices, gathered) or (ran.exists() and ran.read_text().endswith("\n")))
    end = time.monotonic() + 2.5  # until its metrics have been told
    while time.monotonic() < end:
        take(executor.wait(0.1), indices, gathered)
    supervisor = parent_of(int(ran.read_text()))
    os.kill(parent_of(supervisor), signal.SIGKILL)
    gather(executor, indices, gathered, 20)
    lost = gathered.lost[3]
    assert (lost.status, lost.failure.type, lost.failure.cause) == (Status.KILLED, "WorkerLost", "node")
    assert lost.failure.message == "a Ray worker died while it ran the experiment (WorkerCrashedError)"
    assert lost.metrics
    assert len(ran.read_text().splitlines()) == 1
    assert gathered.values() == {index: 2 * index for index in range(20) if index != 3}


def test_ten_thousand_small_experiments_are_batched(executor: RayExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    send = executor._engine.send
    monkeypatch.setattr(executor._engine, "send", lambda batch: (sent.append(len(batch.tasks)), send(batch)))
    results = Memento(lambda context, config: config.x, executor=executor).run(
        {"parameters": {"x": list(range(10_000))}}
    )
    assert [result.inner for result in results] == list(range(10_000))
    assert len(sent) < 1000


def test_progress_arrives_while_the_experiment_runs_and_cancelling_stops_it(
    executor: RayExecutor, tmp_path: Path
) -> None:
    def experiment(context: Any, config: Any) -> str:
        context.progress(3, total=10)
        while not context.should_stop:
            time.sleep(0.01)
        return "stopped"

    executor.start(make_job(tmp_path, experiment))
    indices = {key_of(index): index for index in range(6)}
    executor.submit([Task(index=index, key=key) for key, index in indices.items()])
    heard: list[Any] = []
    until(lambda: heard.extend(executor.wait(0.1)) or any(isinstance(report, Advanced) for report in heard))
    assert isinstance(heard[0], Begun)
    (advanced, *_) = [report for report in heard if isinstance(report, Advanced)]
    assert (advanced.done, advanced.total) == (3, 10)
    assert len(executor.cancel()) == 4
    gathered = gather(executor, indices, Gathered(), 1)
    assert set(gathered.values().values()) == {"stopped"}


@pytest.mark.slow
def test_when_the_cluster_is_lost_everything_delivered_is_stored(store_path: Path) -> None:
    script = """
import os, signal, time, ray
from memento import Memento

class Killer:
    def __init__(self):
        from memento.events import Succeeded
        self.hears, self.done = (Succeeded,), 0

    def handle(self, event):
        self.done += 1
        if self.done == 5:
            processes = ray._private.worker._global_node.all_processes
            for info in processes["gcs_server"] + processes["raylet"]:
                os.kill(info.process.pid, signal.SIGKILL)

    def close(self):
        pass

def experiment(context, config):
    if config.x == 9:
        time.sleep(1000)
    return config.x

Memento(experiment, executor="ray", num_workers=2, listeners=[Killer()]).run({"parameters": {"x": list(range(10))}})
"""
    before = own_processes()
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=False)
    for pid, _ in own_processes() - before:  # which Ray leaves when its raylet is killed
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert ended.returncode == 1
    assert "the Ray cluster was lost" in ended.stderr
    assert "what was delivered is stored, run the same again for the rest" in ended.stderr
    assert (store_path / "ledger.sqlite").exists()
    left = ended.stderr.rpartition(" configurations are left: run the same again")[0].rpartition("\n")[2]
    assert 1 <= int(left) <= 5
