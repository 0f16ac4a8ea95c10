"""Garbage goes when it is asked to, in two steps, and nothing that anybody may want goes with it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

import pytest

from memento import checkpoints, layout, payload
from memento.errors import DamagedEntry, NotStored, StoreError
from memento.files import private_folder
from memento.hashing.origin import as_seen_from
from memento.spool import SpoolWriter
from memento.store import SqliteStore
from memento.task import Status
from tests.store.helpers import RUN, frame, key_of, outcome_of, save_in_file
from tests.store.test_damage import change

LATER = 1_700_000_010.0  # after every outcome of these tests has ended


def put(path: Path, data: bytes = b"12345", *, age: float | None = None) -> Path:
    private_folder(path.parent)
    path.write_bytes(data)
    if age is not None:
        os.utime(path, (time.time() - age,) * 2)
    return path


def why(store: SqliteStore, **options: float) -> dict[Path, str]:
    return {item.path: item.why for item in store.collect(**options)}  # type: ignore[arg-type]


def test_a_store_in_use_has_no_garbage(store: SqliteStore) -> None:
    save_in_file(store, 1, b"large")
    put(layout.artifact_path(store.root, key_of(1), RUN, 1) / "plot.png")
    put(layout.checkpoint_path(store.root, key_of(2)))
    assert store.collect() == []
    assert store.collect(dry_run=False) == []
    assert not (store.root / "trash").exists()


def test_what_belongs_to_nobody_goes_to_the_trash_and_then_for_good(store: SqliteStore) -> None:
    kept = save_in_file(store, 1, b"large")
    blob = put(layout.blob_path(store.root, key_of(2), RUN, 1, "value"))
    torn = put(kept.with_name(f".{kept.name}.host.17.abcd.tmp"))
    folder = layout.artifact_path(store.root, key_of(3), RUN, 2)
    put(folder / "sub" / "plot.png")
    begun = put(store.root / "spool" / ".0011223344556677.new" / "alive").parent
    os.utime(begun, (0, 0))
    unknown = put(store.root / "blobs" / "aa" / "notes.txt")
    expected = {
        blob: "belongs to no outcome",
        torn: "was left by a process that died over it",
        folder: "belongs to no outcome",
        begun: "was left by a process that died over it",
    }
    assert why(store) == expected
    assert all(path.exists() for path in expected)
    assert {item.path for item in store.collect(dry_run=False)} == set(expected)
    assert not any(path.exists() for path in expected)
    assert kept.exists()
    assert unknown.exists()
    trashed = sorted(path.name for path in (store.root / "trash").rglob("*") if path.is_file())
    assert trashed == sorted([blob.name, torn.name, "plot.png", "alive"])
    assert store.collect() == []
    assert store.purge() == 20
    assert store.purge() == 0
    assert not (store.root / "trash").exists()


def test_a_run_that_is_just_beginning_is_no_garbage(store: SqliteStore) -> None:
    begun = put(store.root / "spool" / ".0011223344556677.new" / "alive").parent
    assert store.collect(dry_run=False) == []
    assert begun.exists()


def test_a_checkpoint_goes_when_its_experiment_has_succeeded_since(store: SqliteStore) -> None:
    store.save([frame(1), frame(2)])
    old = put(layout.checkpoint_path(store.root, key_of(1)))
    os.utime(old, (1_700_000_000, 1_700_000_000))
    put(layout.checkpoint_path(store.root, key_of(2)))  # of a run that computes it anew, and was interrupted
    put(layout.checkpoint_path(store.root, key_of(3)))
    assert why(store) == {old: "is the checkpoint of an experiment that has succeeded"}


def test_a_checkpoint_stays_when_the_result_of_its_experiment_is_damaged(store: SqliteStore) -> None:
    checkpoint = put(layout.checkpoint_path(store.root, key_of(1)))
    os.utime(checkpoint, (1_700_000_000.0,) * 2)
    store.save([frame(1)])
    assert why(store) == {checkpoint: "is the checkpoint of an experiment that has succeeded"}
    change(store, "UPDATE outcomes SET value = x'00' WHERE id = 1")
    with pytest.raises(DamagedEntry):
        store.load(store.find([key_of(1)])[key_of(1)], "value")
    assert why(store) == {}


def test_a_link_to_a_folder_has_the_size_of_a_link(store: SqliteStore) -> None:
    folder = layout.artifact_path(store.root, key_of(3), RUN, 1)
    put(folder / "plot.png")
    (folder / "all").symlink_to("..")
    (item,) = store.collect(dry_run=False)
    assert (item.path, item.bytes) == (folder, 5 + len(".."))


def test_no_run_can_begin_before_a_checkpoint_is_out_of_its_way(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would make one of its own under that name, which would go in place of the old one."""
    store.save([frame(1)])
    old = put(layout.checkpoint_path(store.root, key_of(1)))
    os.utime(old, (1_700_000_000, 1_700_000_000))
    could_begin: list[bool] = []

    def rename(source: Path, target: Path) -> None:
        with contextlib.closing(sqlite3.connect(store.database, timeout=0)) as database:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                could_begin.append(False)
            else:
                could_begin.append(True)
        source.replace(target)

    monkeypatch.setattr("memento.store.garbage.os.rename", rename)
    store.collect(dry_run=False)
    assert could_begin == [False]
    assert not old.exists()


def ALL(checkpoint: checkpoints.About) -> bool:
    return True


def put_waiting(store: SqliteStore, number: int, script: str) -> Path:
    """Leave the checkpoint of one script's experiment, and have another script of the same name put it aside."""
    file, other = store.root / script, store.root / "other.py"
    for one in (file, other):
        one.touch()
    path = layout.checkpoint_path(store.root, key_of(number))
    checkpoints.write(path, payload.encode({"step": 3}), b"", as_seen_from(store.root, str(file)))
    checkpoints.give_way(store.root, [key_of(number)], str(other), ALL)
    (waiting,) = path.parent.glob(f"{path.name}.*")
    os.utime(waiting, (1_700_000_000, 1_700_000_000))
    return waiting


def test_a_checkpoint_put_aside_goes_when_its_own_script_has_succeeded_since(store: SqliteStore) -> None:
    run = store.begin_run(experiment="e", code={}, about={"file": "study.py"})
    store.save([frame(number, run=run.id) for number in (1, 2)])
    store.end_run(run)
    done, of_another = put_waiting(store, 1, "study.py"), put_waiting(store, 2, "namesake.py")
    assert why(store) == {done: "is the checkpoint of an experiment that has succeeded"}
    store.collect(dry_run=False)
    checkpoints.give_way(store.root, [key_of(2)], str(store.root / "namesake.py"), ALL)
    assert not of_another.exists()
    assert checkpoints.read(layout.checkpoint_path(store.root, key_of(2))).origin == "namesake.py"


def test_a_checkpoint_put_aside_whose_script_never_came_again_goes_by_its_age(store: SqliteStore) -> None:
    waiting = put_waiting(store, 1, "study.py")
    current = put(layout.checkpoint_path(store.root, key_of(1)), age=1e6)  # somebody goes on from it
    assert why(store) == {}
    assert why(store, superseded_before=1_700_000_000) == {}
    said = "is a checkpoint that another script of the same name has put aside, and its own has not come for it"
    assert why(store, superseded_before=LATER) == {waiting: said}
    store.collect(dry_run=False, superseded_before=LATER)
    assert current.exists()
    assert not waiting.exists()


def test_a_checkpoint_of_older_code_goes_with_the_success_or_by_its_age(store: SqliteStore) -> None:
    run = store.begin_run(experiment="e", code={}, about={"file": "study.py"})
    store.save([frame(1, run=run.id)])
    store.end_run(run)
    for number in (1, 2):
        path = layout.checkpoint_path(store.root, key_of(number))
        checkpoints.write(path, payload.encode({"step": 3}), b"")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        checkpoints.give_way(store.root, [key_of(number)], "", lambda checkpoint: False)
        assert not path.exists()
    done, left = (layout.checkpoint_path(store.root, key_of(number)).with_suffix(".old") for number in (1, 2))
    assert why(store) == {done: "is the checkpoint of an experiment that has succeeded"}
    said = "is a checkpoint of older code, or from before all was computed anew, which nobody goes on from"
    assert why(store, superseded_before=LATER)[left] == said
    checkpoints.forget(store.root, key_of(2))
    assert not left.exists()


def test_large_values_of_replaced_results_go_when_asked_and_their_records_stay(store: SqliteStore) -> None:
    old = save_in_file(store, 1, b"old and large")
    artifacts = put(layout.artifact_path(store.root, key_of(1), RUN, 1) / "plot.png").parent
    new = save_in_file(store, 1, b"new and large", attempt=2)
    only = save_in_file(store, 2, b"the only one")
    assert store.collect() == []
    assert store.collect(superseded_before=1_600_000_000) == []
    expected = dict.fromkeys([old, artifacts], "is of a result that a newer one has replaced")
    assert why(store, superseded_before=LATER) == expected
    assert old.exists()
    store.collect(dry_run=False, superseded_before=LATER)
    assert new.exists()
    assert only.exists()
    first, second = store.history(key_of(1))
    assert (first.outcome.runtime, first.status.ok) == (1.5, True)
    with pytest.raises(NotStored) as caught:
        store.load(first, "value")
    assert str(caught.value) == (
        f"the value of {key_of(1).hex()} was evicted from the store to make room; its record is kept"
    )
    assert store.damaged == []
    assert store.load(second, "value") == b"new and large"
    assert store.find([key_of(1)])[key_of(1)] == second
    (trashed,) = (store.root / "trash").rglob(old.name)
    os.rename(trashed, old)
    assert store.load(first, "value") == b"old and large"


def test_a_newer_result_that_is_damaged_replaces_nothing(store: SqliteStore) -> None:
    save_in_file(store, 1, b"old and large")
    save_in_file(store, 1, b"new and large", attempt=2)
    change(store, "UPDATE outcomes SET head = x'00' WHERE id = 2")
    assert store.collect(superseded_before=LATER) == []


def test_a_newer_failure_replaces_nothing(store: SqliteStore) -> None:
    save_in_file(store, 1, b"the only one")
    store.save([frame(1, attempt=2, status=Status.FAILED)])
    assert store.collect(superseded_before=LATER) == []


def test_nothing_is_collected_while_a_run_goes_on(store: SqliteStore) -> None:
    run = store.begin_run(experiment="e", code={}, about={})
    blob = put(layout.blob_path(store.root, key_of(2), run.id, 1, "value"))
    for dry_run in (True, False):
        with pytest.raises(StoreError, match=r"a run goes on over the store .*; collect its garbage when no run does"):
            store.collect(dry_run=dry_run)
    assert blob.exists()
    store.end_run(run)
    assert why(store) == {blob: "belongs to no outcome"}


def test_what_a_dead_run_finished_is_taken_in_before_its_files_are_judged(store: SqliteStore) -> None:
    run = store.begin_run(experiment="e", code={}, about={})
    outcome = outcome_of(2, b"12345", run=run.id, in_file=True)
    put(layout.blob_path(store.root, key_of(2), run.id, 1, "value"))
    writer = SpoolWriter(run.spool / "w.spool")
    writer.append(outcome)
    writer.close()
    run.unlock()
    assert store.collect(dry_run=False) == []
    assert store.load(store.find([key_of(2)])[key_of(2)], "value") == b"12345"


def test_nothing_is_collected_from_a_damaged_ledger(store: SqliteStore) -> None:
    store.save([frame(1), frame(2)])
    change(store, "DELETE FROM outcomes WHERE id = 1")
    with pytest.raises(StoreError, match="is damaged, so that nobody can tell what belongs to what; nothing"):
        store.collect()


def test_nothing_is_collected_where_the_index_has_lost_an_entry(store: SqliteStore) -> None:
    """By it is found which outcome a value belongs to: a value that is wanted would count as nobody's."""
    value = save_in_file(store, 1, b"large")
    store.save([frame(2)])
    store.close()
    data = store.database.read_bytes()
    entry = b"\x03\x06\x09" + key_of(1)[7::-1]  # as the index has it: types, beginning of the key, row 1
    assert data.count(entry) == 1
    store.database.write_bytes(data.replace(entry, b"\x03\x06\x09" + key_of(3)[7::-1]))
    with pytest.raises(StoreError, match="is damaged, so that nobody can tell what belongs to what; nothing"):
        store.collect(dry_run=False)
    assert value.read_bytes() == b"large"
