"""What a run may count on whatever engine takes its batches; the engine here does only what a test has it do."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memento import part_writer, payload
from memento.errors import EngineLost, StoreUnwritable, WorkerStartError
from memento.executors.elsewhere.orders import Order
from memento.executors.elsewhere.sealed import seal
from memento.executors.engines import executor as engines
from memento.executors.engines.batch import Answer, Batch, Death, Heard, Kind
from memento.executors.engines.batch_run import run_batch
from memento.executors.engines.executor import BatchExecutor
from memento.executors.engines.warm_worker import give_order, order_for
from memento.heads import unpack_head
from memento.protocols import Advanced, Begun, Lost, Returned
from memento.running.retries import RetryPolicy
from memento.task import Status, Task
from tests.executors import experiments
from tests.executors.harness import Gathered, key_of, make_job, take

INDICES = {key_of(index): index for index in range(100)}


class Engine:
    """Keeps batches until it is told to run one, or that its worker died."""

    name = "Fake"
    slots = reach = 1
    grows = False

    def __init__(self) -> None:
        self.sent: list[Batch] = []
        self.hear: Callable[[Heard], None]
        self.visit = ""
        self.why = ""

    def open(self, visit: str, hear: Callable[[Heard], None]) -> None:
        self.visit, self.hear = visit, hear

    def send(self, batch: Batch) -> None:
        self.sent.append(batch)

    def look(self) -> str:
        return self.why

    def order(self, order: Order) -> None:
        give_order(self.visit, order)

    def abandon(self) -> None:
        self.sent.clear()

    def close(self) -> None:
        pass

    def die(self, batch: Batch) -> None:
        self.sent.remove(batch)
        self.hear(Heard(batch.number, Kind.DIED, Death("it died")))

    def run(self, batch: Batch) -> Answer:
        self.sent.remove(batch)

        def tell(message: tuple[Any, ...]) -> None:
            self.hear(Heard(batch.number, message[0], message[1:]))

        answer = run_batch(batch, tell, lambda: order_for(batch.visit))
        self.hear(Heard(batch.number, Kind.ANSWER, pickle.dumps(answer)))
        return answer


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def executor(engine: Engine) -> Iterator[BatchExecutor]:
    made = BatchExecutor(engine, shared=False)
    yield made
    made.close()


def begin(executor: BatchExecutor, folder: Path, experiment: Any, count: int, *, pace: float | None = 0.001) -> None:
    executor.start(make_job(folder, experiment)._replace(pace=pace))
    executor.submit([Task(index=index, key=key_of(index)) for index in range(count)])
    executor.wait(0)


def test_a_death_that_names_nobody_has_its_batch_run_again_one_by_one(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    begin(executor, tmp_path, experiments.double, 4)
    first = engine.sent[0]
    assert [task.index for task in first.tasks] == [0, 1]
    engine.die(first)
    assert [report for report in executor.wait(0) if isinstance(report, Lost)] == []
    gathered = Gathered()
    while len(gathered.seen) < 4:
        batch = engine.sent[0]
        assert len(batch.tasks) == 1
        if batch.tasks[0].index == 1:
            engine.die(batch)
        else:
            engine.run(batch)
        take(executor.wait(0), INDICES, gathered)
    assert gathered.values() == {0: 0, 2: 4, 3: 6}
    assert gathered.lost[1].status is Status.KILLED
    assert gathered.failure(1).message == "it died"


def test_a_death_costs_the_experiment_that_was_begun_and_no_other(
    engine: Engine, executor: BatchExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "SETTLED", 0.0)
    begin(executor, tmp_path, experiments.double, 6)
    batch = engine.sent[0]
    engine.hear(Heard(batch.number, Kind.BEGUN, (key_of(1),)))
    engine.hear(Heard(batch.number, Kind.METRICS, (key_of(1), b"packed")))
    engine.die(batch)
    (begun, lost) = [report for report in executor.wait(0) if isinstance(report, Begun | Lost)]
    assert begun.task.index == 1
    assert isinstance(lost, Lost)
    assert (lost.task.index, lost.metrics, lost.failure.cause) == (1, b"packed", "node")
    gathered = Gathered()
    while len(gathered.seen) < 5:
        engine.run(engine.sent[0])
        take(executor.wait(0), INDICES, gathered)
    assert sorted(gathered.seen) == [0, 2, 3, 4, 5]


def test_what_was_begun_a_moment_before_a_death_may_be_over_and_is_not_blamed(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    begin(executor, tmp_path, experiments.double, 6)
    batch = engine.sent[0]
    engine.hear(Heard(batch.number, Kind.BEGUN, (key_of(0),)))
    engine.die(batch)
    gathered = Gathered()
    take(executor.wait(0), INDICES, gathered)
    while len(gathered.seen) < 6:
        engine.run(engine.sent[0])
        take(executor.wait(0), INDICES, gathered)
    assert gathered.values() == {index: 2 * index for index in range(6)}


def test_what_a_dead_batch_still_says_counts_for_nothing(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    begin(executor, tmp_path, experiments.double, 1)
    (batch,) = engine.sent
    engine.die(batch)
    executor.wait(0)
    engine.hear(Heard(batch.number, Kind.ADVANCED, (key_of(0), 1.0, None)))
    engine.sent.append(batch)
    engine.run(batch)
    assert [report for report in executor.wait(0) if not isinstance(report, Begun)] == []
    engine.run(engine.sent[0])
    gathered = Gathered()
    take(executor.wait(0), INDICES, gathered)
    assert gathered.seen == [0]


def test_an_engine_that_is_gone_is_an_error_only_after_what_it_delivered(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    begin(executor, tmp_path, experiments.double, 4)
    engine.run(engine.sent[0])
    engine.why = "the engine is gone"
    gathered = Gathered()
    take(executor.wait(0), INDICES, gathered)
    assert gathered.seen == [0, 1]
    with pytest.raises(EngineLost) as raised:
        executor.wait(0)
    assert str(raised.value) == ("the engine is gone; what was delivered is stored, run the same again for the rest")
    assert sorted(task.index for task in executor.stop()) == [2, 3]


def test_an_experiment_that_no_worker_can_load_ends_the_run(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    class Unloadable:
        def __reduce__(self) -> Any:
            return __import__, ("no_such_module",)

        def __call__(self, context: Any, config: Any) -> None: ...

    begin(executor, tmp_path, Unloadable(), 1)
    engine.run(engine.sent[0])
    with pytest.raises(WorkerStartError, match=r"Fake workers cannot run the experiment: .*No module named 'no_such"):
        executor.wait(0)


def test_a_worker_of_another_python_says_so(engine: Engine, executor: BatchExecutor, tmp_path: Path) -> None:
    begin(executor, tmp_path, experiments.double, 1)
    answer = run_batch(engine.sent[0]._replace(python=(3, 1)), lambda message: None, lambda: "")
    ours = ".".join(map(str, sys.version_info[:2]))
    assert answer.broken == f"a worker has Python {ours} and the orchestrator 3.1; use one version everywhere"


def test_what_was_finished_before_a_workers_disk_is_full_is_kept(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    def experiment(context: Any, config: Any) -> Any:
        if config["index"] != 2:
            (context.directory / "here").write_text("yes")
            return config["index"]

        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        part_writer.write_atomically = full
        return bytes(200_000)

    executor.start(make_job(tmp_path, experiment)._replace(pace=0.001))
    executor._portions.size = lambda queued, slots: 3
    executor.submit([Task(index=index, key=key_of(index)) for index in range(3)])
    executor.wait(0)
    (batch,) = engine.sent
    engine.run(batch)
    with pytest.raises(StoreUnwritable, match=r"a worker's disk cannot be written: .*No space left on device"):
        executor.wait(0)
    assert [task.index for task in executor.stop()] == [2]
    gathered = Gathered()
    take(executor.wait(0), INDICES, gathered)
    assert gathered.values() == {0: 0, 1: 1}
    assert len(list((tmp_path / "artifacts").rglob("here"))) == 2


def test_a_file_that_cannot_be_brought_home_is_named_in_the_log_and_costs_nothing_else(
    engine: Engine, executor: BatchExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("as large as it likes")

    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 1:
            print("said", end="")
            context.directory.joinpath("kept").write_text("yes")
            context.directory.joinpath("last").symlink_to("kept")
            context.directory.joinpath("another").symlink_to("kept")
            context.directory.joinpath("shared").symlink_to(outside)
            context.directory.joinpath("secret").write_text("not to be read")
            os.mkfifo(context.directory / "pipe")
        return config["index"]

    read = Path.read_bytes

    def refusing(path: Path) -> bytes:  # as a file without permissions does to all but the superuser
        if path.name == "secret":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refusing)
    begin(executor, tmp_path, experiment, 3)
    gathered = Gathered()
    while len(gathered.seen) < 3:
        engine.run(engine.sent[0])
        take(executor.wait(0), INDICES, gathered)
    assert gathered.values() == {0: 0, 1: 1, 2: 2}
    host = socket.gethostname()
    assert (gathered.outcomes[1].log.data or b"").decode().splitlines() == [
        "said",
        f"memento: secret was left on {host}: PermissionError: [Errno 13] Permission denied",
        f"memento: shared was left on {host}: it is a link that leads out of its folder",
    ]
    brought = {path.name: path.read_text() for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert brought == {"kept": "yes", "last": "yes", "another": "yes"}


def test_a_large_job_goes_to_each_worker_once(engine: Engine, executor: BatchExecutor, tmp_path: Path) -> None:
    ballast = bytes(100_000)

    def experiment(context: Any, config: Any) -> int:
        return len(ballast)

    begin(executor, tmp_path, experiment, 3, pace=None)
    assert engine.sent[0].job is None
    assert engine.run(engine.sent[0]).needs_job
    executor.wait(0)
    assert engine.sent[-1].job is not None
    gathered = Gathered()
    while len(gathered.seen) < 3:
        assert not engine.run(engine.sent[-1]).needs_job
        take(executor.wait(0), INDICES, gathered)
    assert set(gathered.values().values()) == {100_000}


def test_a_cancelled_batch_that_was_not_begun_comes_back(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    begin(executor, tmp_path, experiments.double, 4)
    assert [task.index for task in executor.cancel()] == [3]
    for batch in list(engine.sent):
        engine.run(batch)
    back = [report.task.index for report in executor.wait(0) if isinstance(report, Returned)]
    assert sorted(back) == [0, 1, 2]


@pytest.mark.parametrize("count", [1, 2])
def test_a_cancel_reaches_what_runs_also_when_its_batch_was_held_up_before(count: int, tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> str:
        (tmp_path / "begun").touch()
        while not context.should_stop:
            time.sleep(0.02)
        return "was told to stop"

    job = make_job(tmp_path, experiment)
    tasks = tuple(Task(index, key_of(index)) for index in range(count))
    batch = Batch(1, "visit", job.run, tasks, (), seal(job), False, sys.version_info[:2])
    told: list[Kind] = []
    # At once for a batch of one; a longer one gives back by itself what waits.
    orders = iter([Order.NONE, Order.DRAIN, Order.DRAIN])

    def order() -> Order:
        ready = (tmp_path / "begun").exists() and (Kind.LEFT in told or count == 1)
        return next(orders, Order.CANCEL) if ready else Order.NONE

    answer = run_batch(batch, lambda message: told.append(message[0]), order)
    give_order("visit", Order.STOP)
    ((head, bodies),) = answer.frames
    outcome = unpack_head(head, bodies)
    assert payload.decode(outcome.value.codec, outcome.value.data or b"", outcome.summary) == "was told to stop"
    assert len(answer.left) == count - 1


def test_with_a_shared_store_workers_write_where_it_is(engine: Engine, tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> bytes:
        context.progress(1)
        (context.directory / "here").write_text("yes")
        return bytes(100_000)

    executor = BatchExecutor(engine, shared=True)
    begin(executor, tmp_path, experiment, 1)
    assert engine.run(engine.sent[0]).files == ()
    gathered = Gathered()
    reports = list(executor.wait(0))
    take(reports, INDICES, gathered)
    executor.close()
    assert any(isinstance(report, Advanced) for report in reports)
    assert gathered.outcomes[0].value.data is None
    assert len(list((tmp_path / "blobs").rglob("*.value"))) == 1
    assert [path.read_text() for path in (tmp_path / "artifacts").rglob("here")] == ["yes"]


def test_as_many_long_experiments_wait_at_the_engine_as_run_so_that_it_sees_a_queue(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    begin(executor, tmp_path, experiments.double, 10, pace=60.0)
    assert [len(batch.tasks) for batch in engine.sent] == [1, 1]
    engine.reach = 4  # workers were asked for that are not there yet
    executor.wait(0)
    assert executor.slots == 4
    assert [len(batch.tasks) for batch in engine.sent] == [1] * 8


def test_a_cluster_that_grows_is_sent_seconds_of_short_experiments(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    assert executor.ahead == 2.0
    begin(executor, tmp_path, experiments.double, 100, pace=0.3)
    assert len(engine.sent) == 2
    engine.grows = True
    executor.wait(0)
    assert len(engine.sent) == 40
    assert executor.ahead == 12.0


def test_what_no_worker_has_begun_is_never_to_blame(engine: Engine, executor: BatchExecutor, tmp_path: Path) -> None:
    begin(executor, tmp_path, experiments.double, 1)
    for _ in range(5):
        (batch,) = engine.sent
        engine.sent.clear()
        engine.hear(Heard(batch.number, Kind.UNBEGUN))
        assert list(executor.wait(0)) == []
    engine.run(engine.sent[0])
    gathered = Gathered()
    take(executor.wait(0), INDICES, gathered)
    assert gathered.values() == {0: 0}


def test_a_death_for_want_of_memory_is_retried_as_such(engine: Engine, executor: BatchExecutor, tmp_path: Path) -> None:
    begin(executor, tmp_path, experiments.double, 1)
    (batch,) = engine.sent
    engine.hear(Heard(batch.number, Kind.BEGUN, (key_of(0),)))
    engine.sent.clear()
    engine.hear(Heard(batch.number, Kind.DIED, Death("no memory was left", "memory")))
    (lost,) = [report for report in executor.wait(0) if isinstance(report, Lost)]
    assert (lost.failure.type, lost.failure.cause) == ("OutOfMemory", "memory")
    for granted, rule in (({"memory": 2, "killed": 1}, ("memory", 2)), ({"killed": 1, "node": 3}, ("killed", 1))):
        assert RetryPolicy(granted).rule_for(lost.failure) == rule


def test_the_end_of_a_batch_of_the_job_before_counts_for_nothing(
    engine: Engine, executor: BatchExecutor, tmp_path: Path
) -> None:
    begin(executor, tmp_path / "one", experiments.double, 3)
    before = [batch.number for batch in engine.sent]
    executor.stop()
    begin(executor, tmp_path / "two", experiments.triple, 3)
    assert not set(before) & {batch.number for batch in engine.sent}
