"""Ray runs experiments as this machine would: what is special is who may die, and what travels how."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from memento import Memento, OptionError, RayExecutor, Status
from memento.task import Task
from tests.conftest import own_processes
from tests.executors import experiments
from tests.executors.harness import Gathered, gather, key_of, make_job, run, take, until


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
def executor(connected_ray: str) -> Iterator[RayExecutor]:
    made = RayExecutor()
    yield made
    made.close()


def script(text: str, *, patience: float = 100, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `text` in a process that is not connected to any Ray."""
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "", "RAY_ADDRESS": ""} | environment,
    )


@pytest.mark.slow
def test_a_run_by_name_starts_a_quiet_ray_for_itself_and_ends_it() -> None:
    ended = script("""
import os

del os.environ["RAY_USAGE_STATS_ENABLED"], os.environ["RAY_ADDRESS"]

import ray
from memento import Memento
from memento.events import Succeeded

class Look:
    hears = (Succeeded,)

    def handle(self, event):
        node = ray._private.worker._global_node
        if event.config.x == 1:
            print(ray.is_initialized(), repr(node.webui_url), os.environ["RAY_USAGE_STATS_ENABLED"])

    def close(self):
        pass

results = Memento(lambda context, config: config.x**2, executor="ray", num_workers=2, listeners=[Look()]).run(
    {"parameters": {"x": [1, 2, 3]}}, progress=False
)
print([result.inner for result in results], ray.is_initialized())
""")
    assert (ended.stdout, ended.returncode) == ("True '' 0\n[1, 4, 9] False\n", 0), ended.stderr


@pytest.mark.parametrize(("runtime", "option"), [({"cpus": 3}, "cpus"), ({"gpus": 3}, "gpus")])
def test_what_no_node_has_is_refused_at_once(executor: RayExecutor, runtime: dict[str, int], option: str) -> None:
    message = r"runtime asks for cpus=\d and gpus=\d, which no node of the Ray cluster has \(there are nodes with"
    with pytest.raises(OptionError, match=message) as caught:
        Memento(experiments.double, executor=executor).run({"parameters": {"x": [1]}, "runtime": runtime})
    assert (caught.value.option, caught.value.value) == (option, 3)


def test_what_a_cluster_may_grow_to_have_is_waited_for(connected_ray: str, tmp_path: Path) -> None:
    executor = RayExecutor(workers=8)
    try:
        executor.start(make_job(tmp_path, experiments.double))
        task = Task(index=0, key=key_of(0), cpus=3)
        executor.submit([task])
        assert not list(executor.wait(0.0))
        assert list(executor.stop()) == [task]
    finally:
        executor.close()


def test_a_ray_that_runs_already_is_used_and_stays_and_leases_its_devices(connected_ray: str) -> None:
    executor = RayExecutor()

    def experiment(context: Any, config: Any) -> str:
        return os.environ["CUDA_VISIBLE_DEVICES"]

    (result,) = Memento(experiment, executor=executor).run({"parameters": {"x": [1]}, "runtime": {"gpus": 2}})
    assert sorted(result.inner.split(",")) == ["0", "1"]
    executor.close()
    assert ray.is_initialized()
    assert ray.get_runtime_context().gcs_address == connected_ray


@pytest.mark.slow
def test_it_runs_on_the_ray_at_the_address_that_is_given_or_set(connected_ray: str) -> None:
    text = """
import ray
from memento import Memento, RayExecutor

executor = EXECUTOR
results = Memento(lambda context, config: config.x, executor=executor).run(
    {"parameters": {"x": [1, 2]}}, progress=False
)
print([result.inner for result in results], ray.get_runtime_context().gcs_address)
"""
    given = script(text.replace("EXECUTOR", f"RayExecutor({connected_ray!r})"))
    assert given.stdout == f"[1, 2] {connected_ray}\n", given.stderr
    ended = script(text.replace("EXECUTOR", "RayExecutor()"), RAY_ADDRESS=connected_ray)
    assert ended.stdout == f"[1, 2] {connected_ray}\n", ended.stderr


def test_an_address_other_than_that_of_the_connection_is_refused(connected_ray: str, tmp_path: Path) -> None:
    executor = RayExecutor("127.0.0.1:9")
    with pytest.raises(OptionError) as raised:
        executor.start(make_job(tmp_path, experiments.double))
    executor.close()
    assert str(raised.value) == (
        f"RayExecutor('127.0.0.1:9') is to run elsewhere than on the Ray at {connected_ray}, which this process is "
        "connected to; leave the address out, or call ray.shutdown() before"
    )
    same = RayExecutor(connected_ray)
    assert run(same, tmp_path, experiments.double, 2).values() == {0: 0, 1: 2}
    same.close()


def test_a_cluster_that_does_not_answer_is_named() -> None:
    ended = script("""
from memento import Memento, RayExecutor, WorkerStartError

try:
    Memento(print, executor=RayExecutor("127.0.0.1:9")).run({"parameters": {"x": [1]}})
except WorkerStartError as error:
    print(error)
""")
    assert ended.stdout.startswith("Ray cannot be reached at address='127.0.0.1:9': "), ended.stderr


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


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_small_experiments_are_batched(executor: RayExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    send = executor._engine.send
    monkeypatch.setattr(executor._engine, "send", lambda batch: (sent.append(len(batch.tasks)), send(batch)))
    results = Memento(lambda context, config: config.x, executor=executor).run(
        {"parameters": {"x": list(range(10_000))}}
    )
    assert [result.inner for result in results] == list(range(10_000))
    assert len(sent) < 1000


def test_what_no_batch_needs_ends_when_the_executor_is_closed(executor: RayExecutor, tmp_path: Path) -> None:
    gathered = run(executor, tmp_path, lambda context, config: os.getpid(), 2)
    experiments_of = [Path(f"/proc/{pid}") for pid in gathered.values().values()]
    assert all(path.exists() for path in experiments_of)  # kept for the next batch
    executor.close()
    until(lambda: not any(path.exists() for path in experiments_of))


def test_when_the_orchestrator_is_gone_the_work_ends(connected_ray: str, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    orchestrator = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"""
import os, time
from memento import Memento, RayExecutor

def experiment(context, config):
    with open({str(pid)!r}, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(1000)

Memento(experiment, executor=RayExecutor({connected_ray!r})).run({{"parameters": {{"x": [1]}}}})
""",
        ],
        stderr=subprocess.DEVNULL,
    )
    until(lambda: pid.exists() and pid.read_text())
    experiment = Path(f"/proc/{pid.read_text()}")
    assert experiment.exists()
    orchestrator.kill()
    orchestrator.wait()
    until(lambda: not experiment.exists())


@pytest.mark.slow
def test_when_the_cluster_is_lost_everything_delivered_is_stored(store_path: Path) -> None:
    text = """
import os, signal, time, ray
from memento import Memento
from memento.executors.engines import ray as engine

engine.GONE = 5.0  # or else this takes longer
os.environ.pop("RAY_ADDRESS")

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
    ended = script(text)
    for pid, _ in own_processes() - before:  # which Ray leaves when its raylet is killed
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert ended.returncode == 1
    assert "the Ray cluster was lost" in ended.stderr
    assert "what was delivered is stored, run the same again for the rest" in ended.stderr
    assert (store_path / "ledger.sqlite").exists()
    (left,) = re.findall(r"(\d+) configurations? (?:is|are) left: run the same again", ended.stderr)
    assert 1 <= int(left) <= 5
