"""Claims: which run computes which keys just now, one row for each run, so that no two runs compute the same.

A run says all the keys it has claimed anew whenever they change: one row with 16 bytes for each is several times
cheaper than inserting and deleting a row for each, as long as they are few. On this machine they are some thousands at
most; a run in a cluster's queue claims everything at once, and writes 1.6 MB anew for each 100,000. Everything here is
called inside a transaction that excludes other writers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from memento.task import KEY_BYTES


def claimed_by_others(database: sqlite3.Connection, run: bytes) -> set[bytes]:
    """Return every key that a run other than `run` has claimed."""
    return _keys_in(database.execute("SELECT keys FROM claims WHERE run != ?", [run]))


def claimed_by(database: sqlite3.Connection, run: bytes) -> set[bytes]:
    """Return every key that `run` has claimed."""
    return _keys_in(database.execute("SELECT keys FROM claims WHERE run = ?", [run]))


def _keys_in(rows: Iterable[tuple[bytes]]) -> set[bytes]:
    return {keys[start : start + KEY_BYTES] for (keys,) in rows for start in range(0, len(keys), KEY_BYTES)}


def replace_claims(database: sqlite3.Connection, run: bytes, keys: Iterable[bytes]) -> None:
    """Let `keys` be all that `run` has claimed."""
    packed = b"".join(keys)
    if packed:
        database.execute("INSERT OR REPLACE INTO claims (run, keys) VALUES (?, ?)", [run, packed])
    else:
        drop_claims(database, run)


def drop_claims(database: sqlite3.Connection, run: bytes) -> None:
    """Give up everything that `run` has claimed."""
    database.execute("DELETE FROM claims WHERE run = ?", [run])


def claiming_runs(database: sqlite3.Connection) -> list[bytes]:
    """Return the runs that have claimed anything."""
    return [run for (run,) in database.execute("SELECT run FROM claims")]
