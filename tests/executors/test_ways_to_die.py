"""A broken experiment breaks only itself: every way to die, under every start method."""

from __future__ import annotations

import importlib
import os
import random
import resource
import signal
import socket
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy
import pytest

from memento.errors import OptionError, WorkerStartError
from memento.executors.processes.devices import DevicePool
from memento.executors.processes.executor import ProcessExecutor
from memento.executors.processes.messages import Kind, message
from memento.executors.processes.worker_handle import WorkerHandle
from memento.executors.processes.worker_pool import WorkerPool, usable_cpus
from memento.executors.processes.worker_process import read_spill, spill_path, write_spill
from memento.task import Status, Task
from tests.executors import experiments
from tests.executors.harness import Gathered, gather, key_of, make_job, run, until

# way → status, what the message says, what the traceback says; twelve more are tried in tests/faults
QUICK_DEATHS = [
    (experiments.unspeakable, Status.FAILED, "could not be made: RuntimeError", "in unspeakable"),
    (experiments.vanishes, Status.KILLED, "exit code 7", "in vanishes"),
    (experiments.is_killed, Status.KILLED, "SIGKILL (9)", "The line is not known; the experiment is"),
]


@pytest.mark.parametrize(("way", "status", "message", "traceback"), QUICK_DEATHS)
def test_a_death_that_leaves_no_time_is_told_of_as_well_as_can_be(
    way: Any, status: Status, message: str, traceback: str, tmp_path: Path
) -> None:
    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiments.at_five(way), 10)
    finally:
        executor.close()
    got = gathered.lost[5].status if 5 in gathered.lost else gathered.outcomes[5].status
    failure = gathered.failure(5)
    assert got is status
    assert message in failure.message
    assert traceback in failure.traceback
    assert f'File "{experiments.__file__}", line' in failure.traceback
    assert len(gathered.values()) == 9


def test_who_times_out_behind_a_short_experiment_is_not_run_twice(tmp_path: Path) -> None:
    """A worker tells of short experiments together; what it has finished is not what is overdue."""
    ran = tmp_path / "ran"

    def experiment(context: Any, config: Any) -> Any:
        if config["index"] == 7:
            with open(ran, "a") as file:
                file.write("7\n")
            time.sleep(1000)
        return config["index"]

    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiment, 20, timeout=0.5)
    finally:
        executor.close()
    assert gathered.lost[7].status is Status.TIMED_OUT
    assert len(gathered.values()) == 19
    assert ran.read_text() == "7\n"


def mask_and_limits() -> tuple[int, ...]:
    mask = os.umask(0o77)
    os.umask(mask)
    limits = (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)
    return (mask, *(resource.getrlimit(limit)[0] for limit in limits))


@pytest.mark.parametrize(
    "way",
    [experiments.leaves_a_thread, experiments.leaves_processes, experiments.changes_everything],
)
def test_what_an_experiment_leaves_behind_does_not_reach_the_next(way: Any, tmp_path: Path) -> None:
    here = os.getcwd()

    def experiment(context: Any, config: Any) -> Any:
        if config["index"] == 5:
            return way()
        print("still heard")
        return (
            os.getcwd(),
            os.environ.get("LD_SOMETHING"),
            signal.getsignal(signal.SIGTERM).name,
            "/nowhere" in os.sys.path + os.sys.argv,
            mask_and_limits(),
        )

    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiment, 10)
    finally:
        executor.close()
    values = gathered.values()
    assert values.pop(5) == "fine"
    assert set(values.values()) == {(here, None, "SIG_DFL", False, mask_and_limits())}
    assert gathered.outcomes[9].log.data == b"still heard\n"


@pytest.mark.parametrize("kind", [numpy.random.MT19937, numpy.random.PCG64])
def test_workers_that_are_forked_draw_other_random_numbers_than_one_another_and_their_parent(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = types.ModuleType("torch")
    torch.seed = lambda: setattr(torch, "seeded", os.getpid())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)

    def experiment(context: Any, config: Any) -> tuple[int, int, float, float]:
        (tmp_path / f"begun-{os.getpid()}").touch()
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)  # so that each is in a worker of its own
        return os.getpid(), sys.modules["torch"].seeded, numpy.random.rand(), random.random()

    before = numpy.random.get_bit_generator()
    numpy.random.set_bit_generator(kind(0))
    random.seed(0)
    executor = ProcessExecutor(2, start_method="fork")
    try:
        gathered = run(executor, tmp_path, experiment, 2)
        ours = os.getpid(), 0, numpy.random.rand(), random.random()
    finally:
        executor.close()
        numpy.random.set_bit_generator(before)
    one, another = gathered.values().values()
    assert one[0] == one[1]
    assert all(len(set(drawn)) == 3 for drawn in zip(one, another, ours, strict=True))


def test_a_child_that_comes_back_from_the_experiment_is_not_a_second_worker(tmp_path: Path) -> None:
    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiments.at_five(experiments.forks_and_returns), 10)
    finally:
        executor.close()
    assert gathered.values()[5] == "parent"
    assert len(gathered.seen) == 10


def test_a_killed_worker_loses_neither_its_log_nor_what_it_had_delivered(tmp_path: Path) -> None:
    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiments.at_five(experiments.hangs), 10, timeout=0.5)
    finally:
        executor.close()
    assert gathered.lost[5].log == b"about to hang\n"
    assert len(gathered.values()) == 9


def test_output_is_kept_wherever_it_comes_from(tmp_path: Path) -> None:
    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiments.at_five(experiments.prints_from_c), 7)
    finally:
        executor.close()
    log = (gathered.outcomes[5].log.data or b"").decode()
    for source in ("from python", "from logging", "from a shell", "from C"):
        assert source in log
    assert gathered.outcomes[6].log.size == 0


@pytest.mark.parametrize("way", [experiments.closes_its_output, experiments.redirects_its_output])
def test_the_next_experiment_prints_where_it_should_whatever_the_last_one_did_to_its_output(
    way: Any, tmp_path: Path
) -> None:
    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiments.printing(way), 8)
    finally:
        executor.close()
    assert [gathered.outcomes[number].log.data for number in (4, 6, 7)] == [b"number 4\n", b"number 6\n", b"number 7\n"]


def test_a_long_output_keeps_its_head_and_its_tail(tmp_path: Path) -> None:
    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiments.at_five(experiments.prints_a_lot), 6)
    finally:
        executor.close()
    log = (gathered.outcomes[5].log.data or b"").decode()
    assert len(log) < 66_000
    assert log.startswith("line 0\n")
    assert log.endswith("line 199999\n")
    assert "bytes left out" in log


def test_a_killed_supervisor_costs_the_running_experiments_and_no_others(tmp_path: Path) -> None:
    executor = ProcessExecutor(2)
    indices = {key_of(index): index for index in range(12)}
    try:
        executor.start(make_job(tmp_path, experiments.slow))
        executor.submit([Task(index=index, key=key_of(index)) for index in range(12)])
        gathered = gather(executor, indices, Gathered(), 2)
        os.kill(executor._pool._control._process.pid, signal.SIGKILL)
        gather(executor, indices, gathered, 12)
    finally:
        executor.close()
    assert len(gathered.lost) <= 2
    assert sorted(gathered.seen) == list(range(12))


def test_short_experiments_stuck_behind_a_long_one_are_run_elsewhere(tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> Any:
        if config["index"] == 400:
            time.sleep(1.5)
        return time.monotonic()

    executor = ProcessExecutor(2)
    try:
        gathered = run(executor, tmp_path, experiment, 800)
    finally:
        executor.close()
    ended = gathered.values()
    assert sum(value > ended[400] for value in ended.values()) <= 1


def test_a_timeout_blames_nobody_but_the_overdue(tmp_path: Path) -> None:
    """The overdue experiment may deliver between the signal and the kill; the next of its batch has no part in that."""

    def experiment(context: Any, config: Any) -> Any:
        if config["index"] == 1000:
            time.sleep(0.55)
        return config["index"]

    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiment, 2000, timeout=0.5)
    finally:
        executor.close()
    assert set(gathered.lost) <= {1000}
    assert len(gathered.seen) == 2000


def test_what_an_attempt_recorded_is_not_taken_for_that_of_another(tmp_path: Path) -> None:
    path = spill_path(tmp_path, "worker-1")
    write_spill(path, Task(0, key_of(0)), b"metrics")
    others = Task(0, key_of(0)), Task(0, key_of(0), attempt=2), Task(1, key_of(1))
    assert [read_spill(path, task) for task in others] == [b"metrics", b"", b""]


def test_a_worker_ended_for_a_timeout_has_lost_the_overdue_experiment_or_none(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    worker = WorkerHandle(number=1, name="worker-1", folder=tmp_path, channel=ours, shape=(1, None), ready=True)
    worker.ending, worker.overdue_key = Status.TIMED_OUT, key_of(0)
    worker.tasks.append(Task(1, key_of(1), timeout=5.0))
    assert worker.lost(-9) is None
    worker.tasks.appendleft(Task(0, key_of(0), timeout=5.0))
    lost = worker.lost(-9)
    assert lost is not None
    assert (lost.task.key, lost.status, list(worker.tasks)) == (
        key_of(0),
        Status.TIMED_OUT,
        [Task(1, key_of(1), timeout=5.0)],
    )
    for channel in (ours, theirs):
        channel.close()


def test_workers_are_replaced_after_so_many_experiments(tmp_path: Path) -> None:
    executor = ProcessExecutor(1, max_tasks_per_worker=3)
    try:
        gathered = run(executor, tmp_path, lambda context, config: os.getpid(), 10)
    finally:
        executor.close()
    pids = list(gathered.values().values())
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3, 1]


def test_an_experiment_that_cannot_be_loaded_ends_the_run_with_its_traceback(tmp_path: Path) -> None:
    executor = ProcessExecutor(1)
    try:
        with pytest.raises(WorkerStartError, match=r"workers cannot load the experiment: RuntimeError: exploded"):
            run(executor, tmp_path, _Unloadable(), 3)
    finally:
        executor.close()


class _Unloadable(experiments.Hollow):
    def __call__(self, context: Any, config: Any) -> None:
        return None


def test_threads_of_libraries_are_capped_to_the_workers_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # what is set stands, and an engine may have set it here
    executor = ProcessExecutor(2)
    try:
        gathered = run(executor, tmp_path, lambda context, config: os.environ["OMP_NUM_THREADS"], 2, cpus=2)
    finally:
        executor.close()
    assert set(gathered.values().values()) == {"2"}


def test_without_a_word_of_cpus_a_worker_gets_its_share_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, lambda context, config: os.environ["OMP_NUM_THREADS"], 1)
    finally:
        executor.close()
    assert gathered.values() == {0: str(usable_cpus())}


def test_twenty_twentieths_of_a_device_are_one_device() -> None:
    pool = DevicePool(["4", "7"])
    assert [pool.lease(0.05) for _ in range(20)] == [("4",)] * 20
    assert pool.lease(0.05) == ("7",)


def test_starts_that_fail_count_as_too_many_only_one_after_another(tmp_path: Path) -> None:
    pool = WorkerPool(2, method="spawn", environment={})
    ours, theirs = socket.socketpair()
    worker = WorkerHandle(number=1, name="worker-1", folder=tmp_path, channel=ours, shape=(1, None))
    for _ in range(3):
        pool.failed_start("it failed")
        pool.failed_start("it failed")
        theirs.sendall(message(Kind.READY))
        assert [kind for _, kind, _ in pool._heard(worker)] == [Kind.READY]
    for channel in (ours, theirs):
        channel.close()


def test_devices_are_leased_one_each_and_shared_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")

    def experiment(context: Any, config: Any) -> Any:
        began = time.monotonic()
        time.sleep(0.2)
        return os.environ["CUDA_VISIBLE_DEVICES"], began, time.monotonic()

    executor = ProcessExecutor(4)
    try:
        whole = run(executor, tmp_path / "whole", experiment, 6, gpus=1).values()
        executor.stop()
        half = run(executor, tmp_path / "half", experiment, 8, gpus=0.5).values()
    finally:
        executor.close()
    assert {device for device, _, _ in whole.values()} == {"4", "7"}
    assert _most_at_once(whole.values()) == 1
    assert _most_at_once(half.values()) == 2


READS_DEVICES = """
import os

SEEN = os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"]

def experiment(context, config):
    return SEEN
"""


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_devices_and_threads_are_set_before_the_users_imports(
    start_method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    module = f"reads_devices_{start_method}"
    (tmp_path / f"{module}.py").write_text(READS_DEVICES)
    monkeypatch.syspath_prepend(tmp_path)
    # Imported here too, with other variables, as the user's script has done.
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    experiment = importlib.import_module(module).experiment
    monkeypatch.delenv("OMP_NUM_THREADS")
    executor = ProcessExecutor(2, start_method=start_method)
    try:
        values = run(executor, tmp_path / "run", experiment, 6, gpus=1).values()
    finally:
        executor.close()
    assert {device for device, _ in values.values()} <= {"4", "7"}
    assert {threads for _, threads in values.values()} == {str(max(1, usable_cpus() // 2))}


def test_who_asks_for_no_device_sees_none_and_who_says_nothing_sees_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")

    def experiment(context: Any, config: Any) -> Any:
        return os.environ["CUDA_VISIBLE_DEVICES"]

    executor = ProcessExecutor(1)
    try:
        none = run(executor, tmp_path / "none", experiment, 1, gpus=0).values()
        executor.stop()
        silent = run(executor, tmp_path / "silent", experiment, 1).values()
        executor.stop()
        both = run(executor, tmp_path / "both", experiment, 1, gpus=2).values()
        with pytest.raises(OptionError, match="runtime asks for gpus=3 and this process may use 2"):
            executor.submit([Task(index=0, key=key_of(0), gpus=3)])
    finally:
        executor.close()
    assert (none, silent, both) == ({0: ""}, {0: "4,7"}, {0: "4,7"})


def _most_at_once(spans: Any) -> int:
    spans = list(spans)
    return max(
        sum(other == device and begin <= moment < end for other, begin, end in spans) for device, moment, _ in spans
    )
