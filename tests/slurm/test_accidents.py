"""Accidents of the cluster itself: a node's daemon that dies alone, a controller that is gone, two runs at once."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from memento import Memento, SlurmError, SlurmExecutor, Status
from memento.executors.slurm.commands import JobState, queue
from tests.slurm.cluster import (
    Script,
    crash,
    executed,
    hide,
    jobs,
    nodes,
    require,
    require_native,
    restore,
    running,
    slurm,
    until,
)


def long(context: Any, config: Any) -> Any:
    with open(f"{config.folder}/{config.n}-{context.attempt}.begun", "a") as file:
        file.write(f"{config.n}\n")
    until_then = time.monotonic() + config.seconds
    while time.monotonic() < until_then:
        time.sleep(0.1)
    with open(f"{config.folder}/ended", "a") as file:
        file.write(f"{context.attempt}\n")
    return context.attempt


def matrix(folder: Path, seconds: float) -> dict[str, Any]:
    return {"parameters": {"n": [1], "folder": [str(folder)], "seconds": [seconds]}}


def twice(context: Any, config: Any) -> Any:
    folder = Path(config.folder)
    (folder / f"{context.attempt}.begun").write_text("begun\n")
    while not (folder / "2.begun").exists():
        time.sleep(0.1)
    time.sleep(10 if context.attempt == 1 else 20)  # the first would end before the second
    with open(folder / "ended", "a") as file:
        file.write(f"{context.attempt}\n")
    return context.attempt


def test_of_two_copies_only_the_one_that_holds_the_claim_delivers(tmp_path: Path) -> None:
    require_native()
    asked = {"parameters": {"folder": [str(tmp_path)]}}
    memento = Memento(twice, executor=SlurmExecutor())
    memento.run(asked, wait=False)
    until(lambda: executed(tmp_path).total() == 1)
    (job,) = running()
    crash("--daemon", job.node)  # what it runs lives on, unseen, and Slurm will run it again
    try:
        until(lambda: executed(tmp_path).total() == 2, 120)
        results = memento.run(asked)
    finally:
        restore()

    assert results is not None
    assert results[0].inner == 2
    assert [attempt.status for attempt in results[0].attempts] == [Status.KILLED, Status.SUCCEEDED]
    assert (tmp_path / "ended").read_text() == "2\n"


def test_a_controller_that_is_gone_keeps_no_result_from_arriving(tmp_path: Path) -> None:
    require_native()
    memento = Memento(long, executor=SlurmExecutor())
    memento.run(matrix(tmp_path, 6), wait=False)
    until(lambda: executed(tmp_path).total() == 1)
    (job,) = running()
    controller = Path(os.environ["CLUSTER"]) / "run" / "slurmctld.pid"
    os.kill(int(controller.read_text()), signal.SIGKILL)
    try:
        results = memento.run(matrix(tmp_path, 6))
    finally:
        # The new controller may have forgotten the job and hand out its id again, which its node would take amiss.
        crash("--daemon", job.node)
        restore()

    assert results is not None
    assert results[0].inner == 1


def goes_on(context: Any, config: Any) -> Any:
    state = context.restore(default=[])
    context.checkpoint([*state, os.environ["SLURMD_NODENAME"]])
    Path(config.folder, f"{context.attempt}.begun").touch()
    while not state:  # for ever, the first time
        time.sleep(0.1)
    return state


def test_a_job_whose_place_another_takes_goes_on_from_its_checkpoint_at_no_cost(tmp_path: Path) -> None:
    partitions = slurm("sinfo", "--noheader", "--format=%R").split()
    require("urgent" in partitions, "partition called urgent, whose jobs take the place of others")
    asked = {"parameters": {"folder": [str(tmp_path)]}}
    memento = Memento(goes_on, executor="slurm")
    memento.run(asked, wait=False)
    until(lambda: (tmp_path / "1.begun").exists())
    (job,) = running()
    urgent = ("--partition=urgent", f"--nodelist={job.node}", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
    slurm("sbatch", "--parsable", *urgent)

    results = memento.run(asked)

    assert results is not None
    assert results[0].inner == [job.node]
    first, second = results[0].attempts
    assert (first.status, second.status) == (Status.KILLED, Status.SUCCEEDED)
    assert first.error.cause == "requeued"
    assert first.host == f"{job.node}, job {job.job}_0"
    assert f"on {job.node}, which failed or was taken away; it goes on in the next" in first.error.message


def test_a_node_that_stops_each_time_fails_what_it_ran_when_its_attempts_are_used_up(tmp_path: Path) -> None:
    require_native()
    asked = matrix(tmp_path, 300)
    memento = Memento(long, executor=SlurmExecutor(max_requeues=0))
    stopped: list[str] = []

    def stop_nodes() -> None:
        for turn in (1, 2):
            until(lambda turn=turn: (tmp_path / f"1-{turn}.begun").exists(), 120)
            (job,) = running()
            stopped.append(f"{job.node}, job {job.job}_0")
            crash(job.node)
            slurm("scontrol", "update", f"nodename={job.node}", "state=down", "reason=stopped")  # half a minute sooner

    stopping = threading.Thread(target=stop_nodes)
    stopping.start()
    try:
        results = memento.run(asked, retries={"node": 1}, on_error="return")
    finally:
        stopping.join()
        restore()

    assert results is not None
    assert [attempt.host for attempt in results[0].attempts] == stopped
    assert [attempt.error.cause for attempt in results[0].attempts] == ["node", "node"]
    assert results[0].error.type == "NodeFailed"
    node = stopped[1].partition(",")[0]
    assert f"on {node}, which failed or was taken away; its job was requeued 0 times" in results[0].error.message


AT_ONCE = """
import json, time
from memento import Memento, SlurmExecutor

def experiment(context, config):
    open(f"{config.n}.begun", "a").write(f"{config.n}\\n")
    time.sleep(1)
    return config.n

matrix = {"parameters": {"n": list(range(20))}}
results = Memento(experiment, executor=SlurmExecutor(pack=4)).run(matrix)
print(json.dumps([result.inner for result in results]))
"""


def test_two_runs_at_once_on_two_login_nodes_share_the_work(tmp_path: Path) -> None:
    first, second = Script(tmp_path, AT_ONCE), Script(tmp_path, AT_ONCE, host="login2")

    assert first.answer() == list(range(20))
    assert second.answer() == list(range(20))
    assert executed(tmp_path) == {str(n): 1 for n in range(20)}
    assert until(lambda: not jobs())


def test_another_executor_takes_in_what_jobs_deliver(tmp_path: Path) -> None:
    Memento(long, executor=SlurmExecutor()).run(matrix(tmp_path, 4), wait=False)

    results = Memento(long, num_workers=1).run(matrix(tmp_path, 4))

    assert results is not None
    assert results[0].inner == 1
    assert executed(tmp_path) == {"1": 1}


def test_jobs_that_squeue_has_forgotten_are_known_by_what_they_left_behind_or_lost(tmp_path: Path) -> None:
    require_native()
    if int(os.environ.get("REMEMBERED", "300")) > 30:
        pytest.skip("squeue remembers too long here; native/test starts a cluster whose memory is short")
    asked = {"parameters": {"n": [1, 2], "folder": [str(tmp_path)], "seconds": [300]}}
    memento = Memento(long, executor=SlurmExecutor(pack=1, grace=5))
    memento.run(asked, wait=False)
    until(lambda: executed(tmp_path).total() == 2)
    cancelled, killed = sorted(running(), key=lambda job: job.index or 0)
    slurm("scancel", f"{cancelled.job}_{cancelled.index}")
    os.kill(leader_of(killed), signal.SIGKILL)
    until(lambda: (answer := queue()) is not None and all(one.job != killed.job for one in answer), 150)

    results = memento.run(asked, on_error="return")

    assert results is not None
    assert results[0].status is Status.CANCELLED
    assert f"its Slurm job {cancelled.job}_0 on {cancelled.node} was cancelled" in results[0].error.message
    named = f"its Slurm job {killed.job}_1 on {killed.node} "
    if os.environ["ACCOUNTING"] == "yes":
        assert results[1].error.cause == "killed"
        assert f"{named}ended before the experiment did (FAILED, exit 0:9)" in results[1].error.message
    else:
        assert results[1].error.cause == "node"
        assert f"{named}is known neither to squeue nor to sacct any more" in results[1].error.message


@pytest.mark.parametrize("output", [None, "/dev/null"])
def test_a_store_that_nodes_do_not_see_is_named_by_the_first_job(store_path: Path, output: str | None) -> None:
    require_native()
    node = nodes()[-1]
    hide(node, store_path)
    runtime = {"slurm": {"nodelist": node}, **({} if output is None else {"output": output})}
    try:
        with pytest.raises(SlurmError) as raised:
            Memento(long, executor="slurm").run({**matrix(store_path, 1), "runtime": runtime})
    finally:
        crash("--daemon", node)
        restore()

    assert f"on {node}) ended before it could begin anything: the node {node} does not see" in str(raised.value)
    assert str(raised.value).endswith(
        f" the store {store_path}; put it where they do: cache_path=, or MEMENTO_CACHE_PATH"
    )
    assert until(lambda: not jobs())


def leader_of(job: JobState) -> int:
    """Return the process that leads `job`, which is one of this machine's own."""
    (log,) = (Path(os.environ["MEMENTO_CACHE_PATH"]) / "spool").glob(f"*/1-{job.index}.1.log")
    return int(json.loads(log.read_text().splitlines()[0])["pid"])
