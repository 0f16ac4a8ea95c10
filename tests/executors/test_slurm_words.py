"""What Slurm's words mean to us, where no cluster is needed to know: the answers are as a real one gave them."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memento.errors import OptionError, SlurmError, WorkerStartError
from memento.executors.slurm import commands, polling, tracking
from memento.executors.slurm.batch import Batch, output_of
from memento.executors.slurm.cancelling import cancel_all
from memento.executors.slurm.commands import JobState
from memento.executors.slurm.escalation import Escalation, limit_of
from memento.executors.slurm.incarnation import Incarnation
from memento.executors.slurm.packing import arrays_of, parts_of, per_job, throttles
from memento.executors.slurm.resources import MEGABYTE, Resources, resources_of
from memento.executors.slurm.script import batch_script
from memento.executors.slurm.store_visibility import check_store
from memento.executors.slurm.submission import Submission
from memento.executors.slurm.tracking import Tracker
from memento.executors.slurm.verdict import is_over, verdict_of
from memento.heads import frame_of
from memento.lost_outcomes import outcome_of
from memento.matrix.runtime import bytes_of
from memento.protocols import Begun, Delivered, Interrupted, Lost, Returned
from memento.task import Failure, Outcome, Status, Task
from tests.executors.harness import key_of

RUN = bytes(range(8))


class Slurm:
    """Answers as the cluster would: `states` of the tasks of job 7, by squeue or by sacct."""

    def __init__(self) -> None:
        self.queued: list[JobState] | None = []
        self.recorded: list[JobState] | None = []
        self.memory = 300.0

    def queue(self) -> list[JobState] | None:
        return self.queued

    def accounted(self, jobs: Any) -> list[JobState] | None:
        return self.recorded


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    answering = Slurm()
    monkeypatch.setattr(commands, "queue", answering.queue)
    monkeypatch.setattr(commands, "accounted", answering.accounted)
    monkeypatch.setattr(commands, "remembered", lambda: answering.memory)
    monkeypatch.setattr(polling, "FIRST", 0.0)
    monkeypatch.setattr(tracking, "SETTLE", 0.0)
    return answering


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / RUN.hex()
    place.mkdir()
    batch = Batch(run=RUN, number=1, parts=[[Task(index=0, key=key_of(0)), Task(index=1, key=key_of(1))]])
    batch.write(place)
    (place / "1.job").write_text("7")
    return place


def state(word: str, **more: Any) -> JobState:
    return JobState(job="7", index=0, state=word, tag=f"memento:{RUN.hex()}:1", **more)


def begin(folder: Path, index: int = 0, attempt: int = 1) -> Incarnation:
    process = Incarnation(folder, 1, 0)
    process.note({"node": "node1", "job": "7_0", "memory": None})
    process.note({"begun": key_of(index).hex(), "attempt": attempt, "checkpoint": ""})
    return process


def outcome(index: int, status: Status = Status.SUCCEEDED, cause: str = "", attempt: int = 1) -> Outcome:
    failure = Failure(type="X", message="x", cause=cause) if cause else None
    return Outcome(
        key=key_of(index), run=RUN, attempt=attempt, status=status, started=1.0, runtime=1.0, failure=failure
    )


def ends(folder: Path, slurm: Slurm, word: str, **more: Any) -> list[Any]:
    """Return what a tracker reports of a job that had begun one of its two configurations and then came to this end."""
    begin(folder)
    slurm.queued = [state(word, **more)]
    tracker = Tracker(folder, RUN)
    return [report for _ in range(3) for report in tracker.look() if not isinstance(report, Begun)]


def test_what_a_job_gave_back_was_not_lost_with_it(folder: Path, slurm: Slurm) -> None:
    """As after `drain`, when a worker was told to begin what it then did not."""
    begin(folder).note({"returned": key_of(0).hex(), "attempt": 1})
    slurm.queued = [state("COMPLETED")]
    tracker = Tracker(folder, RUN)
    reports = [report for _ in range(3) for report in tracker.look() if not isinstance(report, Begun)]
    assert [(type(report), report.task.index, report.task.attempt) for report in reports] == [
        (Returned, 0, 1), (Returned, 1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "status", "cause"),
    [
        ("NODE_FAIL", Status.KILLED, "node"),
        ("BOOT_FAIL", Status.KILLED, "node"),
        ("OUT_OF_MEMORY", Status.KILLED, "memory"),
        ("TIMEOUT", Status.TIMED_OUT, "timeout"),
        ("DEADLINE", Status.TIMED_OUT, "timeout"),
        ("FAILED", Status.KILLED, "killed"),
        ("COMPLETED", Status.KILLED, "killed"),
    ],
)
def test_the_end_of_a_job_blames_what_was_running_and_returns_the_rest(
    folder: Path, slurm: Slurm, word: str, status: Status, cause: str
) -> None:
    lost, returned = ends(folder, slurm, word, node="node1", exit="0:9")
    assert isinstance(lost, Lost)
    assert (lost.task.key, lost.status, lost.failure.cause) == (key_of(0), status, cause)
    assert lost.failure.message.startswith("its Slurm job 7_0 on node1 ")
    assert outcome_of(lost, folder, RUN).host == "node1, job 7_0"
    assert lost.failure.message.endswith(f"({word}, exit 0:9)")
    assert isinstance(returned, Returned)
    assert returned.task.key == key_of(1)


def test_a_cancelled_job_cancels_all_its_configurations(folder: Path, slurm: Slurm) -> None:
    reports = ends(folder, slurm, "CANCELLED")
    assert [(report.task.key, report.status) for report in reports] == [
        (key_of(0), Status.CANCELLED),
        (key_of(1), Status.CANCELLED),
    ]


def test_a_preempted_job_that_does_not_come_back_costs_nobody_an_attempt_but_takes_its_number(
    folder: Path, slurm: Slurm
) -> None:
    reports = ends(folder, slurm, "PREEMPTED")
    assert [(type(report), report.task.attempt) for report in reports] == [(Returned, 2), (Returned, 1)]


@pytest.mark.parametrize(
    "word", ["PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "SIGNALING",
             "STAGE_OUT", "SPECIAL_EXIT", "RESIZING", "NEVER_HEARD_OF"],
)  # fmt: skip
def test_a_job_that_may_go_on_is_waited_for(folder: Path, slurm: Slurm, word: str) -> None:
    assert ends(folder, slurm, word) == []


def test_a_node_failure_that_slurm_makes_good_again_is_none(
    folder: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "SETTLE", 60.0)
    begin(folder)
    tracker = Tracker(folder, RUN)
    slurm.queued = [state("NODE_FAIL")]
    assert len(tracker.look()) == 1
    slurm.queued = [state("PENDING")]
    monkeypatch.setattr(tracking, "SETTLE", 0.0)
    assert tracker.look() == []


def test_what_was_delivered_counts_whatever_slurm_says(folder: Path, slurm: Slurm) -> None:
    process = begin(folder)
    process.deliver([frame_of(outcome(0)), frame_of(outcome(1))])
    slurm.queued = [state("NODE_FAIL")]
    reports = Tracker(folder, RUN).look()
    assert [type(report) for report in reports] == [Begun, Delivered] or [type(report) for report in reports] == [
        Delivered
    ]
    assert sum(len(report.frames) for report in reports if isinstance(report, Delivered)) == 2


def test_an_interrupted_attempt_is_kept_and_awaited_further(folder: Path, slurm: Slurm) -> None:
    process = begin(folder)
    process.deliver([frame_of(outcome(0, Status.TIMED_OUT, "requeued"))])
    slurm.queued = [state("PENDING")]
    tracker = Tracker(folder, RUN)
    assert any(isinstance(report, Interrupted) for report in tracker.look())
    assert tracker.keys == {key_of(0), key_of(1)}
    slurm.queued = [state("CANCELLED")]
    lost = [report for report in tracker.look() if isinstance(report, Lost)]
    assert [report.task.attempt for report in lost] == [2, 1]


def test_a_squeue_that_fails_means_nothing_and_no_time_passes(folder: Path, slurm: Slurm) -> None:
    begin(folder)
    slurm.queued = None
    tracker = Tracker(folder, RUN, grace=0.0)
    assert [type(report) for report in tracker.look()] == [Begun]
    assert tracker.look() == []
    assert tracker.keys == {key_of(0), key_of(1)}


def test_a_job_that_squeue_has_forgotten_is_asked_of_the_accounting(folder: Path, slurm: Slurm) -> None:
    begin(folder)
    slurm.recorded = [
        state("NODE_FAIL", folder=str(folder)),
        state("OUT_OF_MEMORY", folder=str(folder)),
    ]  # the first is of a run before a requeue
    tracker = Tracker(folder, RUN)
    (lost, _) = [report for _ in range(2) for report in tracker.look() if not isinstance(report, Begun)]
    assert lost.failure.cause == "memory"


def test_an_id_that_was_another_jobs_before_is_not_taken_for_ours(folder: Path, slurm: Slurm) -> None:
    begin(folder)
    slurm.recorded = [JobState(job="7", index=0, state="FAILED", folder="/elsewhere")]
    tracker = Tracker(folder, RUN, grace=3600.0)
    assert [report for report in tracker.look() if not isinstance(report, Begun)] == []


def test_a_job_that_nobody_knows_is_lost_after_the_time_of_grace(
    folder: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(folder)
    slurm.recorded = None
    tracker = Tracker(folder, RUN, grace=1000.0)
    assert [type(report) for report in tracker.look()] == [Begun]
    tracker._grace = 0.0
    lost, returned = tracker.look()
    assert lost.failure.type == "JobVanished"
    assert lost.failure.cause == "node"
    assert returned.task.key == key_of(1)


def forgotten(folder: Path, slurm: Slurm, *lines: dict[str, Any], output: str = "") -> Any:
    """Return what is reported of a job of which nobody knows, that has logged `lines` and whose output is `output`."""
    begin(folder).note(*lines)
    (folder / "1-0.out").write_text(output)
    slurm.recorded = None
    lost, *_ = [one for one in Tracker(folder, RUN, grace=0.0).look() if not isinstance(one, Begun)]
    return lost


def test_how_a_job_ended_is_remembered_when_squeue_forgets_it(
    folder: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "SETTLE", 60.0)
    begin(folder)
    tracker = Tracker(folder, RUN, grace=1000.0)
    slurm.queued, slurm.recorded = [state("CANCELLED", node="node1")], None
    assert [type(report) for report in tracker.look()] == [Begun]
    slurm.queued = []
    monkeypatch.setattr(tracking, "SETTLE", 0.0)
    assert [(one.status, one.failure.cause) for one in tracker.look()] == [(Status.CANCELLED, "cancelled")] * 2


@pytest.mark.parametrize(
    ("left", "status"), [(500.0, Status.CANCELLED), (None, Status.CANCELLED), (-20.0, Status.TIMED_OUT)]
)
def test_a_job_that_nobody_knows_any_more_has_said_itself_that_it_was_ended(
    folder: Path, slurm: Slurm, left: float | None, status: Status
) -> None:
    lost = forgotten(folder, slurm, {"terminated": True, "left": left})
    assert (lost.task.key, lost.status) == (key_of(0), status)
    assert lost.failure.message.startswith("its Slurm job 7_0 on node1 ")


def test_what_said_that_it_was_ended_is_not_waited_for_when_nobody_knows_it(folder: Path, slurm: Slurm) -> None:
    begin(folder).note({"terminated": True, "left": 500.0})
    tracker = Tracker(folder, RUN, grace=1000.0)
    assert [type(report) for report in tracker.look()] == [Begun, Lost, Lost]


def test_a_process_that_begins_after_another_was_ended_counts_as_begun(folder: Path, slurm: Slurm) -> None:
    begin(folder).note({"terminated": True, "left": 500.0})
    begin(folder, attempt=2)
    tracker = Tracker(folder, RUN, grace=1000.0)
    assert [type(report) for report in tracker.look()] == [Begun, Begun]


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("", "cancelled"),
        (" DUE TO TIME LIMIT", "timeout"),
        (" DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS", "node"),
        (" DUE TO JOB REQUEUE", "node"),
    ],
)
def test_a_job_that_nobody_knows_any_more_is_known_by_what_its_daemon_wrote(
    folder: Path, slurm: Slurm, reason: str, cause: str
) -> None:
    said = f"slurmstepd-node1: error: *** JOB 7 ON node1 CANCELLED AT 2026-11-26T08:30:04{reason} ***\n"
    lost = forgotten(folder, slurm, output=f"printed before\n{said}")
    assert lost.failure.cause == cause
    assert (lost.failure.type == "JobVanished") is (reason == " DUE TO JOB REQUEUE")


def test_a_job_is_asked_after_before_squeue_forgets_it(
    folder: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "FIRST", 3.0)
    slurm.queued, slurm.memory = [state("RUNNING")], 20.0
    questions = polling.Polling(folder, RUN.hex())
    for _ in range(30):
        questions.ask({})
    assert questions._interval == 10.0
    slurm.queued = [state("COMPLETING")]
    questions.ask({})
    assert questions._interval == 3.0


def test_what_never_reached_the_queue_comes_back_and_can_not_begin_later(folder: Path, slurm: Slurm) -> None:
    (folder / "1.job").unlink()
    tracker = Tracker(folder, RUN, grace=0.0)
    assert [type(report) for report in tracker.look()] == [Returned, Returned]
    assert Incarnation(folder, 1, 0).is_replaced()


def test_a_job_whose_id_was_never_told_is_found_by_its_tag(folder: Path, slurm: Slurm) -> None:
    (folder / "1.job").unlink()
    slurm.queued = [state("RUNNING")]
    tracker = Tracker(folder, RUN, grace=0.0)
    assert tracker.look() == []
    assert tracker.jobs() == ["7_0"]


def test_a_process_that_was_replaced_may_not_deliver(folder: Path) -> None:
    first = Incarnation(folder, 1, 0)
    assert not first.is_replaced()
    second = Incarnation(folder, 1, 0)
    assert (first.is_replaced(), second.is_replaced(), second.number) == (True, False, 2)


def test_a_successor_knows_what_was_delivered_begun_and_told(folder: Path) -> None:
    process = begin(folder, 0)
    process.note({"begun": key_of(1).hex(), "attempt": 1, "checkpoint": "a"})
    process.deliver([frame_of(outcome(0)), frame_of(outcome(1, Status.TIMED_OUT, "requeued"))])
    history = Incarnation(folder, 1, 0).earlier()
    assert history.delivered == {key_of(0)}
    assert history.attempts(key_of(1)) == 1
    assert not history.is_untold(key_of(1))
    begin(folder, 1, 2)
    assert Incarnation(folder, 1, 0).earlier().is_untold(key_of(1))


def test_jobs_that_never_begin_end_the_run(folder: Path, slurm: Slurm) -> None:
    (folder / "1-0.out").write_text("slurmstepd: error: no such file")
    tracker = Tracker(folder, RUN)
    slurm.queued = [state("FAILED", exit="1:0", node="node1")]
    for number in (2, 3):
        assert len(tracker.look()) == 2
        (folder / f"{number}-0.out").write_text("slurmstepd: error: no such file")
        tracker.follow(replace(Batch.read(folder, 1), number=number))
        slurm.queued = [replace(slurm.queued[0], tag=f"memento:{RUN.hex()}:{number}")]
    with pytest.raises(WorkerStartError, match=r"the last was 7_0 \(FAILED, exit 1:0, on node1\).*no such file"):
        tracker.look()


def follow_another(folder: Path, tracker: Tracker, slurm: Slurm, number: int, said: str = "") -> None:
    """Have a job of one configuration end that begins nothing, beside those of which Slurm has spoken."""
    batch = Batch(run=RUN, number=number, parts=[[Task(index=5, key=key_of(5))]])
    batch.write(folder)
    (folder / f"{number}-0.out").touch()
    if said:
        (folder / f"{number}-0.broken").write_text(said)
    tracker.follow(batch)
    assert slurm.queued is not None
    slurm.queued.append(replace(state("FAILED", exit="1:0", node="node7"), tag=f"memento:{RUN.hex()}:{number}"))


def test_a_job_that_says_it_cannot_begin_ends_a_run_in_which_nothing_has_begun(folder: Path, slurm: Slurm) -> None:
    tracker = Tracker(folder, RUN)
    follow_another(folder, tracker, slurm, 2, said="node7: no module named x")
    for _ in range(2):
        with pytest.raises(WorkerStartError, match="could not begin: node7: no module named x"):
            tracker.look()
    left, late = tracker.give_up()
    assert ([task.key for task in left], late) == ([key_of(0), key_of(1), key_of(5)], [])


def test_it_does_not_while_another_jobs_process_may_begin_something(folder: Path, slurm: Slurm) -> None:
    process = Incarnation(folder, 1, 0)
    process.note({"node": "node1", "job": "7_0"})
    slurm.queued = [state("RUNNING", node="node1")]
    tracker = Tracker(folder, RUN)
    follow_another(folder, tracker, slurm, 2, said="node7: no space left on device")
    assert [type(report) for report in tracker.look()] == [Returned]
    process.note({"begun": key_of(0).hex(), "attempt": 1, "checkpoint": ""})
    assert [type(report) for report in tracker.look()] == [Begun]


@pytest.mark.parametrize("said", ["node7: no space left on device", ""])
def test_a_node_on_which_nothing_begins_costs_what_is_sent_there_and_not_what_runs_elsewhere(
    folder: Path, slurm: Slurm, said: str
) -> None:
    begin(folder)
    slurm.queued = [state("RUNNING", node="node1")]
    tracker = Tracker(folder, RUN)
    assert [type(report) for report in tracker.look()] == [Begun]
    for number in (2, 3):
        follow_another(folder, tracker, slurm, number, said)
        (returned,) = tracker.look()
        assert isinstance(returned, Returned)
    follow_another(folder, tracker, slurm, 4, said)
    (lost,) = tracker.look()
    assert isinstance(lost, Lost)
    assert (lost.task.key, lost.status, lost.failure.cause) == (key_of(5), Status.FAILED, "node")
    assert lost.failure.message == (
        "3 Slurm jobs in a row that were to run it ended before they could begin; the last was 7_0 "
        f"(FAILED, exit 1:0, on node7): {said or 'it said nothing'}"
    )
    follow_another(folder, tracker, slurm, 5, said)  # a retry begins to count anew
    assert [type(report) for report in tracker.look()] == [Returned]


def test_jobs_that_do_not_begin_any_more_end_the_run_when_nothing_else_runs(folder: Path, slurm: Slurm) -> None:
    tracker = Tracker(folder, RUN)
    begin(folder).deliver([frame_of(outcome(index)) for index in (0, 1)])
    assert [type(report) for report in tracker.look()] == [Begun, Delivered]
    batch = Batch(run=RUN, number=2, parts=[[Task(index=index, key=key_of(index))] for index in (5, 6, 7)])
    batch.write(folder)
    tracker.follow(batch)
    ended = replace(state("FAILED", node="node1", exit="1:0"), tag=f"memento:{RUN.hex()}:2")
    slurm.queued = [replace(ended, index=index) for index in range(3)]
    for index in range(3):
        (folder / f"2-{index}.out").touch()
    with pytest.raises(WorkerStartError, match="3 Slurm jobs in a row ended before they could begin anything"):
        tracker.look()


@pytest.mark.parametrize("reason", ["PartitionTimeLimit", "QOSMaxWallDurationPerJobLimit", "AssocMaxCpuPerJobLimit"])
def test_a_job_that_waits_for_ever_ends_a_run_in_which_nothing_has_begun(
    folder: Path, slurm: Slurm, reason: str
) -> None:
    slurm.queued = [state("PENDING", reason=reason)]
    tracker = Tracker(folder, RUN)
    for _ in range(2):
        with pytest.raises(SlurmError, match=rf"Slurm job 7_0 waits in the queue for ever \({reason}\)"):
            tracker.look()


def test_a_job_that_waits_for_ever_is_cancelled_and_fails_what_it_holds_while_others_go_on(
    folder: Path, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[str] = []
    monkeypatch.setattr(commands, "cancel", cancelled.extend)
    begin(folder)
    Batch(run=RUN, number=2, parts=[[Task(index=5, key=key_of(5), attempt=2)]]).write(folder)
    slurm.queued = [
        state("RUNNING"),
        replace(state("PENDING", reason="PartitionTimeLimit"), job="8", tag=f"memento:{RUN.hex()}:2"),
    ]
    tracker = Tracker(folder, RUN)
    _, lost = tracker.look()
    assert isinstance(lost, Lost)
    assert (lost.task.key, lost.task.attempt, lost.final, lost.failure.cause) == (key_of(5), 2, True, "node")
    assert cancelled == ["8_0"]
    assert tracker.look() == []
    assert Tracker(folder, RUN).keys == {key_of(0), key_of(1)}  # nor does anybody else await it


@pytest.mark.parametrize(
    "reason", ["Priority", "Resources", "QOSMaxJobsPerUserLimit", "QOSGrpCpuLimit", "JobArrayTaskLimit"]
)
def test_a_job_that_waits_for_others_is_waited_for(folder: Path, slurm: Slurm, reason: str) -> None:
    slurm.queued = [state("PENDING", reason=reason)]
    assert Tracker(folder, RUN).look() == []


def test_a_job_that_breaks_after_it_has_begun_loses_what_it_ran_and_says_why(folder: Path, slurm: Slurm) -> None:
    (folder / "1-0.broken").write_text("node1: Traceback\nOSError: [Errno 5] Input/output error")
    lost, returned = ends(folder, slurm, "FAILED", node="node1", exit="1:0")
    assert lost.failure.message == (
        "its Slurm job 7_0 on node1 ended before the experiment did (FAILED, exit 1:0). "
        "OSError: [Errno 5] Input/output error"
    )
    assert (type(returned), returned.task.key) == (Returned, key_of(1))


def test_a_job_that_vanishes_before_its_process_begins_anything_gives_all_back(folder: Path, slurm: Slurm) -> None:
    Incarnation(folder, 1, 0).note({"node": "node1", "job": "7_0"})
    assert [type(report) for report in Tracker(folder, RUN, grace=0.0).look()] == [Returned, Returned]


def test_a_job_killed_for_memory_without_control_groups_is_known_by_its_last_words() -> None:
    said = "slurmstepd-node1: error: StepId=12.batch exceeded memory limit (300000000 > 209715200), being killed"
    assert verdict_of(state("FAILED", exit="0:9"), said).cause == "memory"
    assert verdict_of(state("FAILED", exit="0:9"), "").cause == "killed"


def test_an_answer_of_sacct_that_was_cut_off_loses_only_what_was_cut() -> None:
    whole = "12_0|COMPLETED|0:0|node1|/data/run\n12_[1-4]|PENDING|0:0|None assigned|/data/run\n"
    cut = "12_1|CANCELLED by 1000|0:15|node1|/data/run\n12_2|COMPLE"
    lines = (whole + cut).splitlines(keepends=True)
    found = [commands._accounted(line) for line in lines]
    assert [job and (job.index, job.state) for job in found] == [(0, "COMPLETED"), None, (1, "CANCELLED"), None]


def test_a_line_of_squeue_is_read_with_its_signal_and_its_tag() -> None:
    (said,) = commands._queued("54|3|NODE_FAIL|9|node2|None|memento:0001020304050607:2   ")
    assert said == JobState(
        job="54", index=3, state="NODE_FAIL", node="node2", exit="0:9", reason="None",
        tag="memento:0001020304050607:2",
    )  # fmt: skip
    assert commands._queued("slurm_load_jobs error: Unable to contact") == []


def test_tasks_that_were_cancelled_before_they_began_share_a_line_of_squeue() -> None:
    said = commands._queued("62|3-5,9%1|CANCELLED|0||None|memento:00:1")
    assert [(state.index, state.state) for state in said] == [
        (3, "CANCELLED"),
        (4, "CANCELLED"),
        (5, "CANCELLED"),
        (9, "CANCELLED"),
    ]
    (single,) = commands._queued("63|N/A|RUNNING|0|node1|None|(null)")
    assert single.index is None


def test_completing_is_not_over() -> None:
    assert not is_over(state("COMPLETING"))
    assert is_over(state("COMPLETED"))


def test_a_command_that_hangs_is_ended_and_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "squeue").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(commands.CommandFailed, match=r"squeue did not answer within 0.2 s"):
        commands.run("squeue", patience=0.2)
    monkeypatch.setattr(commands, "run", partial(commands.run, patience=0.2))
    assert commands.queue() is None


def test_what_sbatch_did_not_say_once_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    commands._help.cache_clear()
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    assert commands.options() == frozenset()
    sbatch.write_text("#!/bin/sh\necho '  --exclusive[=user]  allocate nodes alone'\n")
    assert commands.options() == {"exclusive"}
    commands._help.cache_clear()


def test_all_jobs_are_asked_after_at_once_and_not_again_for_three_seconds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(commands, "run", lambda name, *arguments, **more: asked.append(name) or "")
    monkeypatch.setattr(commands, "_configuration", lambda: "")
    Batch(run=RUN, number=2, parts=[[Task(index=index, key=key_of(index))] for index in range(5, 9)]).write(folder)
    (folder / "2.job").write_text("8")
    tracker = Tracker(folder, RUN)
    for _ in range(20):
        tracker.look()
    assert asked == ["squeue", "sacct"]
    assert polling.FIRST == 3.0


def test_a_store_that_no_node_can_see_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Path("/dev/shm/store")
    monkeypatch.setattr(commands, "hosts", lambda: ["192.0.2.1", "no-such-host.invalid"])
    with pytest.raises(
        SlurmError, match=r"the store /dev/shm/store is on tmpfs, which the nodes .* do not see; put it"
    ):
        check_store(memory)
    monkeypatch.setattr(commands, "hosts", lambda: ["192.0.2.1", "127.0.0.1"])
    check_store(memory)  # a node is this machine
    monkeypatch.setattr(commands, "hosts", list)
    check_store(memory)  # which nodes there are is not known


def test_a_store_with_a_backslash_in_its_path_is_refused_for_what_slurm_makes_of_it() -> None:
    with pytest.raises(SlurmError, match=r"the store /home/a\\b has a backslash in its path, which Slurm drops"):
        check_store(Path("/home/a\\b"))


def test_a_percent_sign_in_the_path_of_the_store_is_no_pattern() -> None:
    batch = Batch(run=RUN, number=1, parts=[[Task(index=0, key=key_of(0))]])
    script = batch_script(batch, Resources(), Submission(), folder=Path("/home/x%a/run"))
    assert "#SBATCH --output=/home/x%%a/run/1-%a.out" in script.splitlines()


@pytest.mark.parametrize(
    ("said", "place"), [("/a/%A_%a", "/a/8_3"), ("/x%%a/%a.out", "/x%a/3.out"), ("/a/%j", None), ("/a/50%", None)]
)
def test_where_a_job_prints_is_known_unless_only_slurm_knows(folder: Path, said: str, place: str | None) -> None:
    batch = Batch(run=RUN, number=2, parts=[[Task(index=0, key=key_of(0))]] * 4, output=said)
    (folder / "2.job").write_text("8")
    assert output_of(folder, batch, 3) == (None if place is None else Path(place))


def test_one_node_that_lost_sight_of_the_store_does_not_end_a_run_that_goes_on_elsewhere(
    folder: Path, slurm: Slurm
) -> None:
    Batch(run=RUN, number=2, parts=[[Task(index=5, key=key_of(5))]]).write(folder)
    tracker = Tracker(folder, RUN)
    slurm.queued = [
        replace(state("FAILED", node="node1", exit="15:53"), tag=f"memento:{RUN.hex()}:2"),
        state("RUNNING"),
    ]
    begin(folder)
    assert [type(report) for report in tracker.look()] == [Begun, Returned]


def test_short_configurations_share_jobs_by_the_hundred() -> None:
    assert per_job(10_000, pack=None, pace=0.01, together=1, time=None) >= 100
    assert per_job(2_000, pack=None, pace=3.0, together=1, time=3600.0) == 100
    assert per_job(10_000, pack=None, pace=None, together=1, time=None) == 100


def test_long_configurations_have_jobs_of_their_own_and_fit_into_their_time() -> None:
    assert per_job(500, pack=None, pace=3000.0, together=1, time=3600.0) == 1
    assert per_job(500, pack=None, pace=60.0, together=1, time=600.0) == 5
    assert per_job(500, pack=7, pace=60.0, together=1, time=600.0) == 7


def test_parts_hold_every_task_once_and_arrays_are_as_large_as_the_cluster_lets_them() -> None:
    tasks = [Task(index=index, key=key_of(index)) for index in range(23)]
    parts = parts_of(tasks, 5)
    assert sorted(task.index for part in parts for task in part) == list(range(23))
    assert max(map(len, parts)) == 5
    assert [len(array) for array in arrays_of(parts, 2)] == [2, 2, 1]


def test_a_limit_of_jobs_is_shared_by_arrays_and_the_further_ones_wait() -> None:
    assert throttles(1, 50) == (50, 1)
    assert throttles(4, 50) == (12, 4)
    assert throttles(5, 2) == (1, 2)
    assert throttles(5, None) == (None, 5)


def test_sizes_are_bytes_or_texts_and_grow_when_there_was_too_little() -> None:
    assert (bytes_of("1.5G"), bytes_of("512 MiB"), bytes_of("500")) == (1610612736, 536870912, 524288000)
    flags = resources_of({"memory": "2G", "time": "01:00:00"}, Resources()).grown({}, memory=2.0, time=1.5).flags(3)
    assert flags == ["--cpus-per-task=3", "--mem=12288M", "--time=90"]
    granted = {"memory": 200 * 1024 * 1024, "time": 600.0}
    flags = Resources(cpus=2).grown(granted, memory=2.0, time=2.0).flags(1)
    assert flags == ["--cpus-per-task=2", "--mem-per-cpu=400M", "--time=20"]
    flags = resources_of({"gpus": 0.5, "mem_per_cpu": "1G", "account": "us", "partition": "a,b"}, Resources()).flags(3)
    assert flags == ["--cpus-per-task=3", "--mem-per-cpu=1024M", "--gres=gpu:2", "--partition=a,b", "--account=us"]


@pytest.mark.parametrize("runtime", [{"memory": 0}, {"memory": "0"}, {"mem_per_cpu": 0}])
def test_a_memory_of_0_is_shown_as_all_that_a_node_has(runtime: dict[str, Any]) -> None:
    shown = resources_of(runtime, Resources(memory=1000 * MEGABYTE)).shown(3)
    assert shown == "3 CPUs, all memory of a node, the cluster's time limit"


def test_each_failure_for_want_of_something_gives_the_next_attempt_more_of_just_that() -> None:
    growth, asked = Escalation(2.0), Resources(memory=1000 * 1024 * 1024, time=600.0)
    task = Task(index=0, key=key_of(0), timeout=30.0)
    assert growth.applied(asked, task, {}) == (asked, task)
    for cause in ("memory", "memory", "timeout", "node"):
        growth.learn(task.key, cause)
    resources, again = growth.applied(asked, task, {})
    assert resources.flags(1) == ["--cpus-per-task=1", "--mem=4000M", "--time=10"]  # a minute fits into ten
    assert again.timeout == 60.0
    without = task._replace(timeout=None)
    assert growth.applied(asked, without, {})[0].time == 1200.0
    assert growth.applied(Resources(), without, {"time": 300.0})[0].time == 600.0
    assert growth.applied(asked, task._replace(timeout=280.0), {})[0].time == 800.0  # for 560 s
    other = Task(index=1, key=key_of(1), timeout=30.0)
    assert growth.applied(asked, other, {}) == (asked, other)


@pytest.mark.parametrize(
    ("asked", "limit", "flags"),
    [
        (Resources(memory=150 * MEGABYTE), 300 * MEGABYTE, ["--mem=600M"]),
        (Resources(memory=150 * MEGABYTE), 149 * MEGABYTE, ["--mem=300M"]),  # as Slurm rounds
        (Resources(memory=1000 * MEGABYTE), 150 * MEGABYTE, ["--mem=1000M"]),  # by now there is enough
        (Resources(memory=150 * MEGABYTE), None, ["--mem=300M"]),
        (Resources(mem_per_cpu=100 * MEGABYTE, cpus=2), 400 * MEGABYTE, ["--mem-per-cpu=400M"]),
        (Resources(cpus=2), 400 * MEGABYTE, ["--mem-per-cpu=400M"]),
        (Resources(), None, []),
        (Resources(memory=0, cpus=2), 400 * MEGABYTE, ["--mem=0M"]),  # all of a node, as before
        (Resources(mem_per_cpu=0, cpus=2), 400 * MEGABYTE, ["--mem-per-cpu=0M"]),
    ],
)
def test_memory_grows_from_what_the_last_attempt_of_an_earlier_run_had(
    asked: Resources, limit: float | None, flags: list[str]
) -> None:
    growth, task = Escalation(2.0), Task(index=0, key=key_of(0), cpus=asked.cpus)
    growth.learn_from_another(task.key, Failure(type="OutOfMemory", message="", cause="memory", limit=limit))
    assert growth.applied(asked, task, {})[0].flags(1) == [f"--cpus-per-task={asked.cpus}", *flags]


def test_time_grows_from_what_the_last_attempt_of_an_earlier_run_had() -> None:
    growth, task = Escalation(2.0), Task(index=0, key=key_of(0), timeout=30.0)
    growth.learn_from_another(task.key, Failure(type="TimedOut", message="", cause="timeout", limit=60.0))
    resources, again = growth.applied(Resources(time=600.0), task, {})
    assert (resources.time, again.timeout) == (600.0, 120.0)
    growth.learn(task.key, "timeout")
    assert growth.applied(Resources(time=600.0), task, {})[1].timeout == 240.0
    assert limit_of(task, "timeout", memory=None, time=600.0) == 30.0


@pytest.mark.parametrize(
    ("partition", "asked", "granted"),
    [
        (None, 600.0, 1800.0), ("long", 600.0, 1200.0), ("short", 600.0, 600.0), ("short,long", 600.0, 1200.0),
        ("short", 900.0, 900.0), ("long", 86400.0, 172800.0), ("endless", 1e6, 2e6), ("new", 1e6, 2e6),
    ],
)  # fmt: skip
def test_a_job_is_given_no_more_time_than_its_partition_grants_nor_less_than_before(
    monkeypatch: pytest.MonkeyPatch, partition: str | None, asked: float, granted: float
) -> None:
    said = "short|10:00\nmain*|30:00\nlong|2-00:00:00\nendless|infinite\n"
    monkeypatch.setattr(commands, "run", lambda name, *arguments: said)
    commands._time_limits.cache_clear()
    growth, task = Escalation(2.0), Task(index=0, key=key_of(0))
    growth.learn(task.key, "timeout")
    if partition is None:  # twice the time twice
        growth.learn(task.key, "timeout")
    assert growth.applied(Resources(time=asked, partition=partition), task, {})[0].time == granted
    commands._time_limits.cache_clear()


def test_jobs_that_were_cancelled_are_asked_after_no_more_often_than_others(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[state("RUNNING")], [state("RUNNING")], [state("CANCELLED")]]
    done: list[object] = []
    monkeypatch.setattr(commands, "queue", lambda: done.append("queue") or answers.pop(0))
    monkeypatch.setattr(commands, "cancel", lambda jobs: done.append(jobs))
    monkeypatch.setattr(time, "sleep", done.append)
    cancel_all(RUN.hex())
    assert done == ["queue", ["7"], 3.0, "queue", 3.0, "queue"]


def test_what_has_a_place_of_its_own_is_refused_among_the_further_options() -> None:
    with pytest.raises(OptionError, match="slurm option 'mem' has a place of its own: write 'memory' in runtime"):
        resources_of({"slurm": {"mem": "2G"}}, Resources())
    with pytest.raises(OptionError, match="slurm option 'array' is set by memento itself"):
        resources_of({"slurm": {"array": "1-3"}}, Resources())


def test_the_batch_on_the_disk_is_what_was_written(folder: Path) -> None:
    said = json.loads((folder / "1.batch").read_bytes())
    assert said["parts"][0][0] == [0, key_of(0).hex(), 1, None, 1, None]
    assert Batch.read(folder, 1).parts[0][1] == Task(index=1, key=key_of(1))


def test_what_was_given_up_stays_given_up_for_whoever_comes_next(folder: Path, slurm: Slurm) -> None:
    assert len(ends(folder, slurm, "NODE_FAIL")) == 2
    assert Tracker(folder, RUN).keys == set()


def test_what_an_earlier_batch_said_of_a_key_counts_no_more_when_a_later_one_has_it(folder: Path, slurm: Slurm) -> None:
    process = begin(folder)
    process.deliver([frame_of(outcome(0, Status.FAILED, "error"))])
    Batch(run=RUN, number=2, parts=[[Task(index=0, key=key_of(0), attempt=2)]]).write(folder)
    slurm.queued = [state("RUNNING")]
    tracker = Tracker(folder, RUN)
    assert not any(isinstance(report, Delivered) for report in tracker.look())
    assert tracker.keys == {key_of(0), key_of(1)}


def test_what_was_cancelled_before_it_began_is_not_waited_for(folder: Path, slurm: Slurm) -> None:
    tracker = Tracker(folder, RUN, grace=1000.0)
    assert tracker.look() == []
    tracker.returning = True
    assert [type(report) for report in tracker.look()] == [Returned, Returned]
