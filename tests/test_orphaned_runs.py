"""What becomes of the jobs of a run whose process has died, while another run waits for their results."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from memento import Memento, SlurmError, ThreadExecutor, open_store
from memento.executors.slurm import cancelling, commands
from memento.executors.slurm.batch import Batch
from memento.executors.slurm.commands import JobState
from memento.executors.slurm.incarnation import Incarnation
from memento.executors.slurm.tracking import Tracker
from memento.heads import frame_of
from memento.job import Job
from memento.layout import REMOTE
from memento.running import orphaned_runs
from memento.running.orphaned_runs import OrphanedRuns
from memento.store import Run, SqliteStore
from memento.task import Failure, Outcome, Status, Task

KEYS = [bytes([number]) * 16 for number in range(2)]
SILENT = "squeue does not answer, so the jobs of this run are not known and were left as they are"


@pytest.fixture
def store(store_path: Path) -> SqliteStore:
    return open_store(store_path)


@pytest.fixture
def left(store: SqliteStore) -> Run:
    """A run whose process died when job 7 was to run two configurations, each in a task of its own."""
    run = store.begin_run(experiment="e", code={}, about={})
    (run.spool / REMOTE).write_text("slurm")
    store.claim(run, KEYS)
    Batch(run=run.id, number=1, parts=[[Task(index, key)] for index, key in enumerate(KEYS)]).write(run.spool)
    (run.spool / "1.job").write_text("7")
    store.leave(run)
    return run


@pytest.fixture
def attendance(store: SqliteStore, left: Run) -> OrphanedRuns:
    return OrphanedRuns(store, lambda folder: Tracker(folder, left.id))


def say(monkeypatch: pytest.MonkeyPatch, answer: list[JobState] | None) -> list[str]:
    """Have squeue give `answer`; return where the jobs that are cancelled from now on will be named."""
    cancelled: list[str] = []
    monkeypatch.setattr(commands, "queue", lambda: answer)
    monkeypatch.setattr(commands, "cancel", lambda jobs, *more: cancelled.extend(jobs))
    monkeypatch.setattr(cancelling, "PAUSE", 0.0)
    return cancelled


def pending(run: Run) -> list[JobState]:
    return [
        JobState(job="7", index=index, state="PENDING", tag=f"memento:{run.id.hex()}:1") for index in range(len(KEYS))
    ]


def break_a_job(run: Run) -> None:
    (run.spool / "1-1.broken").write_text("node7: there is no Python at /no/python")


def test_what_other_jobs_have_delivered_is_kept_when_one_cannot_begin(
    store: SqliteStore, left: Run, attendance: OrphanedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, pending(left))
    Incarnation(left.spool, 1, 0).deliver(
        [frame_of(Outcome(key=KEYS[0], run=left.id, attempt=1, status=Status.SUCCEEDED, started=1.0, runtime=3600.0))]
    )
    break_a_job(left)

    attendance.look(set(KEYS))

    assert {key: entry.status for key, entry in store.find(KEYS).items()} == {KEYS[0]: Status.SUCCEEDED}
    assert not left.spool.exists()


def test_jobs_that_cannot_begin_are_cancelled_and_what_they_were_to_run_is_free(
    store: SqliteStore, left: Run, attendance: OrphanedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = say(monkeypatch, pending(left))
    break_a_job(left)

    attendance.look(set(KEYS))

    assert cancelled == ["7_0", "7_1"]
    assert store.claims_of(left.id) == set()


def test_a_run_whose_folder_is_removed_is_given_up(
    store: SqliteStore, left: Run, attendance: OrphanedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, pending(left))
    attendance.look(set(KEYS))
    shutil.rmtree(left.spool)

    attendance.look(set(KEYS))
    store.take_over()

    mine = store.begin_run(experiment="e", code={}, about={})
    assert store.claim(mine, KEYS) == KEYS
    store.end_run(mine)


def test_what_a_run_had_claimed_and_not_submitted_when_it_died_is_free(
    store: SqliteStore, left: Run, attendance: OrphanedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = bytes([9]) * 16
    store.claim(left, [late])
    say(monkeypatch, pending(left))
    attendance.look({late})
    assert store.claims_of(left.id) == set(KEYS)
    attendance.close()


def test_who_cannot_ask_the_cluster_is_told_once_what_to_do(store: SqliteStore, left: Run) -> None:
    told: list[str] = []
    attendance = OrphanedRuns(store, lambda folder: None, told.append)
    for _ in range(3):
        attendance.look(set(KEYS))
    assert told == [
        "waiting for 2 configurations that were submitted to a cluster which cannot be asked from this machine; what "
        f"it delivers is taken in. If its jobs are gone, run this there, or give them up by removing {left.spool}"
    ]
    assert store.claims_of(left.id) == set(KEYS)


def test_jobs_that_cannot_begin_are_waited_for_while_squeue_does_not_say_which_they_are(
    store: SqliteStore, left: Run, attendance: OrphanedRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, None)
    monkeypatch.setattr(orphaned_runs, "PAUSE", 0.0)
    break_a_job(left)
    attendance.look(set(KEYS))
    assert store.claims_of(left.id) == set(KEYS)

    cancelled = say(monkeypatch, pending(left))
    attendance.look(set(KEYS))

    assert cancelled == ["7_0", "7_1"]
    assert store.claims_of(left.id) == set()


def test_a_cancel_says_which_jobs_it_could_not_reach(
    store: SqliteStore, left: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    attendance = OrphanedRuns(store, lambda folder: Tracker(folder, left.id), told.append)
    say(monkeypatch, pending(left))
    attendance.look(set(KEYS))
    say(monkeypatch, None)

    attendance.cancel(set(KEYS))
    attendance.close()

    assert told == [SILENT]


class Elsewhere(ThreadExecutor):
    """Stands for an executor whose jobs go on elsewhere and cannot be reached when they are to be stopped."""

    cancels, is_submitted = True, True

    def preview(self, job: Job, tasks: Sequence[Task], *, script: bool = False) -> str:
        return ""

    def learn(self, key: bytes, failure: Failure) -> None:
        pass

    def leave(self) -> str:
        return SILENT

    def stop(self) -> Sequence[Task]:
        super().stop()
        raise SlurmError(SILENT)


class Learning(Elsewhere):
    """One whose jobs can be stopped, and that notes what it learns."""

    def __init__(self) -> None:
        super().__init__(1)
        self.learnt: list[str] = []

    def learn(self, key: bytes, failure: Failure) -> None:
        self.learnt.append(failure.cause)

    def stop(self) -> Sequence[Task]:
        return ThreadExecutor.stop(self)


def test_an_engine_learns_why_what_is_tried_again_has_failed_in_an_earlier_run(store_path: Path) -> None:
    def experiment(context: Any, config: Any) -> None:
        raise {1: MemoryError, 2: ValueError}[config.x]

    def learnt(*, retries: Any) -> list[str]:
        executor = Learning()
        Memento(experiment, executor=executor).run(
            {"parameters": {"x": [1, 2]}}, cache_path=store_path, progress=False, on_error="return", retries=retries
        )
        return executor.learnt

    assert [learnt(retries=0), learnt(retries=0)] == [[], []]
    assert learnt(retries={"memory": 1}) == ["memory"]


def test_a_run_whose_jobs_cannot_be_stopped_keeps_its_folder_and_its_claims(store: SqliteStore) -> None:
    def experiment(context: Any, config: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while not context.should_stop:
            time.sleep(0.01)

    with pytest.raises(SlurmError, match="squeue does not answer"):
        Memento(experiment, executor=Elsewhere(1)).run({"parameters": {"x": [1]}}, cache_path=store.root)
    (folder,) = (store.root / "spool").iterdir()
    assert store.claims_of(bytes.fromhex(folder.name))
