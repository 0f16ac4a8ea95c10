"""The newest success that somebody can use, below newer ones that are not for him."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from memento.store import Entry, SqliteStore, open_store
from tests.store.helpers import frame, key_of, save_in_file

KEY = key_of(1)
MINE, OTHER = b"run mine", b"run othe"


def is_mine(entry: Entry) -> bool:
    return entry.run == MINE


@pytest.fixture
def stored(store: SqliteStore) -> SqliteStore:
    """Two successes of mine, one of another's, and many of other keys, so that one key is looked up by the index."""
    store.save([frame(1, b"first", run=MINE), frame(2, run=MINE)])
    store.save([frame(1, b"second", run=MINE, attempt=2)])
    store.save([frame(1, b"third", run=OTHER)])
    store.save([frame(number, run=OTHER) for number in range(3, 20)])
    return store


def change(store: SqliteStore, statement: str) -> SqliteStore:
    with contextlib.closing(sqlite3.connect(store.database)) as database:
        database.execute(statement)
        database.commit()
    return store


def value(store: SqliteStore) -> bytes | None:
    found = store.newest_that([KEY], is_mine)
    return bytes(store.load(found[KEY], "value")) if found else None


def test_a_newer_success_that_does_not_count_hides_no_older_one(stored: SqliteStore) -> None:
    assert stored.find([KEY])[KEY].run == OTHER
    assert value(stored) == b"second"
    every = [key_of(number) for number in range(20)]
    assert stored.newest_that(every, is_mine).keys() == {KEY, key_of(2)}
    assert stored.newest_that(every, lambda entry: False) == {}


def test_an_older_one_does_not_stand_in_for_a_damaged_one(stored: SqliteStore) -> None:
    assert value(change(stored, "UPDATE outcomes SET head = zeroblob(200) WHERE id = 3")) is None


def test_one_that_the_index_does_not_know_is_found_all_the_same(stored: SqliteStore) -> None:
    assert value(change(stored, "UPDATE outcomes SET prefix = 5 WHERE id = 3")) == b"second"


def test_where_a_row_is_gone_nothing_older_counts(stored: SqliteStore) -> None:
    assert value(change(stored, "DELETE FROM outcomes WHERE id = 3")) is None


def test_one_whose_value_was_evicted_does_not_count(store: SqliteStore) -> None:
    save_in_file(store, 1, b"large", run=MINE)
    store.save([frame(1, run=OTHER)])
    assert value(store) == b"large"
    store.collect(dry_run=False, superseded_before=2e9)
    assert value(store) is None


def test_the_facts_of_a_run_are_kept_and_those_of_an_unknown_one_are_none(store: SqliteStore) -> None:
    run = store.begin_run(experiment="train", code={}, about={"file": "/here/study.py"})
    known = store.about_of([run.id, b"12345678"])
    assert known[run.id]["file"] == "/here/study.py"
    assert known[b"12345678"] == {}


def test_a_damaged_record_of_a_run_is_told_once(store: SqliteStore) -> None:
    run = store.begin_run(experiment="train", code={}, about={})
    change(store, "UPDATE runs SET about = '{}'")
    with open_store(store.database if store.root.suffix == ".files" else store.root) as opened:
        assert (opened.code_of([run.id]), opened.about_of([run.id])) == ({run.id: {}}, {run.id: {}})
        assert len(opened.damaged) == 1
