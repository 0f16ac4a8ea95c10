"""No silent wrong result: each kind of damage, one by one; tests/faults/test_damage.py tries them at random."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memento.errors import DamagedEntry, StoreError
from memento.matrix.sheet import pack_rows
from memento.spool import SpoolWriter
from memento.store import SqliteStore, open_store, parts, reading
from memento.store.survey import survey
from memento.task import Status
from tests.store.helpers import frame, heard, key_of, kill, outcome_of, process, save_in_file

INLINE, IN_FILES = 60, 6
KEYS = [key_of(number) for number in range(INLINE + IN_FILES)]


def value_of(number: int) -> bytes:
    return b"value %d " % number * (20 if number < INLINE else 2000)


def fill(store: SqliteStore) -> None:
    sheet = pack_rows({number: f"{{'n': {number}}}" for number in range(len(KEYS))})
    run = store.begin_run(experiment="train", code={"train": "ab12"}, about={})
    store.describe(run, sheet)
    store.save([frame(n, value_of(n), run=run.id, log=b"printed", position=n) for n in range(INLINE)])
    for number in range(INLINE, INLINE + IN_FILES):
        save_in_file(store, number, value_of(number), run=run.id, position=number)
    store.end_run(run)


def read(path: Path) -> Counter[str]:
    """Read everything as a run and its results do; fail on the first value that is not what was stored."""
    met: Counter[str] = Counter()
    try:
        with open_store(path) as store:
            found = store.find(KEYS)
            for number, key in enumerate(KEYS):
                if key not in found:
                    met["not found"] += 1
                    continue
                try:
                    value, log = store.load(found[key], "value"), store.load(found[key], "log")
                except DamagedEntry:
                    met["damaged"] += 1
                    assert key not in store.find([key])
                    continue
                assert value == value_of(number)
                assert log == (b"printed" if number < INLINE else b"")
                assert found[key].outcome.runtime == 1.5
                met["right"] += 1
            for key, described in store.descriptions(KEYS).items():
                assert described == ("train", f"{{'n': {KEYS.index(key)}}}")
            for code in store.code_of({entry.run for entry in found.values()}).values():
                assert code in ({"train": "ab12"}, {})
            store.save([frame(number, value_of(number), attempt=2) for number in range(INLINE)])
    except StoreError:
        met["refused"] += 1
    return met


def test_a_ledger_that_ends_within_a_page_is_refused(tmp_path: Path) -> None:
    """SQLite would read zeros, and the last rows would be gone without a word."""
    with open_store(tmp_path) as store:
        fill(store)
    os.truncate(store.database, store.database.stat().st_size - 1)
    with pytest.raises(StoreError, match=r"it is cut off\): its file is damaged; nothing was deleted"):
        open_store(tmp_path)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_ledger_that_ends_within_a_page_is_mended_where_a_change_to_it_was_cut_off(tmp_path: Path, mode: str) -> None:
    with open_store(tmp_path / "whole") as store:
        fill(store)
    with contextlib.closing(sqlite3.connect(store.database, isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("PRAGMA cache_size = 1")  # what does not fit is written before the transaction ends
        database.execute("BEGIN")
        database.execute("INSERT INTO claims SELECT randomblob(8), zeroblob(90000) FROM outcomes")
        shutil.copytree(store.root, tmp_path / "cut")
    with open(tmp_path / "cut" / "ledger.sqlite", "ab") as file:
        file.write(bytes(100))
    (tmp_path / "cut" / "ledger.sqlite-shm").unlink(missing_ok=True)
    with open_store(tmp_path / "cut") as store:
        assert set(store.find(KEYS)) == set(KEYS)


def test_a_format_below_zero_is_damage(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        fill(store)
    with open(store.database, "r+b") as file:
        file.seek(60)
        file.write(b"\x80")
    with pytest.raises(StoreError, match=r"no such number\): its file is damaged; nothing was deleted"):
        open_store(tmp_path)


def change(store: SqliteStore, statement: str, *values: object) -> None:
    store.close()
    database = sqlite3.connect(store.database)
    assert database.execute(statement, values).rowcount == 1
    database.commit()
    database.close()


COLUMNS = [
    ("head", "substr(head, 1, 40) || x'ff' || substr(head, 42)"),
    ("head", "substr(head, 1, 4) || x'ff' || substr(head, 6)"),
    ("head", "NULL"), ("head", "17"), ("head", "'text'"), ("head", "x''"),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), COLUMNS)
def test_a_row_that_is_not_as_it_was_written_counts_as_not_stored(store: SqliteStore, column: str, value: str) -> None:
    fill(store)
    store.close()
    database = sqlite3.connect(store.database)
    database.execute("PRAGMA writable_schema = ON")
    database.execute("UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = 'outcomes'")
    database.commit()
    database.close()
    change(store, f"UPDATE outcomes SET {column} = {value} WHERE id = 4")
    assert set(store.find(KEYS)) == {key for key in KEYS if key != KEYS[3]}
    assert store.history(KEYS[3]) == []
    assert [message for _, message in store.damaged] == ["entry 4 of the ledger does not match its checksum"]


def test_an_outcome_whose_row_was_damaged_is_stored_when_it_comes_again(store: SqliteStore) -> None:
    store.save([frame(3)])
    change(store, f"UPDATE outcomes SET head = {COLUMNS[0][1]} WHERE id = 1")
    store.save([frame(3)])
    (entry,) = store.find([KEYS[3]]).values()
    assert store.load(entry, "value") == b"the value"


@pytest.mark.parametrize("value", ["x'00'", "NULL", "17", "'text'", "x'' || value || x'00'"])
def test_a_value_that_is_not_as_it_was_written_is_set_aside(store: SqliteStore, value: str) -> None:
    fill(store)
    change(store, f"UPDATE outcomes SET value = {value} WHERE id = 4")
    entry = store.find(KEYS)[KEYS[3]]
    with pytest.raises(DamagedEntry) as caught:
        store.load(entry, "value")
    assert str(caught.value) == (
        f"the value of {KEYS[3].hex()} does not match its digest; the entry is set aside, and running the matrix again "
        "computes it anew"
    )
    assert set(store.find(KEYS)) == {key for key in KEYS if key != KEYS[3]}
    run = store.begin_run(experiment="train", code={}, about={})
    assert store.claim(run, KEYS) == [KEYS[3]]
    store.save_and_release(run, [frame(3, value_of(3), run=run.id)], [KEYS[3]])
    assert store.load(store.find(KEYS)[KEYS[3]], "value") == value_of(3)


def test_a_damaged_value_is_set_aside_also_by_who_may_not_mark_it(store: SqliteStore, path: Path) -> None:
    store.save([frame(1)])
    change(store, "UPDATE outcomes SET value = x'00' WHERE id = 1")
    with survey(path) as looking:
        (entry,) = looking.find([KEYS[1]]).values()
        with pytest.raises(DamagedEntry):
            looking.load(entry, "value")
        assert looking.find([KEYS[1]]) == {}


def test_an_older_success_does_not_stand_in_for_a_damaged_newer_one(store: SqliteStore) -> None:
    store.save([frame(1, b"old"), frame(2, b"old")])
    store.save([frame(1, b"new", attempt=2)])
    change(store, "UPDATE outcomes SET value = x'00' WHERE id = 3")
    with pytest.raises(DamagedEntry):
        store.load(store.find(KEYS)[KEYS[1]], "value")
    assert set(store.find(KEYS)) == {KEYS[2]}
    store.save([frame(1, b"newest", attempt=3)])
    assert store.load(store.find(KEYS)[KEYS[1]], "value") == b"newest"
    assert [entry.attempt for entry in store.history(KEYS[1])] == [1, 3]


def test_a_missing_file_is_a_damaged_entry(store: SqliteStore) -> None:
    path = save_in_file(store, 1, b"large")
    path.unlink()
    with pytest.raises(DamagedEntry):
        store.load(store.find(KEYS)[KEYS[1]], "value")
    assert store.find(KEYS) == {}


@pytest.mark.parametrize(("failures", "lost"), [(1, False), (2, True)])
def test_a_file_that_the_disk_fails_to_read_twice_is_lost_and_once_is_not(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, failures: int, lost: bool
) -> None:
    save_in_file(store, 1, b"large")
    left = iter(range(failures))

    def failing(path: Path, mode: str) -> Any:
        if next(left, None) is not None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return open(path, mode)

    monkeypatch.setattr(parts, "open", failing, raising=False)
    entry = store.find(KEYS)[KEYS[1]]
    if lost:
        with pytest.raises(DamagedEntry):
            store.load(entry, "value")
    else:
        assert store.load(entry, "value") == b"large"
    assert (KEYS[1] not in store.find(KEYS)) is lost


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nobody tells how much memory is promised")
def test_where_no_more_memory_is_promised_a_large_value_is_read_all_the_same(store: SqliteStore) -> None:
    data = os.urandom(32 << 20)
    save_in_file(store, 1, data)
    entry = store.find(KEYS)[KEYS[1]]
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    promised = re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())
    assert promised is not None
    resource.setrlimit(resource.RLIMIT_DATA, ((int(promised[1]) << 10) + (8 << 20), hard))
    try:
        loaded = store.load(entry, "value")
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    assert loaded == data


def test_a_damaged_newer_result_whose_key_is_damaged_lets_no_older_one_stand_in_for_it(store: SqliteStore) -> None:
    store.save([frame(1, b"old"), frame(2, b"old")])
    store.save([frame(1, b"new", attempt=2)])
    change(store, "UPDATE outcomes SET head = substr(head, 1, 4) || x'ff' || substr(head, 6) WHERE id = 3")
    assert set(store.find(KEYS)) == {KEYS[2]}


def test_damaged_descriptions_are_left_out(store: SqliteStore) -> None:
    runs = [store.begin_run(experiment="train", code={}, about={}) for _ in range(2)]
    for run, text in zip(runs, ("zero", "one"), strict=True):
        store.describe(run, pack_rows({0: text}))
    store.save([frame(number, run=run.id) for number, run in enumerate(runs)])
    assert store.descriptions(KEYS) == {KEYS[0]: ("train", "zero"), KEYS[1]: ("train", "one")}
    change(store, "UPDATE sheets SET sheet = x'00' || substr(sheet, 2) WHERE run = ?", runs[1].id)
    assert store.descriptions(KEYS) == {KEYS[0]: ("train", "zero")}
    told = f"the descriptions of run {runs[1].id.hex()} do not match their checksum"
    assert store.damaged == [(runs[1].id, told)]


@pytest.mark.parametrize("code", ['\'{"train": "ab13"}\'', "'{'", "x'ff'", "17"])
def test_the_code_of_a_damaged_run_equals_no_code(store: SqliteStore, code: str) -> None:
    run = store.begin_run(experiment="train", code={"train": "ab12"}, about={})
    change(store, f"UPDATE runs SET code = {code}")
    assert store.code_of([run.id]) == {run.id: {}}
    assert store.damaged == [(run.id, f"the record of run {run.id.hex()} does not match its checksum")]


def test_a_damaged_declaration_is_declared_anew(store: SqliteStore) -> None:
    store.introduce("train", "depth", b"digest of 3", "3")
    change(store, "UPDATE introduced SET digest = x'00'")
    store.introduce("train", "depth", b"digest of 3", "3")
    store.introduce("train", "depth", b"digest of 3", "3")
    assert store.damaged == [(b"", "what was declared as introduced['depth'] did not match its checksum")]


def test_an_entry_that_is_gone_is_told_and_costs_no_other(store: SqliteStore) -> None:
    store.save([frame(1), frame(2)])
    change(store, "DELETE FROM outcomes WHERE id = 1")
    assert set(store.find([key_of(1), key_of(2)])) == {key_of(2)}
    assert store.damaged == [(b"", "1 entries of the ledger cannot be found any more")]


def test_a_damaged_index_is_made_anew_and_no_entry_suffers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(tmp_path / "store") as store:
        fill(store)
    data = store.database.read_bytes()
    # As the index has it: three bytes of types, the beginning of the key, and the number of the row, which is 4.
    index_entry = b"\x03\x06\x01" + KEYS[3][7::-1]
    assert data.count(index_entry + b"\x04") == 1
    store.database.write_bytes(data.replace(index_entry + b"\x04", index_entry + b"\x70"))
    with open_store(tmp_path / "store") as store:
        monkeypatch.setattr(reading, "SCANNED_PER_KEY", 0)
        assert set(store.find(KEYS)) == set(KEYS)
        monkeypatch.undo()
    assert read(tmp_path / "store") == {"right": len(KEYS)}


def test_an_index_that_leads_to_anothers_row_does_not_cost_that_one(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swaps the keys of two rows in the index only, as flipped bits in it would."""
    store.save([frame(0), frame(1)])
    store.close()
    data = store.database.read_bytes()
    with sqlite3.connect(store.database) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outcomes_by_prefix'").fetchone()
    database.close()
    start, end = (page - 1) * 4096, page * 4096
    one, two = KEYS[0][7::-1], KEYS[1][7::-1]  # numbers stand with their highest byte first
    index = data[start:end].replace(one, b"\xff" * 8).replace(two, one).replace(b"\xff" * 8, two)
    assert index != data[start:end]
    store.database.write_bytes(data[:start] + index + data[end:])
    monkeypatch.setattr(reading, "SCANNED_PER_KEY", 0)
    store.find(KEYS)
    assert set(store.find(KEYS)) == {KEYS[0], KEYS[1]}
    assert {message for _, message in store.damaged} == {"an index of the ledger was damaged; it was made anew"}


def test_a_key_damaged_in_its_row_but_not_in_the_index_costs_nothing(store: SqliteStore) -> None:
    """A claim asks the index: were it not stored to who reads, a run would wait for itself for ever."""
    store.save([frame(0), frame(1, b"older")])
    run = store.begin_run(experiment="train", code={}, about={})
    store.save([frame(1, b"newer", run=run.id)])
    store.close()
    data = store.database.read_bytes()
    with sqlite3.connect(store.database) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outcomes_by_prefix'").fetchone()
    database.close()
    places = [found.start() for found in re.finditer(re.escape(KEYS[1][7::-1]), data)]
    column, _older = [place for place in places if not (page - 1) * 4096 <= place < page * 4096]
    assert data[column + 8 : column + 25] == b"\x02" + KEYS[1]
    store.database.write_bytes(data[:column] + bytes([data[column] ^ 1]) + data[column + 1 :])
    assert store.load(store.find(KEYS[:3])[KEYS[1]], "value") == b"newer"
    assert store.claim(run, KEYS[:3]) == [KEYS[2]]


def test_a_row_whose_columns_are_shifted_does_not_give_way_to_an_older_one(store: SqliteStore) -> None:
    """One bit in the length of its first column, and every column begins at the wrong byte."""
    store.save([frame(0), frame(1, b"older")])
    store.save([frame(1, b"newer", attempt=2)])
    store.close()
    data = store.database.read_bytes()
    # The types of a record: id none, prefix a number of 8 bytes, damaged and evicted 0. Newer ones come first.
    place = data.index(b"\x00\x06\x08\x08") + 1
    store.database.write_bytes(data[:place] + b"\x04" + data[place + 1 :])
    assert set(store.find(KEYS[:2])) == {KEYS[0]}
    assert set(store.find(KEYS[:2])) == {KEYS[0]}
    run = store.begin_run(experiment="train", code={}, about={})
    assert store.claim(run, KEYS[:2]) == [KEYS[1]]


def test_a_damaged_statement_that_sqlite_quotes_is_damage(store: SqliteStore) -> None:
    store.save([frame(0)])
    store.close()
    data = store.database.read_bytes()
    assert data.count(b"CREATE INDEX outcomes_by_prefix") == 1
    store.database.write_bytes(data.replace(b"CREATE INDEX outcomes_by", b"CREATE INDEX outcomes_b\xf5"))
    with pytest.raises(StoreError, match="its file is damaged; nothing was deleted"):
        open_store(store.database)


def test_a_row_whose_columns_are_mixed_up_costs_no_other_and_is_computed_anew(tmp_path: Path) -> None:
    """Every bit of the types of a row's columns: some rows can then neither be taken apart nor marked."""
    frames = [frame(number, b"a value " * 20, metrics=b"points" * 10, log=b"printed") for number in range(3)]
    with open_store(tmp_path / "whole") as store:
        store.save(frames)
    data = store.database.read_bytes()
    types = data.index(frames[1][0]) - 8  # before the head stands the prefix of the key
    met = Counter(
        _after(tmp_path / "damaged", data, place, bit) for place in range(types - 12, types) for bit in range(8)
    )
    assert set(met) <= {"as it was", "computed anew", "refused"}
    assert met["computed anew"] > met["refused"]


def _after(folder: Path, data: bytes, place: int, bit: int) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "ledger.sqlite").write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
    for _ in range(2):
        with open_store(folder) as store:
            try:
                found = store.find(KEYS[:3])
            except StoreError:
                return "refused"
            damaged = 0
            for key, entry in found.items():
                try:
                    assert store.load(entry, "value") == b"a value " * 20
                    assert store.load(entry, "log") == b"printed"
                except DamagedEntry:
                    assert key == KEYS[1]
                    damaged += 1
    if damaged:
        return "damaged for ever"
    return "as it was" if len(found) == 3 else "computed anew"


def test_damage_met_in_the_middle_of_a_question_is_a_clear_error_and_deletes_nothing(store: SqliteStore) -> None:
    store.save([frame(number, bytes(200)) for number in range(500)])
    store.close()
    size = store.database.stat().st_size
    with open(store.database, "r+b") as file:
        for page in range(6, size // 4096, 2):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    with pytest.raises(StoreError, match="its file is damaged; nothing was deleted"):
        store.find([key_of(number) for number in range(500)])
    store.close()
    assert store.database.stat().st_size >= size


@pytest.mark.parametrize("how", ["saved", "delivered"])
def test_an_older_success_does_not_stand_in_for_a_newer_one_that_the_index_lost(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    save_again(store, how)
    data = store.database.read_bytes()
    newer = b"\x03\x06\x01" + KEYS[1][7::-1] + b"\x03"  # as the index has it: types, beginning of the key, row 3
    assert data.count(newer) == 1
    store.database.write_bytes(data.replace(newer, newer[:3] + bytes([newer[3] ^ 0x80]) + newer[4:]))
    monkeypatch.setattr(reading, "SCANNED_PER_KEY", 0)
    assert store.load(store.find([KEYS[1]])[KEYS[1]], "value") == b"newer"
    assert store.damaged == [(b"", "an index of the ledger was damaged; it was made anew")]


@pytest.mark.parametrize("how", ["saved", "delivered"])
def test_an_older_success_does_not_stand_in_for_a_newer_one_that_its_page_lost(store: SqliteStore, how: str) -> None:
    save_again(store, how)
    data = bytearray(store.database.read_bytes())
    with sqlite3.connect(store.database) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'outcomes'").fetchone()
    database.close()
    cells = (page - 1) * 4096 + 4  # the lower byte of how many rows the page has
    assert data[cells] == 3
    data[cells] ^= 1
    store.database.write_bytes(data)
    assert set(store.find(KEYS[:2])) == {KEYS[0]}


def test_what_was_replaced_stays_in_the_history_and_what_failed_anew_replaces_nothing(store: SqliteStore) -> None:
    save_again(store, "delivered")
    assert [entry.attempt for entry in store.history(KEYS[1])] == [1, 2]
    run = store.begin_run(experiment="train", code={}, about={})
    store.save_and_release(run, [frame(1, run=run.id, status=Status.FAILED)], KEYS[:2], replaced={KEYS[1]: 2})
    assert store.load(store.find(KEYS)[KEYS[1]], "value") == b"newer"


def save_again(store: SqliteStore, how: str) -> None:
    """Store two outcomes, and the second anew; nothing has the ledger open afterwards."""
    store.save([frame(0), frame(1, b"older")])
    if how == "saved":
        store.save([frame(1, b"newer", attempt=2)])
    else:
        run = store.begin_run(experiment="train", code={}, about={})
        store.save_and_release(run, [frame(1, b"newer", attempt=2, run=run.id)], KEYS[:2], replaced={KEYS[1]: 2})
        store.end_run(run)
    store.close()


HOLDING = """
store = open_store(sys.argv[1])
run = store.begin_run(experiment="e", code={}, about={})
print("holds the log", flush=True)
sys.stdin.readline()
"""


def test_what_a_run_has_ended_with_does_not_lie_in_the_log_of_one_that_is_killed(
    store: SqliteStore, path: Path
) -> None:
    """A flipped bit in that log would undo it without a word, and an older success would be there instead."""
    store.save([frame(1, b"older")])
    with process(HOLDING, path) as other:
        assert heard(other) == "holds the log"
        run = store.begin_run(experiment="e", code={}, about={})
        store.save_and_release(run, [frame(1, b"newer", run=run.id)], KEYS[:2])
        store.end_run(run)
        store.close()
        kill(other)
    log = Path(f"{store.database}-wal")
    log.write_bytes(bytes(len(log.read_bytes())))
    assert store.load(store.find([KEYS[1]])[KEYS[1]], "value") == b"newer"


def test_what_was_taken_in_of_a_dead_run_does_not_lie_in_the_log_of_another_that_is_killed(
    store: SqliteStore, path: Path
) -> None:
    store.save([frame(1, b"older")])
    with process(HOLDING, path) as other:
        assert heard(other) == "holds the log"
        run = store.begin_run(experiment="e", code={}, about={})
        writer = SpoolWriter(run.spool / "worker.spool")
        writer.append(outcome_of(1, b"newer", run=run.id))
        writer.close()
        run.unlock()  # as its process ends
        assert store.take_over() == 1
        store.close()
        kill(other)
    log = Path(f"{store.database}-wal")
    log.write_bytes(bytes(len(log.read_bytes())))
    assert store.load(store.find([KEYS[1]])[KEYS[1]], "value") == b"newer"
