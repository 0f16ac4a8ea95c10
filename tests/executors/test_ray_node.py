"""What a Ray node has to share out: CPUs, each for one experiment, and memory, of which there may be none left."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import ray

from memento import RayExecutor
from memento.executors.engines.batch import Death, Heard, Kind
from memento.task import Task
from tests.executors import experiments
from tests.executors.harness import Gathered, gather, key_of, make_job, run, take, until


@pytest.fixture
def executor(connected_ray: str) -> Iterator[RayExecutor]:
    made = RayExecutor()
    yield made
    made.close()


def test_a_worker_that_ray_ends_for_want_of_memory_can_be_retried_as_that() -> None:
    heard: list[Heard] = []
    engine = RayExecutor()._engine
    engine._visit, engine._hear = "visit", heard.append
    future: Future[bytes] = Future()
    future.set_exception(
        ray.exceptions.OutOfMemoryError("2 worker(s) were killed due to ...\nRefer to the documentation")
    )
    engine._on_done("visit", 7, future)
    why = "Ray ended the worker because its node ran out of memory (2 worker(s) were killed due to)"
    assert heard == [Heard(7, Kind.DIED, Death(why, "memory"))]


def test_a_mailbox_that_dies_is_begun_again_and_an_order_still_arrives(executor: RayExecutor, tmp_path: Path) -> None:
    """Ray ends it with others when the node runs out of memory."""
    begun = tmp_path / "begun"

    def experiment(context: Any, config: Any) -> str:
        begun.touch()
        while not context.should_stop:
            time.sleep(0.05)
        return "stopped"

    executor.start(make_job(tmp_path, experiment))
    executor.submit([Task(index=0, key=key_of(0))])
    gathered, indices = Gathered(), {key_of(0): 0}
    until(lambda: take(executor.wait(0.1), indices, gathered) or begun.exists())
    os.kill(ray.get(executor._engine._mailbox.__ray_call__.remote(lambda mailbox: os.getpid())), signal.SIGKILL)
    executor.cancel()
    gather(executor, indices, gathered, 1)
    assert gathered.values() == {0: "stopped"}


@pytest.mark.slow
def test_what_waits_for_its_cpus_is_not_begun_before_they_are_free(executor: RayExecutor, tmp_path: Path) -> None:
    """Ray lends the CPUs of a task that waits in `ray.get` to the next."""
    taken = tmp_path / "taken"

    def experiment(context: Any, config: Any) -> int:
        taken.touch(exist_ok=False)
        time.sleep(0.8)
        taken.unlink()
        return int(config["index"])

    executor.start(make_job(tmp_path, experiment))
    mailbox = ray.get(executor._engine._mailbox.__ray_call__.remote(lambda mailbox: os.getpid()))
    os.kill(mailbox, signal.SIGSTOP)  # so that a worker waits for its answer, long enough for the next to be begun
    try:
        executor.submit([Task(index=index, key=key_of(index), cpus=2) for index in range(4)])
        executor.wait(0)
        time.sleep(6)
    finally:
        os.kill(mailbox, signal.SIGCONT)
    gathered = gather(executor, {key_of(index): index for index in range(4)}, Gathered(), 4)
    assert gathered.values() == {index: index for index in range(4)}


def test_more_may_be_asked_of_a_cluster_than_it_has_for_it_to_grow(connected_ray: str, tmp_path: Path) -> None:
    executor = RayExecutor(connected_ray, workers=6)
    assert run(executor, tmp_path, experiments.double, 3).values() == {0: 0, 1: 2, 2: 4}
    assert executor.slots == 6
    executor.close()
