"""What goes wrong around an experiment, in its worker or in the supervisor, costs no more than it must."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from memento import Memento
from memento.errors import WorkerStartError
from memento.executors.processes.executor import ProcessExecutor
from memento.executors.processes.proc import end_sessions, start_of
from memento.executors.serial import SerialExecutor
from memento.executors.threads import ThreadExecutor
from memento.layout import checkpoint_path
from memento.spool import SpoolWriter
from memento.task import Status, Task
from memento.worker import Worker
from tests.executors.harness import Gathered, gather, key_of, make_job, run, take, until


def test_a_disk_too_full_for_the_insurance_of_metrics_costs_neither_the_experiment_nor_its_worker(
    tmp_path: Path,
) -> None:
    def experiment(context: Any, config: Any) -> float | None:
        if config["index"] == 1:
            return None
        for spool in tmp_path.rglob("*.spool"):
            spool.with_suffix(".aside").symlink_to("/dev/full")
        context._spill_at = 0.0
        context.record({"loss": 1.0})  # which spills, because it is time
        context.record({"loss": 2.0})  # which does not
        after_record = context._spill_at
        context._spill_at = 0.0
        until = time.monotonic() + 10
        while not context._spill_at and time.monotonic() < until:  # the thread that hears the orchestrator does
            time.sleep(0.01)
        return min(after_record, context._spill_at)

    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiment, 2, patience=30)
    finally:
        executor.close()
    values = gathered.values()
    assert values[0] > 0
    assert gathered.outcomes[0].metrics.size > 0
    assert values[1] is None


def test_who_leaves_no_memory_for_what_it_recorded_fails_by_that_and_nobody_else_does(tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 1:
            print("still heard", flush=True)
            for step in range(400_000):
                context.record({"loss": float(step)})
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, used + 2**20))  # for good
        return config["index"]

    executor = ProcessExecutor(1, max_tasks_per_worker=2)  # whose next worker has the memory
    try:
        gathered = run(executor, tmp_path, experiment, 4)
    finally:
        executor.close()
    assert gathered.values() == {0: 0, 2: 2, 3: 3}
    assert gathered.outcomes[1].status is Status.FAILED
    failure = gathered.failure(1)
    assert (failure.type, failure.cause) == ("MemoryError", "memory")
    assert gathered.outcomes[1].log.data == b"still heard\n"


def test_workers_can_be_given_more_variables_than_fit_into_one_message(tmp_path: Path) -> None:
    executor = ProcessExecutor(1, environment={"LONG": 100_000 * "x"})
    try:
        gathered = run(executor, tmp_path, lambda context, config: len(os.environ["LONG"]), 2)
    finally:
        executor.close()
    assert gathered.values() == {0: 100_000, 1: 100_000}


def test_a_supervisor_that_is_killed_whenever_it_comes_is_told_of_as_that(tmp_path: Path) -> None:
    executor = ProcessExecutor(1)
    start = executor._pool._start_control

    def start_and_kill() -> None:
        start()
        os.kill(executor._pool._control._process.pid, signal.SIGKILL)

    executor._pool._start_control = start_and_kill
    try:
        with pytest.raises(WorkerStartError, match="the supervisor of the workers was killed, 3 times in a row"):
            Memento(lambda x: x, executor=executor).run({"parameters": {"x": [1]}}, progress=False)
    finally:
        executor.close()


@pytest.mark.parametrize("refused", [range(2, 3), range(2, 100)], ids=["once", "for good"])
def test_a_worker_that_cannot_be_made_costs_none_of_those_that_there_are(
    refused: range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_forks(monkeypatch, refused)

    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 0:
            until((tmp_path / "another").exists)  # so that a second worker is wanted, and made only if that can be
        elif config["index"] == 1:
            (tmp_path / "another").touch()
        return os.getpid()

    executor = ProcessExecutor(2, start_method="fork")
    monkeypatch.setattr("memento.executors.processes.worker_pool.PAUSE", 0.05)
    indices = {key_of(index): index for index in range(4)}
    try:
        executor.start(make_job(tmp_path, experiment))
        executor.submit([Task(index=index, key=key) for key, index in indices.items()])
        gathered = Gathered()
        if len(refused) > 1:
            until(lambda: take(executor.wait(0.05), indices, gathered) or executor._pool._paused_until)
            (tmp_path / "another").touch()
        gather(executor, indices, gathered, 4)
    finally:
        executor.close()
    assert not gathered.lost
    assert len(set(gathered.values().values())) == (2 if len(refused) == 1 else 1)
    assert sorted(gathered.values()) == [0, 1, 2, 3]


def test_a_run_for_which_no_worker_can_be_made_ends_by_what_the_system_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_forks(monkeypatch, range(1, 100))
    monkeypatch.setattr("memento.executors.processes.worker_pool.PAUSE", 0.05)
    executor = ProcessExecutor(2, start_method="fork")
    said = r"no worker process could be made: \[Errno 11\] Resource temporarily unavailable \(.*\), 3 times in a row"
    try:
        with pytest.raises(WorkerStartError, match=said):
            run(executor, tmp_path, lambda context, config: 1, 4)
    finally:
        executor.close()


def refuse_forks(monkeypatch: pytest.MonkeyPatch, refused: range) -> None:
    """Have those of the forks in a supervisor that are `refused`, counted from 1, fail as at a limit."""
    fork, here, made = os.fork, os.getpid(), [0]

    def limited() -> int:
        if os.getpid() != here:
            made[0] += 1
            if made[0] in refused:
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", limited)


def test_a_worker_that_has_done_its_share_is_replaced_also_when_it_gives_its_last_task_back(tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 1:
            # It is told of as finished and the next, which it has by then, is not begun: a moment made long.
            Worker.finish = lambda worker, outcome: time.sleep(1000)
        return config["index"]

    executor = ProcessExecutor(1, max_tasks_per_worker=3)
    indices = {key_of(index): index for index in range(4)}
    try:
        executor.start(make_job(tmp_path, experiment))
        executor.submit([Task(index=index, key=key) for key, index in indices.items()])
        gathered = gather(executor, indices, Gathered(), 2)
        (worker,) = executor._pool.workers.values()
        assert [task.index for task in worker.tasks] == [2]
        worker.withdraw()
        gather(executor, indices, gathered, 4, patience=20)
    finally:
        executor.close()
    assert gathered.values() == {0: 0, 1: 1, 2: 2, 3: 3}


def test_a_checkpoint_that_cannot_be_removed_after_a_success_costs_nothing(tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 1:
            checkpoint_path(tmp_path, key_of(1)).mkdir(parents=True)
        return config["index"]

    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiment, 4)
    finally:
        executor.close()
    assert gathered.values() == {0: 0, 1: 1, 2: 2, 3: 3}
    assert sorted(gathered.seen) == [0, 1, 2, 3]


def closes_everything() -> None:
    os.closerange(3, 256)


def closes_everything_and_goes_on() -> None:
    os.closerange(3, 256)
    time.sleep(20)


def closes_its_output_file() -> None:
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and os.path.realpath(f"/proc/self/fd/{descriptor}").endswith(".out"):
            os.close(descriptor)


@pytest.mark.parametrize("way", [closes_everything, closes_everything_and_goes_on, closes_its_output_file])
def test_who_closes_files_that_are_not_its_own_is_told_so_and_others_run_elsewhere(way: Any, tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 5:
            way()
        return config["index"]

    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiment, 10)
    finally:
        executor.close()
    assert sorted(gathered.values()) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    failure = gathered.failure(5)
    assert (failure.type, failure.cause) == ("WorkerBroken", "exit")
    assert failure.message == (
        "the experiment's process could not go on: OSError: [Errno 9] Bad file descriptor; has it closed files that "
        "are not its own, as os.closerange does?"
    )
    assert f'File "{__file__}", line' in failure.traceback


def test_who_leaves_no_file_to_be_opened_for_its_result_costs_its_worker_and_not_the_run(tmp_path: Path) -> None:
    kept = []

    def experiment(context: Any, config: Any) -> Any:
        if config["index"] != 3:
            return config["index"]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        with contextlib.suppress(OSError):
            while True:
                kept.append(open(os.devnull))  # noqa: SIM115 - that is the fault
        return bytes(200_000)

    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiment, 10)
    finally:
        executor.close()
    assert sorted(gathered.values()) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    failure = gathered.failure(3)
    assert (failure.type, failure.cause) == ("WorkerBroken", "exit")
    assert failure.message.startswith(
        "the experiment's process could not go on: OSError: [Errno 24] Too many open files: "
    )
    assert failure.message.endswith("; has it, or have those that ran in the process before it, left files open?")


def test_a_thread_that_cannot_make_its_spool_ends_the_run_by_what_the_disk_said(tmp_path: Path) -> None:
    job = make_job(tmp_path, lambda context, config: None)
    (tmp_path / "spool" / "thread-1.spool").mkdir()
    executor = ThreadExecutor(2)
    try:
        executor.start(job)
        executor.submit([Task(index=0, key=key_of(0))])
        with pytest.raises(IsADirectoryError, match=r"thread-1\.spool"):
            gather(executor, {key_of(0): 0}, Gathered(), 2)
    finally:
        executor.close()


def test_what_a_run_here_that_ended_by_an_error_had_still_to_tell_is_not_told_to_the_next(tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> bytes:
        context.progress(1, 2)
        return bytes(200_000)

    job = make_job(tmp_path / "one", experiment)
    (tmp_path / "one" / "blobs").touch()  # where the folder of large results belongs
    executor = SerialExecutor()
    try:
        executor.start(job)
        executor.submit([Task(index=index, key=key_of(index)) for index in range(2)])
        with pytest.raises(OSError):  # noqa: PT011 - what is said depends on the machine
            gather(executor, {key_of(0): 0}, Gathered(), 1)
        executor.start(make_job(tmp_path / "two", experiment))
        assert list(executor.wait(0)) == []
        assert list(executor.stop()) == []
    finally:
        executor.close()


def test_a_spool_that_cannot_be_begun_is_not_taken_for_one_that_is_written_to(tmp_path: Path) -> None:
    spool = tmp_path / "full.spool"
    spool.symlink_to("/dev/full")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError):  # noqa: PT011 - what is said depends on the machine
        SpoolWriter(spool)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_raised_in_a_worker_that_has_loaded_the_experiment_is_not_told_as_a_failed_load(tmp_path: Path) -> None:
    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 1:
            Worker.run = None
        return config["index"]

    executor = ProcessExecutor(1)
    try:
        gathered = run(executor, tmp_path, experiment, 5)
    finally:
        executor.close()
    assert gathered.values() == {0: 0, 1: 1, 3: 3, 4: 4}
    assert gathered.failure(2).message == (
        "the experiment's process could not go on: TypeError: 'NoneType' object is not callable"
    )


@pytest.mark.parametrize("start_method", ["forkserver", "spawn", "fork"])
@pytest.mark.parametrize("ends", ["the run goes on", "it is closed at once"])
def test_what_an_experiment_has_started_ends_also_when_the_supervisor_is_killed(
    start_method: str, ends: str, tmp_path: Path
) -> None:
    started = tmp_path / "started"

    def experiment(context: Any, config: Any) -> int:
        if config["index"] == 0:
            processes = [subprocess.Popen(["sleep", "1000"], process_group=group) for group in (None, 0)]
            started.with_suffix(".new").write_text(" ".join(str(process.pid) for process in processes))
            started.with_suffix(".new").rename(started)
            time.sleep(1000)
        return config["index"]

    executor = ProcessExecutor(1, start_method=start_method)
    indices = {key_of(index): index for index in range(2)}
    try:
        executor.start(make_job(tmp_path, experiment))
        executor.submit([Task(index=index, key=key) for key, index in indices.items()])
        while not started.exists():
            executor.wait(0.05)
        process = executor._pool._control._process
        os.kill(process if isinstance(process, int) else process.pid, signal.SIGKILL)
        if ends == "the run goes on":
            assert gather(executor, indices, Gathered(), 2).values() == {1: 1}
    finally:
        executor.close()
    for number in started.read_text().split():
        assert not has_not_ended(number), "it has outlived its executor"


def has_not_ended(number: str) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_session_whose_number_belongs_to_somebody_else_by_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as process:
        end_sessions({process.pid: start_of(process.pid) - 1})
        assert process.poll() is None
        end_sessions({process.pid: start_of(process.pid)})
        assert process.wait() == -signal.SIGKILL
