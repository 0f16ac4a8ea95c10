"""Runs whose work goes on in batch jobs when their process is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from memento import open_store
from memento.heads import pack_head
from memento.layout import REMOTE
from memento.spool import SpoolWriter
from memento.store import SqliteStore
from memento.store.runs import Run
from memento.store.survey import survey
from memento.task import Failure, Outcome, Status

KEYS = [bytes([number]) * 16 for number in range(3)]


def outcome(run: Run, index: int, cause: str = "", attempt: int = 1) -> Outcome:
    failure = Failure(type="X", message="x", cause=cause) if cause else None
    status = Status.FAILED if cause else Status.SUCCEEDED
    return Outcome(
        key=KEYS[index], run=run.id, attempt=attempt, status=status, started=1.0, runtime=1.0, failure=failure
    )


def deliver(run: Run, *outcomes: Outcome) -> None:
    writer = SpoolWriter(run.spool / "1-0.1.spool")
    for one in outcomes:
        writer.append(one)
    writer.close()


@pytest.fixture
def store(store_path: Path) -> SqliteStore:
    return open_store(store_path)


@pytest.fixture
def left(store: SqliteStore) -> Run:
    """A remote run that has claimed three keys, and whose process has gone."""
    run = store.begin_run(experiment="e", code={}, about={})
    (run.spool / REMOTE).write_text("slurm")
    assert store.claim(run, KEYS) == KEYS
    store.leave(run)
    return run


def test_its_claims_stand_though_nobody_holds_its_lock(store: SqliteStore, left: Run) -> None:
    assert store.take_over() == 0
    other = store.begin_run(experiment="e", code={}, about={})
    assert store.claim(other, KEYS) == []
    assert store.claimed_by_others(other, KEYS) == set(KEYS)
    store.end_run(other)
    assert store.orphans() == [left.id]


def test_what_it_delivers_is_taken_in_and_successes_end_their_claims(store: SqliteStore, left: Run) -> None:
    deliver(left, outcome(left, 0), outcome(left, 1, "error"), outcome(left, 2, "requeued"))
    assert store.take_over() == 3
    # Whether a failure is tried again in another of its jobs is known to whoever attends to it.
    assert store.claims_of(left.id) == {KEYS[1], KEYS[2]}
    assert store.take_over() == 0


def test_who_only_looks_sees_what_each_key_was_delivered_last_and_no_attempt_that_goes_on(
    store: SqliteStore, left: Run
) -> None:
    deliver(left, outcome(left, 0, "error"), outcome(left, 0, attempt=2), outcome(left, 1, "requeued"))
    with survey(store.root) as looking:
        (record,) = looking.records()
    assert {key: entry.attempt for key, entry in record.delivered.items()} == {KEYS[0]: 2}


def test_when_nothing_is_awaited_any_more_it_is_over(store: SqliteStore, left: Run) -> None:
    deliver(left, *(outcome(left, index) for index in range(3)))
    store.take_over()
    assert not left.spool.exists()
    assert store.orphans() == []


def test_one_process_attends_to_it_at_a_time(store: SqliteStore, left: Run) -> None:
    mine = store.adopt(left.id)
    assert mine is not None
    assert store.adopt(left.id) is None
    store.leave(mine)
    again = store.adopt(left.id)
    assert again is not None
    store.release(again, KEYS[:2])
    assert store.claims_of(left.id) == {KEYS[2]}
    store.end_run(again)
    assert store.adopt(left.id) is None


def test_what_an_attempt_without_the_claim_delivers_is_refused(store: SqliteStore, left: Run) -> None:
    mine = store.adopt(left.id)
    assert mine is not None
    store.release(mine, [KEYS[0]])
    late, last = outcome(left, 0), outcome(left, 1, "error", attempt=2)
    assert store.save_claimed(mine, [(pack_head(one), (b"", b"", b"")) for one in (late, last)]) == 1
    assert store.find([KEYS[0]]) == {}
    assert store.claims_of(left.id) == {KEYS[2]}
    store.leave(mine)
