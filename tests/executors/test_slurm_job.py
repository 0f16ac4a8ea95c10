"""What the process in a Slurm job decides by itself: when to stop, what was killed for memory, what is left to run."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import pickle
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memento.executors.elsewhere.orders import Order
from memento.executors.elsewhere.scratch import Scratch
from memento.executors.elsewhere.sealed import seal, sealed_job
from memento.executors.slurm import commands
from memento.executors.slurm.batch import JOB, STOP, Batch, give_order, order_in
from memento.executors.slurm.incarnation import Incarnation, read_log
from memento.executors.slurm.memory import granted, kills, of_one
from memento.executors.slurm.part_run import PartRun
from memento.executors.slurm.shutdown import Shutdown
from memento.executors.slurm.snapshot import with_unloaded
from memento.heads import unpack_head
from memento.layout import checkpoint_path
from memento.sources import Source, read_source
from memento.spool import read_frames
from memento.task import Failure, Outcome, Status, Task
from tests.executors.harness import key_of, make_job

RUN = bytes(8)


def ending(monkeypatch: pytest.MonkeyPatch, *, left: float | None, warning: float) -> Shutdown:
    """Return what knows that so many seconds are left (None: nothing is known)."""
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    said = None if left is None else str(int(time.time() + left))
    monkeypatch.setattr(commands, "field_of_job", lambda job, name: said)
    made = Shutdown()
    made.know_the_end("7_0", warning)
    return made


def test_a_job_stops_so_long_before_its_end_as_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending(monkeypatch, left=50, warning=60).is_due()
    assert not ending(monkeypatch, left=70, warning=60).is_due()
    assert not ending(monkeypatch, left=None, warning=60).is_due()


@pytest.mark.parametrize(("left", "obeyed"), [(3000.0, True), (100.0, False), (50.0, True), (None, True)])
def test_a_warning_is_obeyed_unless_slurm_only_sent_it_too_early(
    monkeypatch: pytest.MonkeyPatch, left: float | None, obeyed: bool
) -> None:
    made = ending(monkeypatch, left=left, warning=60)
    made._warn(signal.SIGUSR1, None)
    assert made.is_due() is obeyed


def test_the_end_that_somebody_wants_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float | None] = []
    made = ending(monkeypatch, left=None, warning=60)
    made.when_terminated(told.append)
    assert told == []
    made._terminate(signal.SIGTERM, None)
    made._terminate(signal.SIGTERM, None)
    assert told == [None]
    made.when_terminated(told.append)  # whoever comes late is told as well
    assert told == [None, None]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("4:memory:/slurm_node1/uid_0/job_3/step_batch/task_0", "memory/slurm_node1/uid_0/job_3/step_batch/task_0"),
        ("0::/system.slice/slurmstepd.scope/job_3/step_batch", "system.slice/slurmstepd.scope/job_3/step_batch"),
    ],
)
def test_kills_for_memory_are_read_from_both_kinds_of_control_groups(tmp_path: Path, line: str, place: str) -> None:
    name = "memory.oom_control" if line.startswith("4") else "memory.events"
    for folder, count in (
        (tmp_path / place, 2),
        ((tmp_path / place).parent, 1),
        (tmp_path / place.split("/job_")[0], 9),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"low 0\noom_kill {count}\n")
    (tmp_path / "own").write_text(f"1:name=systemd:/\n{line}\n")
    assert kills(tmp_path, tmp_path / "own") == 3
    assert kills(tmp_path, tmp_path / "missing") == 0


def test_memory_that_was_not_asked_for_is_known_from_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "200")
    assert granted() == 200 * 1024 * 1024
    monkeypatch.delenv("SLURM_MEM_PER_CPU")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1000")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert granted() == 250 * 1024 * 1024


def test_what_each_of_several_experiments_has_of_it_does_not_depend_on_cpus_that_nobody_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1000")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "4")
    assert of_one(2) == 500 * 1024 * 1024
    monkeypatch.delenv("SLURM_MEM_PER_NODE")
    assert of_one(2) is None


def part_of(folder: Path, *, requeues: int = 100) -> tuple[PartRun, Incarnation]:
    tasks = [Task(index=index, key=key_of(index)) for index in range(3)]
    batch = Batch(run=RUN, number=1, parts=[tasks], requeues=requeues)
    process = Incarnation(folder, 1, 0)
    return PartRun(batch, tasks, process, store=folder, node="node1", job="7_0"), process


def delivered(folder: Path, number: int) -> list[tuple[int, int, str]]:
    """Return what the process `number` delivered: of which configuration, which attempt, and its cause."""
    frames, _ = read_frames(folder / f"1-0.{number}.spool")
    outcomes = [unpack_head(*frame) for frame in frames]
    index = {key_of(number): number for number in range(3)}
    return [(index[one.key], one.attempt, one.failure.cause if one.failure else "") for one in outcomes]


def succeed(part: PartRun, index: int) -> None:
    task = part.open[key_of(index)]
    part.begin(task)
    part.finish(Outcome(key=task.key, run=RUN, attempt=task.attempt, status=Status.SUCCEEDED, started=1.0, runtime=1.0))


def test_a_successor_runs_what_is_left_beginning_with_what_was_interrupted(tmp_path: Path) -> None:
    first, _ = part_of(tmp_path)
    succeed(first, 0)
    first.begin(first.open[key_of(2)])
    first.end([key_of(2)])
    assert first.flush(now=True)
    assert delivered(tmp_path, 1) == [(0, 1, ""), (2, 1, "requeued")]
    second, _ = part_of(tmp_path)
    assert [(task.index, task.attempt) for task in second.in_order()] == [(2, 2), (1, 1)]


def test_an_attempt_is_told_with_what_it_had_of_what_ran_out(tmp_path: Path) -> None:
    part, _ = part_of(tmp_path)
    part.memory, part.time = 3e8, 600.0
    for index, cause in enumerate(["memory", "timeout", "error"]):
        failure = Failure(type="Any", message="", cause=cause)
        outcome = Outcome(key=key_of(index), run=RUN, attempt=1, status=Status.FAILED, started=1.0, runtime=1.0)
        part.finish(outcome._replace(failure=failure))
    assert part.flush(now=True)
    frames, _ = read_frames(tmp_path / "1-0.1.spool")
    failures = [unpack_head(*frame).failure for frame in frames]
    assert [failure and failure.limit for failure in failures] == [3e8, 600.0, None]


def test_an_attempt_that_died_with_its_node_is_told_of_by_the_next(tmp_path: Path) -> None:
    first, _ = part_of(tmp_path)
    first.begin(first.open[key_of(1)])
    assert first.flush(now=True)
    second, _ = part_of(tmp_path)
    second.account_for_the_past()
    assert second.flush(now=True)
    assert delivered(tmp_path, 2) == [(1, 1, "requeued")]
    first.finish(Outcome(key=key_of(1), run=RUN, attempt=1, status=Status.SUCCEEDED, started=1.0, runtime=1.0))
    assert not first.flush(now=True)  # it was replaced
    assert delivered(tmp_path, 1) == []


def test_what_was_begun_in_vain_and_given_back_has_no_attempt_behind_it(tmp_path: Path) -> None:
    first, _ = part_of(tmp_path)
    task = first.open[key_of(1)]
    for _ in range(2):  # a worker that was to have it, and the one that was asked after that had ended
        first.begin(task)
    first.give_back([task])
    assert first.running == set()
    assert first.flush(now=True)
    second, _ = part_of(tmp_path)
    second.account_for_the_past()
    assert second.open[key_of(1)] == task
    assert second.flush(now=True)
    assert delivered(tmp_path, 2) == []


def test_two_deaths_without_a_checkpoint_in_between_are_a_failure(tmp_path: Path) -> None:
    for _ in range(2):
        part, _process = part_of(tmp_path)
        part.account_for_the_past()
        part.begin(part.open[key_of(1)])
        part.flush(now=True)
    third, _ = part_of(tmp_path)
    third.account_for_the_past()
    third.flush(now=True)
    assert delivered(tmp_path, 3) == [(1, 2, "node")]
    assert key_of(1) not in third.open


def test_a_job_is_requeued_so_often_and_no_more(tmp_path: Path) -> None:
    for _ in range(2):
        part, _process = part_of(tmp_path, requeues=1)
        part.begin(part.open[key_of(1)])
        checkpoint = checkpoint_path(tmp_path, key_of(1))
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text(str(part))  # so that it gets somewhere each time
        part.end([key_of(1)])
        part.flush(now=True)
    third, _ = part_of(tmp_path, requeues=1)
    third.account_for_the_past()
    third.flush(now=True)
    assert delivered(tmp_path, 3) == [(0, 1, "node"), (1, 3, "timeout"), (2, 1, "node")]
    assert not third.open
    frames, _ = read_frames(tmp_path / "1-0.3.spool")
    never, interrupted, _ = (unpack_head(*frame) for frame in frames)
    limit = "its job was requeued 1 time, which is the limit; raise max_requeues"
    assert never.failure is not None
    assert interrupted.failure is not None
    assert (never.status, never.failure.type) == (Status.FAILED, "NeverBegun")
    assert never.failure.message == f"it was never begun: {limit}"
    assert (interrupted.status, interrupted.failure.message) == (Status.TIMED_OUT, limit)


def test_a_job_that_lost_its_node_too_often_blames_the_node_for_what_was_running(tmp_path: Path) -> None:
    first, _ = part_of(tmp_path, requeues=0)
    first.begin(first.open[key_of(1)])
    assert first.flush(now=True)
    second, _ = part_of(tmp_path, requeues=0)
    second.account_for_the_past()
    second.flush(now=True)
    assert sorted(delivered(tmp_path, 2)) == [(0, 1, "node"), (1, 1, "node"), (2, 1, "node")]


def test_a_job_that_is_not_requeued_fails_what_it_interrupted(tmp_path: Path) -> None:
    part, _ = part_of(tmp_path)
    part.begin(part.open[key_of(0)])
    task = part.open[key_of(0)]
    raised = Failure(type="TimeoutError", message="in time")
    part.interrupt(
        Outcome(key=task.key, run=RUN, attempt=1, status=Status.FAILED, started=1.0, runtime=1.0, failure=raised)
    )
    part.cannot_go_on("scontrol did not answer within 30 s")
    part.flush(now=True)
    assert delivered(tmp_path, 1) == [(0, 1, "requeued"), (0, 2, "timeout")]
    assert sorted(task.index for task in part.open.values()) == [1, 2]


def test_jobs_read_the_last_order_and_none_while_it_is_being_written(tmp_path: Path) -> None:
    read = [order_in(tmp_path)]
    for order in (Order.DRAIN, Order.CANCEL):
        give_order(tmp_path, order)
        read.append(order_in(tmp_path))
    (tmp_path / STOP).write_text("")
    assert [*read, order_in(tmp_path)] == [Order.NONE, Order.DRAIN, Order.CANCEL, Order.NONE]


def test_a_sealed_experiment_is_opened_by_workers_and_known_by_its_place(tmp_path: Path) -> None:
    def experiment() -> int:
        return 5

    data = seal(make_job(tmp_path, experiment))
    job = sealed_job(data, deadline=7.0)
    assert job.deadline == 7.0
    assert job.experiment.__code__.co_qualname.endswith("<locals>.experiment")
    assert pickle.loads(pickle.dumps(job.experiment))() == 5


@contextlib.contextmanager
def loaded(*names: str) -> Iterator[list[Source]]:
    """Import the modules `names` of a project, for a while, and give their sources."""
    files = [(importlib.import_module(name).__file__ or "", name) for name in names]
    try:
        yield [source for source in itertools.starmap(read_source, files) if source is not None]
    finally:
        for name in names:
            del sys.modules[name]


def test_what_may_be_imported_later_is_kept_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    for name in ("shop/__init__.py", "shop/cash/lazily.py", "shop/store/note.py", "till.py", "beside.py", "random.py"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text("value = 1\n")
    (own / "shop" / "prices.txt").write_text("1\n")
    (own / "shop" / "root").symlink_to("..")  # it leads upwards
    (own / "notes").mkdir()
    (own / "notes" / "draft.py").write_text("value = 1\n")
    path = (sysconfig.get_path("stdlib"), str(own))
    monkeypatch.setattr(sys, "path", [*sys.path, str(own)])
    with loaded("shop", "till") as known:
        kept = with_unloaded(known, path, own / "shop" / "store")

    assert {source.module: source.file.removeprefix(f"{own}/") for source in kept} == {
        "shop": "shop/__init__.py",
        "shop.cash.lazily": "shop/cash/lazily.py",
        "till": "till.py",
        "beside": "beside.py",  # and not random, which is Python's for whoever imports it
    }


def test_a_job_runs_the_modules_of_its_submission_at_their_place_beside_their_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "study"
    package.mkdir()
    loading = "from pathlib import Path\nFACTOR = 1\ndef total():\n    return FACTOR * int(TABLE.read_text())\n"
    (package / "__init__.py").write_text("")
    (package / "load.py").write_text(f"{loading}TABLE = Path(__file__).parents[1] / 'table.txt'\n")
    (package / "late.py").write_text("added = 1\n")
    (tmp_path / "table.txt").write_text("10")
    monkeypatch.syspath_prepend(str(tmp_path))

    def experiment(context: Any, config: Any) -> int:
        from study.late import added  # type: ignore[import-not-found]
        from study.load import total  # type: ignore[import-not-found]

        return int(total()) + int(added)

    with loaded("study", "study.load") as known:
        kept = with_unloaded(known, sys.path, tmp_path / "store")
    (package / "load.py").write_text(loading.replace("FACTOR = 1", "FACTOR = 1000"))
    (package / "late.py").unlink()
    leader = lead(tmp_path / "run", experiment, [Task(index=0, key=key_of(0))], kept)
    try:
        assert leader.wait(timeout=60) == 0
    finally:
        leader.kill()
    (frame,), _ = read_frames(tmp_path / "run" / "1-0.1.spool")
    assert unpack_head(*frame).summary == b"11"


def test_what_killed_jobs_left_on_a_node_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    left = tmp_path / f"memento-job-{os.getuid()}-old"
    left.mkdir()
    os.utime(left, (1.0, 1.0))
    first = Scratch()
    assert not left.exists()
    os.utime(first.path, (1.0, 1.0))
    second = Scratch()
    assert first.path.exists()
    for scratch in (first, second):
        scratch.remove()
    assert not list(tmp_path.iterdir())


def lead(
    folder: Path, experiment: Any, tasks: list[Task], sources: tuple[Source, ...] = (), **more: str
) -> subprocess.Popen[bytes]:
    """Start what leads job 7_0, which is to run `tasks` one after the other, with `more` in its environment."""
    folder.mkdir()
    Batch(run=RUN, number=1, parts=[tasks]).write(folder)
    (folder / JOB).write_bytes(seal(make_job(folder.parent, experiment)._replace(sources=sources)))
    code = f"from memento.executors.slurm.job import main; main({str(folder)!r}, '1')"
    slurms = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "SLURMD_NODENAME": "node1"}
    return subprocess.Popen([sys.executable, "-c", code], env={**os.environ, **slurms, **more})


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_job_runs_no_more_at_once_than_was_said_though_slurm_gave_it_more_cpus(tmp_path: Path, cpus: int) -> None:
    """As Slurm does where the memory that was asked for is beyond MaxMemPerCPU: it is the memory of one."""

    def experiment(context: Any, config: Any) -> None:
        (tmp_path / "alone").touch(exist_ok=False)
        time.sleep(0.5)
        (tmp_path / "alone").unlink()

    tasks = [Task(index=index, key=key_of(index), cpus=cpus) for index in range(2)]
    leader = lead(tmp_path / "run", experiment, tasks, SLURM_CPUS_PER_TASK="4")
    try:
        assert leader.wait(timeout=60) == 0
    finally:
        leader.kill()
    frames, _ = read_frames(tmp_path / "run" / "1-0.1.spool")
    assert [unpack_head(*frame).status for frame in frames] == [Status.SUCCEEDED, Status.SUCCEEDED]


def test_an_experiment_that_is_ended_with_its_job_is_not_told_as_its_own_death(tmp_path: Path) -> None:
    """Where Slurm follows processes without control groups, SIGTERM reaches all of them, in whatever order."""

    def experiment(context: Any, config: Any) -> None:
        (tmp_path / "worker").write_text(str(os.getpid()))
        time.sleep(60)

    folder = tmp_path / "run"
    leader = lead(folder, experiment, [Task(index=0, key=key_of(0))])
    try:
        while not (tmp_path / "worker").exists() or not (tmp_path / "worker").read_text():
            assert leader.poll() is None
            time.sleep(0.05)
        os.kill(int((tmp_path / "worker").read_text()), signal.SIGTERM)
        time.sleep(0.4)
        leader.terminate()
        assert leader.wait(timeout=15) == 0  # it waits for nothing that is over
    finally:
        leader.kill()

    assert read_frames(folder / "1-0.1.spool")[0] == []
    assert [line["left"] for line in read_log(folder / "1-0.1.log")[0] if line.get("terminated")] == [None]
