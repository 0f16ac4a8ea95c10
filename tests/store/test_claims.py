"""What a run has claimed: in pieces, of which a change writes those that it concerns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memento.store import claims
from memento.store.claims import PIECE, Claimed
from memento.store.schema import TABLES

RUN, OTHER = b"r" * 8, b"s" * 8


def key(number: int) -> bytes:
    return number.to_bytes(16)


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    yield connection
    connection.close()


def test_one_of_a_hundred_thousand_claims_that_ends_writes_one_piece(database: sqlite3.Connection) -> None:
    all_of_them = Claimed().plus(map(key, range(100_000)))
    claims.change_claims(database, RUN, Claimed(), all_of_them)
    assert database.total_changes == 417
    before = database.total_changes
    claims.change_claims(database, RUN, all_of_them, all_of_them.minus([key(50_000)]))
    assert database.total_changes - before == 1
    (longest,) = database.execute("SELECT max(length(keys)) FROM claims").fetchone()
    assert longest == PIECE * 16 == 3840
    assert len(claims.claimed_by(database, RUN)) == 99_999


def test_a_run_that_gives_everything_up_leaves_no_row(database: sqlite3.Connection) -> None:
    some = Claimed().plus(map(key, range(1000)))
    claims.change_claims(database, RUN, Claimed(), some)
    claims.change_claims(database, OTHER, Claimed(), Claimed().plus([key(7)]))
    assert claims.claiming_runs(database) == [RUN, OTHER]
    claims.change_claims(database, RUN, some, some.minus(map(key, range(1000))))
    assert database.execute("SELECT run FROM claims").fetchall() == [(OTHER + bytes([0, 0, 0, 1]),)]
    assert claims.claimed_by_others(database, RUN) == {key(7)}
    claims.drop_claims(database, OTHER)
    assert claims.claiming_runs(database) == []


def test_the_one_row_that_an_older_version_wrote_is_read_and_given_up(database: sqlite3.Connection) -> None:
    database.execute("INSERT INTO claims VALUES (?, ?)", [RUN, key(1) + key(2)])
    known = claims.claimed_by(database, RUN)
    assert set(known) == {key(1), key(2)}
    assert claims.claimed_by_others(database, OTHER) == {key(1), key(2)}
    more = known.minus([key(1)]).plus([key(3)])
    claims.change_claims(database, RUN, known, more)
    assert set(claims.claimed_by(database, RUN)) == {key(2), key(3)}


def test_what_could_not_be_written_is_still_what_it_was() -> None:
    before = Claimed().plus([key(1), key(2)])
    after = before.minus([key(1)]).plus([key(3)])
    assert set(before) == {key(1), key(2)}
    assert (key(1) in before, key(3) in before) == (True, False)
    assert (key(1) in after, key(3) in after) == (False, True)


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 2000), max_size=700)), max_size=12))
def test_pieces_hold_what_a_set_would(changes: list[tuple[bool, list[int]]]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    known, written, plain = Claimed(), Claimed(), set[bytes]()
    for adds, numbers in changes:
        keys = [key(number) for number in numbers]
        known = known.plus(keys) if adds else known.minus(keys)
        plain = plain | set(keys) if adds else plain - set(keys)
        claims.change_claims(connection, RUN, written, known)
        written = known
        assert set(known) == plain == set(claims.claimed_by(connection, RUN))
        assert len(known) == len(plain)
        assert all((number in plain) == (number in known) for number in map(key, range(0, 2000, 97)))
    connection.close()
