"""What waits in Dask's own queue: a cluster grows with it, and nothing is blamed or timed for having waited."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from memento import DaskExecutor, Memento
from memento.events import Succeeded
from memento.executors.engines.batch import Kind
from memento.task import Task
from tests.executors import experiments
from tests.executors.daskcluster import Cluster, local_cluster, worker_of
from tests.executors.harness import Gathered, gather, key_of, make_job, run, take, until


@pytest.mark.slow
def test_a_cluster_that_adapts_itself_grows_with_what_there_is_to_do(tmp_path: Path) -> None:
    """From no worker at all; and still when it is known that experiments take longer than a second."""
    seen = tmp_path / "seen"
    seen.mkdir()

    def experiment(context: Any, config: Any) -> int:
        (seen / worker_of(os.getpid())).touch()
        if config.x < 4:
            time.sleep(1.6)
        end = time.monotonic() + 40
        while config.x > 3 and len(list(seen.iterdir())) < 2:
            assert time.monotonic() < end, "no second worker ever came"
            time.sleep(0.05)
        return int(config.x)

    done: list[str] = []

    class Allow:
        hears = (Succeeded,)

        def handle(self, event: Any) -> None:
            done.append(event.key)
            if len(done) == 4:  # from now on the run has out what runs, and no more
                cluster.adapt(minimum=0, maximum=2, interval="200ms", target_duration="500ms")

        def close(self) -> None: ...

    with local_cluster(n_workers=0, threads_per_worker=1) as cluster:
        cluster.adapt(minimum=0, maximum=1, interval="200ms", target_duration="500ms")
        executor = DaskExecutor(cluster)
        assert executor.slots == 1
        results = Memento(experiment, executor=executor, listeners=[Allow()]).run(
            {"parameters": {"x": list(range(9))}}, progress=False
        )
        executor.close()
    assert [result.inner for result in results] == list(range(9))
    assert len(list(seen.iterdir())) == 2


def test_what_more_a_cluster_may_grow_to_can_be_said(cluster: Cluster, tmp_path: Path) -> None:
    cluster.add_workers(1)
    executor = DaskExecutor(cluster.address, workers=3)
    gathered = run(executor, tmp_path, experiments.double, 2)
    assert gathered.values() == {0: 0, 1: 2}
    assert executor.slots == 3
    executor.close()


def test_a_timeout_counts_from_the_beginning_of_the_experiment_not_from_when_it_was_sent(tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> int:
        time.sleep(3.0 if config["index"] == 0 else 0.5)
        return int(config["index"])

    executor = DaskExecutor(workers=1)
    executor.start(make_job(tmp_path, experiment))
    executor.submit([Task(index=0, key=key_of(0), timeout=60), Task(index=1, key=key_of(1), timeout=2)])
    executor.wait(0)
    assert len(executor._sent) == 2  # one of which waits for the other, for longer than it may take
    gathered = gather(executor, {key_of(0): 0, key_of(1): 1}, Gathered(), 2)
    executor.close()
    assert gathered.values() == {0: 0, 1: 1}


def test_what_waits_on_a_worker_that_dies_is_not_taken_for_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    cluster = Cluster(tmp_path)
    begun = tmp_path / "begun"

    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 0:
            begun.touch()
            time.sleep(1000)
        return 2 * int(config["index"])

    cluster.add_workers(1)
    executor = DaskExecutor(cluster.address)
    executor.start(make_job(tmp_path, experiment))
    heard: list[str] = []
    hear = executor._engine._hear
    monkeypatch.setattr(executor._engine, "_hear", lambda what: (heard.append(what.kind), hear(what)))
    indices = {key_of(index): index for index in range(2)}
    executor.submit([Task(index=index, key=key) for key, index in indices.items()])
    gathered = Gathered()
    until(lambda: take(executor.wait(0.1), indices, gathered) or begun.exists())
    cluster.workers[0].kill()
    cluster.start_worker()
    gather(executor, indices, gathered, 2)
    executor.close()
    cluster.close()
    assert gathered.failure(0).cause == "node"
    assert gathered.values() == {1: 2}
    assert (heard.count(Kind.DIED), heard.count(Kind.UNBEGUN)) == (1, 1)
