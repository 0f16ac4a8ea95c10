"""Claims: which run computes which keys just now, so that no two runs compute the same.

    one row:   the run's id and the number of a piece │ up to `PIECE` keys, 16 bytes each

A row for each key would cost several times as much to insert and to delete; one row for all keys of a run is written
anew whenever one of them is done, which in a cluster's queue may be one of a hundred thousand. So a run's keys lie in
pieces of about a page, in the order in which they were claimed, and a change writes the pieces that it concerns. A row
without a number, as older versions wrote it, is a piece like the others.

What is called with a database is called inside a transaction that excludes other writers.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from memento.task import KEY_BYTES, RUN_BYTES

PIECE = 240
NUMBER_BYTES = 4
# So many places of keys that were given up long ago are remembered, at least, before they are cleared away.
FORGET = 10_000


class Claimed:
    """The keys that a run has claimed, in pieces. It never changes: with a change it is another."""

    __slots__ = ("_next", "_place", "pieces")

    def __init__(self, pieces: Mapping[bytes, frozenset[bytes]] | None = None) -> None:
        self.pieces = dict(pieces or {})
        # Shared by all that come of this one: a key that it names without being in that piece is not claimed.
        self._place = {key: name for name, keys in self.pieces.items() for key in keys}
        self._next = 1 + max((int.from_bytes(name) for name in self.pieces), default=0)

    def __contains__(self, key: bytes) -> bool:
        return key in self.pieces.get(self._place.get(key, b"none"), ())

    def __iter__(self) -> Iterator[bytes]:
        return (key for keys in self.pieces.values() for key in keys)

    def __len__(self) -> int:
        return sum(map(len, self.pieces.values()))

    def _with(self, pieces: dict[bytes, frozenset[bytes]]) -> Claimed:
        other = Claimed.__new__(Claimed)
        other.pieces, other._place, other._next = pieces, self._place, self._next
        return other

    def without(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return those of `keys` that are not claimed, each once."""
        place = self._place  # asked first, because hardly ever a key was claimed before
        return [key for key in dict.fromkeys(keys) if key not in place or key not in self]

    def plus(self, keys: Iterable[bytes]) -> Claimed:
        """Return these and `keys`."""
        new = self.without(keys)
        other = self._with(dict(self.pieces))
        start = 0
        while start < len(new):
            name = other._next.to_bytes(NUMBER_BYTES)
            piece = other.pieces.get(name, frozenset())
            some = new[start : start + PIECE - len(piece)]
            if some:
                other.pieces[name] = piece.union(some)
                other._place.update(dict.fromkeys(some, name))
            else:
                other._next += 1
            start += len(some)
        return other

    def minus(self, keys: Iterable[bytes]) -> Claimed:
        """Return these without `keys`."""
        given_up: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for key in keys:
            if (name := self._place.get(key)) is not None:
                given_up[name].append(key)
        other = self._with(dict(self.pieces))
        for name, some in given_up.items():
            if name in other.pieces:
                left = other.pieces[name].difference(some)
                if left:
                    other.pieces[name] = left
                else:
                    del other.pieces[name]
        if len(self._place) > FORGET + 2 * len(other):
            other._place = {key: name for name, keys in other.pieces.items() for key in keys}
        return other


def claimed_by_others(database: sqlite3.Connection, run: bytes) -> set[bytes]:
    """Return every key that a run other than `run` has claimed."""
    return _keys_in(database.execute("SELECT keys FROM claims WHERE run < ? OR run >= ?", _rows_of(run)))


def claimed_by(database: sqlite3.Connection, run: bytes) -> Claimed:
    """Return what `run` has claimed."""
    rows = database.execute("SELECT run, keys FROM claims WHERE run >= ? AND run < ?", _rows_of(run))
    return Claimed({name[RUN_BYTES:]: frozenset(_keys_in([(keys,)])) for name, keys in rows})


def _keys_in(rows: Iterable[tuple[bytes]]) -> set[bytes]:
    return {keys[start : start + KEY_BYTES] for (keys,) in rows for start in range(0, len(keys), KEY_BYTES)}


def _rows_of(run: bytes) -> tuple[bytes, bytes]:
    """Return between which names the rows of `run` are, the second excluded."""
    return run, run + b"\xff" * (NUMBER_BYTES + 1)


def change_claims(database: sqlite3.Connection, run: bytes, old: Claimed, new: Claimed) -> None:
    """Let `new` be all that `run` has claimed, where `old` was."""
    gone = [(run + name,) for name in old.pieces.keys() - new.pieces.keys()]
    changed = [(run + name, b"".join(keys)) for name, keys in new.pieces.items() if old.pieces.get(name) is not keys]
    if gone:
        database.executemany("DELETE FROM claims WHERE run = ?", gone)
    if changed:
        database.executemany("INSERT OR REPLACE INTO claims (run, keys) VALUES (?, ?)", changed)


def drop_claims(database: sqlite3.Connection, run: bytes) -> None:
    """Give up everything that `run` has claimed."""
    database.execute("DELETE FROM claims WHERE run >= ? AND run < ?", _rows_of(run))


def claiming_runs(database: sqlite3.Connection) -> list[bytes]:
    """Return the runs that have claimed anything."""
    return sorted({name[:RUN_BYTES] for (name,) in database.execute("SELECT run FROM claims")})
