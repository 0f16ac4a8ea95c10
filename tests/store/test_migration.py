"""Stores of every format that was ever written can be read, and none is lost on the way to the newest."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from memento.errors import MatrixError, StoreError
from memento.spool import pack_frame
from memento.store import open_store, schema
from memento.task import Failure, Status
from tests.store.helpers import RUN, frame, heard, kill, process

FIXTURES = Path(__file__).parent / "fixtures"
ONE, TWO, THREE, NINE = (
    bytes.fromhex(key)
    for key in (
        "6b86b273ff34fce19d6b804eff5a3f57",
        "d4735e3a265e16eee03f59718b9b5d03",
        "4e07408562bedb8b60ce05c1decfe3ad",
        "19581e27de7ced00ff1ce50b2047e7a5",
    )
)


def stored(tmp_path: Path, format: int) -> Path:
    """Return a store of `format` as that format's memento had written it."""
    folder = tmp_path / "store"
    blob = folder / "blobs" / "4e" / f"{THREE.hex()}.{RUN.hex()}.1.value"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"large value")
    database = sqlite3.connect(folder / "ledger.sqlite")
    database.executescript((FIXTURES / f"format-{format}.sql").read_text())
    database.close()
    (folder / "ledger.sqlite").chmod(0o600)
    return folder


def check(folder: Path) -> None:
    with open_store(folder) as store:
        found = store.find([ONE, TWO, THREE, NINE])
        assert set(found) == {ONE, TWO, THREE}
        one = found[ONE]
        assert [bytes(store.load(one, part)) for part in ("value", "metrics", "log")] == [
            b"one",
            b"points",
            b"printed\n",
        ]
        assert bytes(store.load(found[TWO], "value")) == b"second"
        assert bytes(store.load(found[THREE], "value")) == b"large value"
        outcome = one.outcome
        assert (outcome.run, outcome.attempt, outcome.status) == (b"run-0001", 1, Status.SUCCEEDED)
        assert (outcome.started, outcome.runtime, outcome.host) == (1_700_000_000.25, 1.5, "a-host")
        assert outcome.summary == b"17"
        failed, _ = store.history(TWO)
        assert failed.outcome.failure == Failure(type="ValueError", message="no")
        assert store.descriptions([ONE, TWO]) == {ONE: ("train", "{'lr': 0.1}"), TWO: ("train", "{'lr': 0.2}")}
        assert store.code_of([RUN]) == {RUN: {"train": "ab12"}}
        with pytest.raises(MatrixError, match="earlier runs of train declared 3"):
            store.introduce("train", "depth", b"digest of 4", "4")
        assert store.damaged == []


@pytest.mark.parametrize("format", [1, 2])
def test_a_store_of_any_format_is_read_as_it_was_written(tmp_path: Path, format: int) -> None:
    folder = stored(tmp_path, format)
    check(folder)
    with open_store(folder) as store:
        run = store.begin_run(experiment="train", code={}, about={})
        assert store.claimed_by_others(run, [NINE]) == {NINE}
        store.take_over()
        assert store.claim(run, [NINE]) == [NINE]


def test_a_damaged_row_of_an_older_format_is_a_damaged_row_of_the_newest(tmp_path: Path) -> None:
    folder = stored(tmp_path, 1)
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as database, database:
        database.execute("UPDATE outcomes SET head = substr(head, 1, 40) || x'ff' || substr(head, 42) WHERE id = 1")
    with open_store(folder) as store:
        assert set(store.find([ONE, TWO, THREE])) == {TWO, THREE}
        assert store.history(ONE) == []


def test_what_a_run_of_an_older_format_left_in_its_spools_is_taken_in(tmp_path: Path) -> None:
    folder = stored(tmp_path, 1)
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as database, database:
        head, *bodies = database.execute("SELECT head, value, metrics, log FROM outcomes WHERE id = 1").fetchone()
        database.execute("UPDATE outcomes SET head = x'00' WHERE id = 1")
        database.execute("DELETE FROM outcomes WHERE id = 1")
        database.execute("UPDATE outcomes SET id = id - 1")
    spool = folder / "spool" / RUN.hex()
    spool.mkdir(parents=True)
    (spool / "worker-1.spool").write_bytes(b"MSPOOL1\n" + pack_frame((head, tuple(bodies))))
    with open_store(folder) as store:
        assert store.take_over() == 1
        assert bytes(store.load(store.find([ONE])[ONE], "value")) == b"one"


def add_a_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE outcomes ADD COLUMN note TEXT")
    connection.execute("UPDATE outcomes SET note = 'old'")


@pytest.fixture
def newer_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "FORMAT", 3)
    monkeypatch.setitem(schema.MIGRATIONS, 2, add_a_column)


@pytest.mark.usefixtures("newer_format")
def test_an_older_format_is_brought_up_with_all_its_values_and_a_backup(tmp_path: Path) -> None:
    folder = stored(tmp_path, 1)
    check(folder)
    with sqlite3.connect(folder / "ledger.sqlite") as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)
        assert database.execute("SELECT DISTINCT note FROM outcomes").fetchall() == [("old",)]
    database.close()
    backup = folder / "ledger.sqlite.format-1.backup"
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with sqlite3.connect(backup) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM outcomes").fetchone() == (4,)
    database.close()


@pytest.mark.usefixtures("newer_format")
def test_a_new_store_is_made_in_the_newest_format_without_a_backup(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        store.save([frame(1)])
        assert [path.name for path in store.root.glob("*backup*")] == []
        with store._ledger.reading() as database:
            assert database.execute("PRAGMA user_version").fetchone() == (3,)
            assert "note" in {bytes(row[1]).decode() for row in database.execute("PRAGMA table_info(outcomes)")}


def test_a_migration_that_fails_leaves_the_old_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stored(tmp_path, 1)

    def break_off(connection: sqlite3.Connection) -> None:
        add_a_column(connection)
        raise KeyError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "FORMAT", 3)
        patch.setitem(schema.MIGRATIONS, 2, break_off)
        with pytest.raises(KeyError):
            open_store(folder)
    check(folder)


MIGRATING = """
import sys, time
from memento.store import schema
def migrate(connection):
    connection.execute("ALTER TABLE outcomes ADD COLUMN note TEXT")
    connection.execute("UPDATE outcomes SET head = x'00'")
    print("in the middle", flush=True)
    sys.stdin.readline()
schema.FORMAT = 3
schema.MIGRATIONS[2] = migrate
open_store(sys.argv[1])
print("done", flush=True)
"""


def test_a_kill_in_the_middle_of_a_migration_leaves_the_old_format(tmp_path: Path) -> None:
    folder = stored(tmp_path, 1)
    with process(MIGRATING, folder) as other:
        assert heard(other) == "in the middle"
        kill(other)
    check(folder)


@pytest.mark.usefixtures("newer_format")
def test_only_one_of_two_processes_migrates(tmp_path: Path) -> None:
    folder = stored(tmp_path, 1)
    code = MIGRATING.replace("    connection.execute(\"UPDATE outcomes SET head = x'00'\")\n", "")
    with process(code, folder) as first:
        assert heard(first) == "in the middle"
        with process(code, folder) as second:
            assert first.stdin is not None
            first.stdin.write("\n")
            first.stdin.flush()
            assert heard(first) == "done"
            assert heard(second) == "done"


@pytest.mark.usefixtures("newer_format")
def test_an_older_format_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = stored(tmp_path, 1)
    monkeypatch.setattr(schema, "is_writable", lambda database: False)
    with pytest.raises(StoreError) as caught:
        open_store(folder)
    assert str(caught.value) == (
        f"the store {folder}/ledger.sqlite has format 1 and is read-only here, so that it cannot be brought to "
        "format 3; open it once where it is writable, or copy it"
    )
    assert not list(folder.glob("*backup*"))
    shutil.rmtree(folder)
