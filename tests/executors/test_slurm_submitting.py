"""What sbatch refuses, and what is made of that; it is a script here, and says what a real one says."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memento.errors import SlurmError
from memento.executors.slurm import commands
from memento.executors.slurm.batch import Batch, batches_in
from memento.executors.slurm.executor import SlurmExecutor
from memento.executors.slurm.incarnation import Incarnation
from memento.executors.slurm.refusal import Refusal, advice, passes
from memento.executors.slurm.resources import Resources, check_time
from memento.executors.slurm.submission import Submission
from memento.executors.slurm.submitting import Submitter
from memento.heads import frame_of
from memento.task import Outcome, Status, Task
from tests.executors.experiments import double
from tests.executors.harness import key_of, make_job

FAILED = "sbatch: error: Batch job submission failed:"
POLICY = f"{FAILED} Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
RUN = bytes(8)
MEGABYTE = 1024 * 1024


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes a command of Slurm's out of lines of shell."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make(name: str, lines: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{lines}\n")
        (tmp_path / name).chmod(0o755)

    make("squeue", "true")
    make("scontrol", "echo 'MaxArraySize = 1001'")
    return make


@pytest.fixture
def submitter(tmp_path: Path, command: Any) -> Submitter:
    folder = tmp_path / "run"
    folder.mkdir()
    return Submitter(folder, RUN, Submission(pack=1, max_requeues=1), pace=None)


def tasks(*indices: int) -> list[Task]:
    return [Task(index=index, key=key_of(index)) for index in indices]


def numbers(came: list[Batch | Refusal]) -> list[int]:
    return [-one.batch.number if isinstance(one, Refusal) else one.number for one in came]


RUNNING = "echo '54|3|RUNNING|0|node2|None|(null)'"
ENDED = "echo '54|3|COMPLETED|0|node2|None|(null)'"


@pytest.mark.parametrize(
    ("said", "queue", "passing"),
    [
        (f"{FAILED} Requested time limit is invalid (missing or exceeds some limit)", RUNNING, False),
        (f"{FAILED} Memory required by task is not available", RUNNING, False),
        (f"{FAILED} More processors requested than permitted", RUNNING, False),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit {POLICY}", RUNNING, False),
        (f"sbatch: error: QOSMaxCpuPerUserLimit {POLICY}", RUNNING, False),
        (f"sbatch: error: AssocMaxSubmitJobLimit {POLICY}", RUNNING, True),
        (f"sbatch: error: AssocMaxSubmitJobLimit {POLICY}", "exit 1", True),
        (f"sbatch: error: AssocMaxSubmitJobLimit {POLICY}", ENDED, False),
        (f"sbatch: error: AssocGrpSubmitJobsLimit {POLICY}", ENDED, True),
        (f"sbatch: error: MaxSubmitJobsPerAccount {POLICY}", ENDED, True),
        (POLICY, RUNNING, True),
        (POLICY, ENDED, False),
        (f"{FAILED} Resource temporarily unavailable", ENDED, True),
        (f"{FAILED} Unable to contact slurm controller (connect failure)", ENDED, True),
        (f"{FAILED} Invalid account or account/partition combination specified", RUNNING, False),
    ],
)
def test_a_refusal_passes_where_other_jobs_or_the_controller_are_in_the_way_and_no_limit_of_one_job_does(
    command: Callable[[str, str], None], said: str, queue: str, passing: bool
) -> None:
    command("squeue", queue)
    assert passes(said) is passing


def test_a_refusal_says_what_to_do_where_sbatch_does_not() -> None:
    assert advice(f"sbatch: error: AssocMaxSubmitJobLimit {POLICY}").startswith("; put more configurations into each")
    assert advice(f"{FAILED} Memory required by task is not available").startswith("; ask for no more than a partition")
    assert advice(f"{FAILED} Invalid qos specification") == ""


def test_a_time_that_no_partition_of_those_named_grants_is_refused_unless_something_else_may_grant_it(
    command: Callable[[str, str], None],
) -> None:
    commands._time_limits.cache_clear()
    command("sinfo", "echo 'short*|1:00:00'; echo 'long|2-00:00:00'; echo 'open|infinite'")
    try:
        for partition in (None, "short"):
            with pytest.raises(SlurmError, match=r"a job may run for 60 min in .*, and 61 min were asked for"):
                check_time(Resources(time=3601.0, partition=partition))
        check_time(Resources(time=3600.0))
        check_time(Resources(time=1e6, more=(("qos", "longer"),)))
        check_time(Resources(time=1e5, partition="short,long"))
        check_time(Resources(time=1e9, partition="open"))
        check_time(Resources(time=1e9, partition="unknown"))
        check_time(Resources())
    finally:
        commands._time_limits.cache_clear()


def test_what_is_refused_for_good_names_what_was_asked_for_and_the_rest_is_submitted(
    command: Callable[[str, str], None], submitter: Submitter, tmp_path: Path
) -> None:
    said = f"{FAILED} Requested node configuration is not available"
    command("sbatch", f"if grep -q -e --mem=2000M; then echo '{said}' >&2; exit 1; fi; echo 7")
    kinds = {Resources(memory=size * MEGABYTE): tasks(size) for size in (1000, 2000, 3000)}
    submitter.make(kinds)
    came = list(submitter.push())
    assert numbers(came) == [1, -2, 3]
    assert isinstance(came[1], Refusal)
    assert came[1].message.startswith(
        f"sbatch refused a job with 1 CPU, 2,000 MB, the cluster's time limit: {said}; ask for no more than"
    )
    assert submitter.is_done
    assert batches_in(tmp_path / "run") == [1, 3]


def test_what_was_submitted_before_a_refusal_is_known_to_who_raises_over_it(
    command: Callable[[str, str], None], submitter: Submitter, tmp_path: Path
) -> None:
    command("sbatch", f"if grep -q -e --mem=2000M; then echo '{FAILED} No' >&2; exit 1; fi; echo 7")
    submitter.make({Resources(memory=size * MEGABYTE): tasks(size) for size in (1000, 2000)})
    pushed = submitter.push()
    assert numbers([next(pushed)]) == [1]
    assert (tmp_path / "run" / "1.job").read_text() == "7"
    assert isinstance(next(pushed), Refusal)
    pushed.close()  # as raising does
    assert submitter.take_back() == tasks(2000)


def test_jobs_that_were_to_wait_for_a_refused_one_wait_for_the_one_before_it(
    command: Callable[[str, str], None], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    submitter = Submitter(folder, RUN, Submission(pack=1, max_jobs=1, max_requeues=1), pace=None)
    command("sbatch", f"tee -a {tmp_path}/scripts | grep -q -e --mem=2000M && exit 1; echo 70")
    submitter.make({Resources(memory=size * MEGABYTE): tasks(size) for size in (1000, 2000, 3000)})
    pushed = submitter.push()
    assert numbers([next(pushed), next(pushed)]) == [1, -2]
    (tmp_path / "scripts").unlink()
    assert numbers([next(pushed)]) == [3]
    assert "--dependency=afterany:70\n" in (tmp_path / "scripts").read_text()


def test_what_waits_for_other_jobs_to_end_says_so_and_is_submitted_then(
    command: Callable[[str, str], None], submitter: Submitter
) -> None:
    command("squeue", RUNNING)
    command("sbatch", "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1")
    submitter.make({Resources(): tasks(0, 1)})
    assert list(submitter.push()) == []
    assert submitter.held == (
        "2 configurations cannot be submitted yet, which is tried again: sbatch: error: AssocMaxSubmitJobLimit"
    )
    assert submitter.is_uncertain
    submitter._waiting[0].again_at = 0.0
    command("sbatch", "echo 8")
    assert numbers(list(submitter.push())) == [1]
    assert submitter.held == ""


def test_what_is_tried_again_waits_until_fewer_than_max_jobs_are_not_over(
    command: Callable[[str, str], None], tmp_path: Path
) -> None:
    command("sbatch", f"grep -oe '--array=[^ ]*' >>{tmp_path}/arrays; wc -l <{tmp_path}/arrays")
    executor, folder = SlurmExecutor(max_jobs=2, pack=1, snapshot=False), tmp_path / "spool"

    def sent() -> list[str]:
        list(executor.wait(0.0))
        return (tmp_path / "arrays").read_text().split()

    def deliver(*indices: int) -> None:
        for index in indices:
            Incarnation(folder, 1, index).deliver([frame_of(success(index))])
        while not list(executor.wait(0.1)):  # until it is seen
            pass

    executor.start(make_job(tmp_path, double)._replace(run=RUN))
    executor.submit(tasks(0, 1, 2, 3))
    assert sent() == ["--array=0-3%2"]
    deliver(0)
    executor.submit([task._replace(attempt=2) for task in tasks(4, 5, 6)])
    assert len(sent()) == 1
    assert not executor.is_submitted
    deliver(1, 2)
    assert sent()[1:] == ["--array=0-0"]
    assert len(sent()) == 2
    executor.leave()  # after which nobody would submit the rest
    assert sent()[2:] == ["--array=0-1%2"]
    assert executor.is_submitted


def success(index: int) -> Outcome:
    return Outcome(key=key_of(index), run=RUN, attempt=1, status=Status.SUCCEEDED, started=1.0, runtime=1.0)


def test_jobs_beyond_the_room_stay_with_who_asked(submitter: Submitter) -> None:
    small, large = Resources(memory=1000 * MEGABYTE), Resources(memory=2000 * MEGABYTE)
    left = submitter.make({small: tasks(0, 1), large: tasks(2, 3, 4)}, 3)
    assert left == [(large, task) for task in tasks(3, 4)]
    assert submitter.take_back() == tasks(0, 1, 2)
