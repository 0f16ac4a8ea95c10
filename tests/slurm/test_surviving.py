"""What survives: the submitter killed, a node gone, a job cancelled, a time limit, too little memory."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from memento import AggregateException, Memento, SlurmExecutor, Status
from tests.slurm.cluster import Script, crash, executed, jobs, nodes, require_native, restore, running, slurm, until

MATRIX = {"parameters": {"n": list(range(500))}}

SUBMITTER = """
import json, os, time
from memento import Memento, SlurmExecutor

def experiment(context, config):
    with open(f"{os.getpid()}.begun", "a") as file:
        file.write(f"{config.n}\\n")
    time.sleep(0.2)
    return config.n**2

matrix = {"parameters": {"n": list(range(500))}}
results = Memento(experiment, executor=SlurmExecutor(pack=25)).run(matrix)
print(json.dumps([result.inner for result in results]))
"""


def test_a_killed_submitter_loses_nothing_and_nothing_is_run_twice(tmp_path: Path) -> None:
    first = Script(tmp_path, SUBMITTER)
    until(lambda: {job.node for job in running()} == set(nodes()))
    until(lambda: executed(tmp_path).total() > 200, 120)
    first.kill()
    before = {job.job for job in jobs()}

    values = Script(tmp_path, SUBMITTER, host="login2").answer()  # another login node of the cluster

    assert values == [n**2 for n in range(500)]
    assert executed(tmp_path) == {str(n): 1 for n in range(500)}
    assert {job.job for job in jobs()} <= before


def test_what_finished_while_nobody_looked_is_taken_in_without_a_job(tmp_path: Path) -> None:
    first = Script(tmp_path, SUBMITTER)
    until(lambda: executed(tmp_path).total() > 100, 120)
    first.kill()
    until(lambda: not jobs(), 120)

    assert Script(tmp_path, SUBMITTER).answer() == [n**2 for n in range(500)]
    assert executed(tmp_path) == {str(n): 1 for n in range(500)}
    assert not list((tmp_path / "store" / "spool").iterdir())


def waits(context: Any, config: Any) -> Any:
    with open(f"{config.folder}/{config.n}.begun", "a") as file:
        file.write(f"{config.n}\n")
    while not Path(config.folder, "go").exists():
        time.sleep(0.1)
    return config.n


def matrix(folder: Path, count: int) -> dict[str, Any]:
    return {"parameters": {"n": list(range(count)), "folder": [str(folder)]}}


def test_jobs_of_a_node_that_stops_run_elsewhere(tmp_path: Path) -> None:
    require_native()
    asked = matrix(tmp_path, 9)
    node = nodes()[1]
    memento = Memento(waits, executor=SlurmExecutor(pack=1))
    assert memento.run(asked, wait=False) is not None
    lost = until(lambda: len(running()) == 9 and [job for job in running() if job.node == node])
    until(lambda: executed(tmp_path).total() == 9)

    crash(node)
    (tmp_path / "go").touch()
    try:
        results = memento.run(asked)
    finally:
        restore()

    assert results is not None
    assert [result.inner for result in results] == list(range(9))
    begun = executed(tmp_path)
    assert begun.total() == 9 + len(lost)
    again = [result for result in results if begun[str(result.inner)] == 2]
    for result in again:
        assert [attempt.status for attempt in result.attempts] == [Status.KILLED, Status.SUCCEEDED]
        assert f"on {node}, which failed or was taken away; it goes on in the next" in result.attempts[0].error.message


def test_a_cancelled_job_cancels_its_configurations_and_they_run_the_next_time(tmp_path: Path) -> None:
    asked = matrix(tmp_path, 3)
    memento = Memento(waits, executor=SlurmExecutor(pack=1))
    memento.run(asked, wait=False)
    until(lambda: executed(tmp_path).total() == 3)
    victim = next(job for job in running() if job.index == 1)
    slurm("scancel", f"{victim.job}_1")
    until(lambda: len(jobs()) == 2)  # until then it might end as the others do
    (tmp_path / "go").touch()

    results = memento.run(asked, on_error="return")

    assert results is not None
    assert [result.status for result in results] == [Status.SUCCEEDED, Status.CANCELLED, Status.SUCCEEDED]
    assert f"its Slurm job {victim.job}_1 on {victim.node} was cancelled (CANCELLED" in results[1].error.message
    again = memento.run(asked)
    assert again is not None
    assert [result.inner for result in again] == [0, 1, 2]
    assert executed(tmp_path) == {"0": 1, "1": 2, "2": 1}


def hungry(context: Any, config: Any) -> int:
    print(f"attempt {context.attempt}")
    return len(bytearray(config.megabytes * 1024 * 1024))


def test_too_much_memory_is_tried_again_with_more() -> None:
    memento = Memento(hungry, executor=SlurmExecutor())
    asked = {"parameters": {"megabytes": [10, 500]}, "runtime": {"memory": "250M"}}

    results = memento.run(asked, retries={"memory": 2})

    assert results is not None
    assert [result.inner for result in results] == [10 * 1024 * 1024, 500 * 1024 * 1024]
    attempts = results[1].attempts
    assert [attempt.status for attempt in attempts] == [Status.KILLED, Status.KILLED, Status.SUCCEEDED]
    assert attempts[0].error.cause == "memory"
    assert attempts[0].error.type == "OutOfMemory"


def test_memory_grows_from_run_to_run_where_nobody_waits_for_them() -> None:
    memento = Memento(hungry, executor=SlurmExecutor())
    asked = {"parameters": {"megabytes": [400]}, "runtime": {"memory": "250M"}}
    assert memento.run(asked, retries={"memory": 1}, on_error="return", wait=False) is not None
    until(lambda: not jobs())

    results = memento.run(asked, retries={"memory": 1})

    assert results is not None
    assert [attempt.status for attempt in results[0].attempts] == [Status.SUCCEEDED]


def test_too_much_memory_is_a_failure_that_says_so() -> None:
    with pytest.raises(AggregateException) as raised:
        Memento(hungry, executor=SlurmExecutor(memory="250M")).run({"parameters": {"megabytes": [500]}})
    assert raised.value.results is not None
    failure = raised.value.results[0].error
    assert failure.cause == "memory"
    assert "used more memory than" in failure.message


def patient(context: Any, config: Any) -> Any:
    state = context.restore(default={"step": 0, "attempts": []})
    state["attempts"].append(context.attempt)
    while state["step"] < config.steps:
        if context.should_stop and config.heeds:
            context.checkpoint(state)
            raise TimeoutError("stopped in time")
        time.sleep(1)
        state["step"] += 1
        if not config.heeds:
            context.checkpoint(state)
    return state["attempts"]


def test_what_outlives_its_time_limit_goes_on_from_its_checkpoints() -> None:
    asked = {"parameters": {"steps": [70], "heeds": [True, False]}, "runtime": {"time": "00:01:00"}}

    results = Memento(patient, executor=SlurmExecutor(pack=1)).run(asked)

    assert results is not None
    assert [result.inner for result in results] == [[1, 2], [1, 2]]
    first = results[0].attempts[0].error
    assert first.cause == "requeued"
    assert "having said TimeoutError: stopped in time; it goes on in the next" in first.message


def idle(context: Any, config: Any) -> None:
    while not context.should_stop:
        time.sleep(0.2)
    raise TimeoutError("no progress")


def test_what_makes_no_progress_between_two_requeues_fails(store_path: Path) -> None:
    def warn() -> None:
        for turn in (1, 2):
            logs = f"spool/*/1-0.{turn}.log"
            until(lambda logs=logs: any("begun" in log.read_text() for log in store_path.glob(logs)), 120)
            (job,) = running()
            slurm("scancel", "--signal=USR1", "--batch", f"{job.job}_{job.index}")

    warner = threading.Thread(target=warn)
    warner.start()
    results = Memento(idle, executor=SlurmExecutor(time=60)).run({"parameters": {"n": [1]}}, on_error="return")
    warner.join()

    assert results is not None
    assert results[0].status is Status.TIMED_OUT
    assert "it made no checkpoint since the job was requeued before" in results[0].error.message
    assert results[0].error.cause == "timeout"
    assert len(results[0].attempts) == 2


INTERRUPTED = """
import json, os, sys, time
from memento import Memento, SlurmExecutor

def experiment(context, config):
    open(f"{config.n}.begun", "a").write(f"{config.n}\\n")
    while not os.path.exists("go"):
        time.sleep(0.1)
    return config.n

matrix = {"parameters": {"n": [1, 2]}}
results = Memento(experiment, executor=SlurmExecutor(pack=1, cancel=CANCEL)).run(matrix)
print(json.dumps([result.inner for result in results]))
"""
LEAVING, CANCELLING = INTERRUPTED.replace("CANCEL", "False"), INTERRUPTED.replace("CANCEL", "True")


def test_ctrl_c_leaves_the_jobs_running_and_says_so(tmp_path: Path) -> None:
    script = Script(tmp_path, LEAVING)
    until(lambda: executed(tmp_path).total() == 2)
    script.process.send_signal(signal.SIGINT)
    _, said = script.process.communicate(timeout=30)
    assert script.process.returncode == -signal.SIGINT
    assert "2 configurations go on in 2 Slurm jobs" in said
    assert len(jobs()) == 2

    (tmp_path / "go").touch()
    assert Script(tmp_path, LEAVING).answer() == [1, 2]
    assert executed(tmp_path) == {"1": 1, "2": 1}


def test_a_second_ctrl_c_cancels_exactly_the_jobs_of_this_run(tmp_path: Path) -> None:
    other = slurm("sbatch", "--parsable", "--comment=memento:00:1", "--output=/dev/null", "--wrap=sleep 100").strip()
    script = Script(tmp_path, LEAVING)
    until(lambda: executed(tmp_path).total() == 2)
    script.process.send_signal(signal.SIGINT)
    script.hear("a second Ctrl-C within")
    script.process.send_signal(signal.SIGINT)
    script.process.communicate(timeout=60)
    (tmp_path / "go").touch()

    assert [job.job for job in jobs()] == [other]
    assert Script(tmp_path, LEAVING).answer() == [1, 2]
    assert executed(tmp_path) == {"1": 2, "2": 2}


def test_one_ctrl_c_cancels_where_that_is_wanted(tmp_path: Path) -> None:
    script = Script(tmp_path, CANCELLING)
    until(lambda: executed(tmp_path).total() == 2)
    script.process.send_signal(signal.SIGINT)
    script.process.communicate(timeout=60)
    (tmp_path / "go").touch()

    assert not jobs()
    assert Script(tmp_path, CANCELLING).answer() == [1, 2]
    assert executed(tmp_path) == {"1": 2, "2": 2}
