"""A store that is deleted, made anew or replaced while something still holds the old one: the new one stays whole."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest

from memento.errors import NotStored, StoreError
from memento.store import Entry, SqliteStore, open_store
from tests.store.helpers import frame, key_of, save_in_file

KEYS = [key_of(number) for number in range(4)]


def fill(path: Path, value: bytes, numbers: tuple[int, ...] = (0, 1, 2, 3)) -> SqliteStore:
    store = open_store(path)
    run = store.begin_run(experiment="train", code={}, about={})
    for number in numbers:
        if number % 2:
            save_in_file(store, number, value * 5000, run=run.id)
        else:
            store.save([frame(number, value, run=run.id)])
    store.end_run(run)
    return store


def remove(store: SqliteStore) -> None:
    for path in store.root.parent.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def written_over(old: SqliteStore, new: Path) -> None:
    """Put the ledger at `new` in the place of that of `old`, in the very file, as where its number is used again."""
    old.database.write_bytes(new.read_bytes())
    shutil.rmtree(old.root / "blobs")


def assert_nothing_changed(store: SqliteStore, value: bytes, keys: list[bytes] = KEYS) -> None:
    found = store.find(keys)
    assert list(found) == keys
    for number, key in enumerate(keys):
        assert store.load(found[key], "value") == (value * 5000 if number % 2 else value)
    with store._ledger.reading() as database:
        assert database.execute("SELECT count(*), sum(damaged) FROM outcomes").fetchone() == (len(keys), 0)
    assert store.damaged == []


def refuse(store: SqliteStore, found: dict[bytes, Entry]) -> None:
    for key in KEYS:
        with pytest.raises((StoreError, NotStored), match=r"removed or replaced|not stored any more"):
            store.load(found[key], "value")
    assert store.damaged == []


def test_old_results_of_a_store_made_anew_are_refused_and_cost_the_new_ones_nothing(path: Path) -> None:
    with fill(path, b"old") as old:
        found = old.find(KEYS)
        old.close()
        remove(old)
        with fill(path, b"new") as new:
            refuse(old, found)
            assert_nothing_changed(new, b"new")


def test_what_lies_in_files_is_refused_also_while_the_old_ledger_is_open(path: Path) -> None:
    with fill(path, b"old") as old:
        found = old.find(KEYS)
        remove(old)
        with fill(path, b"new") as new:
            assert old.load(found[KEYS[0]], "value") == b"old"
            with pytest.raises(StoreError, match="removed or replaced"):
                old.load(found[KEYS[1]], "value")
            assert_nothing_changed(new, b"new")


@pytest.mark.parametrize("new_has", [(0, 1, 2, 3), (0, 1)])
@pytest.mark.parametrize("how", ["closed", "pickled"])
def test_a_new_ledger_with_the_file_number_of_the_old_one_is_another(
    how: str, new_has: tuple[int, ...], tmp_path: Path
) -> None:
    fill(tmp_path / "new", b"new", new_has).close()
    with fill(tmp_path / "old", b"old") as old:
        found = old.find(KEYS)
        pickled = pickle.dumps(old)
        old.close()
        written_over(old, tmp_path / "new" / "ledger.sqlite")
        with pickle.loads(pickled) if how == "pickled" else old as asked:
            refuse(asked, found)
    with open_store(tmp_path / "old") as now:
        shutil.copytree(tmp_path / "new" / "blobs", now.root / "blobs")
        assert_nothing_changed(now, b"new", KEYS[: len(new_has)])


def test_a_row_that_is_anothers_now_is_left_as_it_is(tmp_path: Path) -> None:
    with fill(tmp_path / "old", b"old") as old, fill(tmp_path / "new", b"new") as new:
        found = old.find(KEYS)
        for entry in found.values():
            with pytest.raises(NotStored, match=r"is not stored any more: .* is another store"):
                new.load(entry, "value")
        assert_nothing_changed(new, b"new")


def test_a_store_that_was_removed_is_not_made_anew_by_asking_the_old_one(path: Path) -> None:
    with fill(path, b"old") as old:
        found = old.find(KEYS)
        old.close()
        old.database.unlink()
        refuse(old, found)
        assert not old.database.exists()


def test_a_run_whose_store_was_replaced_ends_with_an_error_and_marks_nothing_in_the_new_one(path: Path) -> None:
    with fill(path, b"old") as old:
        run = old.begin_run(experiment="train", code={}, about={})
        old.claim(run, KEYS)
        stored = {key: entry.id for key, entry in old.find(KEYS).items()}
        remove(old)
        with fill(path, b"new") as new:
            frames = [frame(number, b"late", run=run.id) for number in range(4)]
            for close in (False, True):
                if close:
                    old.close()
                with pytest.raises(StoreError, match="removed or replaced"):
                    old.save_and_release(run, frames, KEYS, replaced=stored)
            with pytest.raises(StoreError, match="removed or replaced"):
                old.end_run(run)
            assert_nothing_changed(new, b"new")


def test_a_flipped_bit_in_the_first_run_makes_no_other_store_of_it(store: SqliteStore) -> None:
    first = store.begin_run(experiment="train", code={}, about={}).id
    store.end_run(store.begin_run(experiment="train", code={}, about={}))
    store.save([frame(1)])
    (entry,) = store.find([key_of(1)]).values()
    store.close()
    data = store.database.read_bytes()
    in_its_row = first + b"train"  # and not in the index
    assert data.count(in_its_row) == 1
    store.database.write_bytes(data.replace(in_its_row, b"?" + in_its_row[1:]))
    assert store.load(entry, "value") == b"the value"
