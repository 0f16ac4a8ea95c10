"""What a store keeps that nothing asks for any more: found when asked, moved to its trash, removed when asked again.

Nothing is collected implicitly, and no record ever goes: an outcome whose value was evicted still says what it was.
No run may be alive, or begin, while garbage is looked for: what looks like nobody's file might be the value of an
outcome that is on its way. A run that begins later writes values under names of its own. What goes is moved by
renaming, so that a crash loses nothing; an eviction is recorded before its file goes.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from memento import checkpoints
from memento.entry import Entry
from memento.errors import StoreError
from memento.files import private_folder
from memento.store import runs
from memento.store.entries import DAMAGED, is_intact, prefix_of
from memento.task import KEY_BYTES, PART_NAMES, RUN_BYTES, Outcome

TRASH = "trash"
BEGINNING = 3600  # seconds after which a run that has not begun yet never will

ORPHAN = "belongs to no outcome"
LEFT_OVER = "was left by a process that died over it"
FINISHED = "is the checkpoint of an experiment that has succeeded"
WAITING = "is a checkpoint that another script of the same name has put aside, and its own has not come for it"
OUTDATED = "is a checkpoint of older code, or from before all was computed anew, which nobody goes on from"
SUPERSEDED = "is of a result that a newer one has replaced"


@dataclass(frozen=True, kw_only=True, slots=True)
class Garbage:
    """A file or folder that nothing asks for: its size in bytes, why it is, and the entry that it is evicted from."""

    path: Path
    bytes: int
    why: str
    entry: int | None = None


def find_garbage(
    root: Path, database: sqlite3.Connection, superseded_before: float | None, *, left: Container[bytes] = ()
) -> list[Garbage]:
    """Return what is garbage below `root`; values of the runs in `left`, which nobody has taken in, are none yet.

    Raises:
        StoreError: a run that is not in `left` goes on, or the ledger is damaged.
    """
    _refuse_while_runs_live(root, database, left)
    return [one for one in _garbage(root, database, superseded_before) if _run_of(one.path) not in left]


def record_evictions(database: sqlite3.Connection, found: list[Garbage]) -> None:
    """Mark the entries that lose their values; `database` is inside a transaction."""
    evicted = [(item.entry,) for item in found if item.entry is not None]
    database.executemany("UPDATE outcomes SET evicted = 1 WHERE id = ?", evicted)


def move_to_trash(root: Path, found: list[Garbage]) -> None:
    """Move what was `found` below `root` out of the way; every path keeps its name in a folder of this moment."""
    trash = root / TRASH / str(time.time_ns())
    for item in found:
        target = trash / item.path.relative_to(root)
        private_folder(target.parent)
        os.rename(item.path, target)


def trashed(root: Path) -> int:
    """Return how many bytes lie in the trash of the store in `root`."""
    trash = root / TRASH
    return _size(trash) if trash.exists() else 0


def purge(root: Path) -> int:
    """Remove the trash of the store in `root` for good; return how many bytes that were."""
    freed = trashed(root)
    shutil.rmtree(root / TRASH, ignore_errors=True)
    return freed


def runs_below(root: Path) -> dict[bytes, Path]:
    """Return the runs that have a folder in the store in `root`: they go on, or have left something."""
    return {run: folder for folder in _entries(root / "spool") if (run := runs.run_of(folder)) is not None}


def _refuse_while_runs_live(root: Path, database: sqlite3.Connection, left: Container[bytes]) -> None:
    path = str(root)
    if any(run not in left for run in runs_below(root)):
        raise StoreError(f"a run goes on over the store {root}; collect its garbage when no run does", path=path)
    (rows, newest) = database.execute("SELECT count(*), coalesce(max(id), 0) FROM outcomes").fetchone()
    # Not `quick_check`, which does not compare an index with its table: by the index is found whose a value is.
    if rows != newest or database.execute("PRAGMA integrity_check(1)").fetchone()[0] != b"ok":
        raise StoreError(
            f"the ledger of the store {root} is damaged, so that nobody can tell what belongs to what; nothing was "
            "collected: put a backup in its place first",
            path=path,
        )


def _garbage(root: Path, database: sqlite3.Connection, superseded_before: float | None) -> Iterator[Garbage]:
    superseded = {} if superseded_before is None else _superseded(database, superseded_before)
    for path in _below(root / "blobs", 2):
        yield from _judge(path, _blob(path.name), database, superseded)
    for path in _below(root / "artifacts", 3):
        yield from _judge(path, _artifact(path), database, superseded)
    for path in _below(root / "checkpoints", 2):
        if path.name.endswith(".tmp"):
            yield _item(path, LEFT_OVER)
        elif waiting := checkpoints.key_of_waiting(path.name):
            if _has_succeeded(waiting, path, database, by=checkpoints.about(path).origin or None):
                yield _item(path, FINISHED)
            elif superseded_before is not None and path.stat().st_mtime < superseded_before:
                yield _item(path, OUTDATED if checkpoints.is_old(path.name) else WAITING)
        elif _has_succeeded(path.name, path, database):
            yield _item(path, FINISHED)
    for folder in _entries(root / "spool"):
        if folder.name.endswith(runs.NEW) and folder.stat().st_mtime < time.time() - BEGINNING:
            yield _item(folder, LEFT_OVER)


Identity = tuple[bytes, bytes, int]


def _judge(
    path: Path, owner: Identity | None, database: sqlite3.Connection, superseded: dict[Identity, int]
) -> Iterator[Garbage]:
    if owner is None:
        if path.name.startswith(".") and path.name.endswith(".tmp"):
            yield _item(path, LEFT_OVER)
    elif owner in superseded:
        yield _item(path, SUPERSEDED, superseded[owner])
    elif not _belongs(owner, database):
        yield _item(path, ORPHAN)


def _belongs(owner: Identity, database: sqlite3.Connection) -> bool:
    """Whether an outcome is known by these, or may be one of those whose heads are damaged."""
    rows = database.execute("SELECT id, head FROM outcomes WHERE prefix = ?", [prefix_of(owner[0])])
    entries = [Entry(number, head) for number, head in rows]
    return any(not is_intact(one.head) or (one.key, one.run, one.attempt) == owner for one in entries)


def _superseded(database: sqlite3.Connection, before: float) -> dict[Identity, int]:
    """Return the successes that ended before a moment and have a newer intact success of the same key."""
    found: dict[Identity, int] = {}
    newest: dict[bytes, Entry] = {}
    for number, head in database.execute(f"SELECT id, head FROM outcomes WHERE damaged != {DAMAGED} ORDER BY id"):
        entry = Entry(number, head)
        if not is_intact(head) or not entry.ok:
            continue
        older = newest.get(entry.key)
        if older is not None and _ended(older.outcome) < before:
            found[older.key, older.run, older.attempt] = older.id
        newest[entry.key] = entry
    return found


def _has_succeeded(name: str, path: Path, database: sqlite3.Connection, by: str | None = None) -> bool:
    """Whether the experiment of a checkpoint succeeded after it; one made since is of a run that computes it anew.

    Where it matters `by` says which file's experiment that has to be.
    """
    key = _hex(name, KEY_BYTES)
    if key is None:
        return False
    rows = database.execute("SELECT id, head FROM outcomes WHERE prefix = ? AND damaged = 0", [prefix_of(key)])
    entries = [Entry(number, head) for number, head in rows if is_intact(head)]
    succeeded = [entry for entry in entries if entry.key == key and entry.ok]
    later = [entry for entry in succeeded if _ended(entry.outcome) >= path.stat().st_mtime]
    return any(by is None or _file_of(entry.run, database) == by for entry in later)


def _file_of(run: bytes, database: sqlite3.Connection) -> object:
    """Return which file's experiment a run computed, as seen from the store; None where that is not known."""
    rows = database.execute("SELECT about FROM runs WHERE id = ?", [run]).fetchall()
    try:
        return json.loads(rows[0][0])["file"]
    except (LookupError, ValueError, TypeError):  # an older run's, or damaged
        return None


def _ended(outcome: Outcome) -> float:
    return outcome.started + outcome.runtime


def _blob(name: str) -> Identity | None:
    key, _, rest = name.partition(".")
    run, _, rest = rest.partition(".")
    attempt, _, part = rest.partition(".")
    return _identity(key, run, attempt) if part in PART_NAMES else None


def _artifact(path: Path) -> Identity | None:
    run, _, attempt = path.name.partition(".")
    return _identity(path.parent.name, run, attempt)


def _run_of(path: Path) -> bytes | None:
    """Return the run of a value or an artifact; None for what is neither."""
    owner = _blob(path.name) or _artifact(path)
    return None if owner is None else owner[1]


def _identity(key: str, run: str, attempt: str) -> Identity | None:
    keyed, by = _hex(key, KEY_BYTES), _hex(run, RUN_BYTES)
    return None if keyed is None or by is None or not attempt.isdecimal() else (keyed, by, int(attempt))


def _hex(text: str, length: int) -> bytes | None:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return None
    return data if len(data) == length else None


def _item(path: Path, why: str, entry: int | None = None) -> Garbage:
    return Garbage(path=path, bytes=_size(path), why=why, entry=entry)


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(_size(entry) for entry in path.iterdir())


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _below(folder: Path, depth: int) -> Iterator[Path]:
    for path in _entries(folder):
        if depth == 1:
            yield path
        elif path.is_dir():
            yield from _below(path, depth - 1)
