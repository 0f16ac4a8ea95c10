"""What a store promises to those who save into it and find in it again, in both of its forms."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memento.errors import MatrixError
from memento.matrix.sheet import pack_rows
from memento.store import SqliteStore, open_store
from memento.task import Status
from tests.store.helpers import RUN, frame, key_of, outcome_of, save_in_file


def test_what_was_saved_is_found_again_by_another_opening(store: SqliteStore, path: Path) -> None:
    store.save([frame(1, b"one", metrics=b"points", log=b"printed"), frame(2, b"two")])
    with open_store(path) as again:
        found = again.find([key_of(1), key_of(2), key_of(3)])
        assert set(found) == {key_of(1), key_of(2)}
        entry = found[key_of(1)]
        assert [bytes(again.load(entry, part)) for part in ("value", "metrics", "log")] == [
            b"one",
            b"points",
            b"printed",
        ]
        assert (entry.key, entry.run, entry.attempt, entry.status) == (key_of(1), RUN, 1, Status.SUCCEEDED)
        assert entry.outcome.host == "a-host"
        assert entry.outcome.started == 1_700_000_000.25


def test_an_empty_part_is_empty(store: SqliteStore) -> None:
    store.save([frame(1, b"")])
    assert store.load(store.find([key_of(1)])[key_of(1)], "value") == b""
    with pytest.raises(ValueError, match="there is no part 'values'; there are: value, metrics, log"):
        store.load(store.find([key_of(1)])[key_of(1)], "values")


def test_a_large_value_is_mapped_and_can_be_changed_without_changing_the_store(store: SqliteStore) -> None:
    data = os.urandom(3_000_000)
    save_in_file(store, 1, data)
    entry = store.find([key_of(1)])[key_of(1)]
    loaded = store.load(entry, "value")
    assert isinstance(loaded, memoryview)
    assert loaded == data
    loaded[0] = loaded[0] ^ 1
    assert store.load(entry, "value") == data


def test_many_parts_are_loaded_in_the_order_asked(store: SqliteStore) -> None:
    store.save([frame(number, b"%d" % number) for number in range(1200)])
    save_in_file(store, 5000, b"in a file")
    keys = [key_of(number) for number in (*range(1199, -1, -1), 5000)]
    found = store.find(keys)
    values = [bytes(value) for value in store.load_many([found[key] for key in keys], "value")]
    assert values == [*(b"%d" % number for number in range(1199, -1, -1)), b"in a file"]


def test_the_newest_success_is_found_and_else_the_newest_of_all(store: SqliteStore) -> None:
    store.save([frame(1, status=Status.FAILED), frame(1, b"a", attempt=2), frame(1, b"b", attempt=3)])
    store.save([frame(1, attempt=4, status=Status.KILLED)])
    store.save([frame(2, status=Status.FAILED), frame(2, attempt=2, status=Status.TIMED_OUT)])
    found = store.find([key_of(1), key_of(2)])
    assert store.load(found[key_of(1)], "value") == b"b"
    assert found[key_of(2)].status is Status.TIMED_OUT
    assert [entry.attempt for entry in store.history(key_of(1))] == [1, 2, 3, 4]
    assert store.history(key_of(3)) == []


@pytest.mark.parametrize("seed", range(8))
def test_the_quick_look_and_the_close_one_find_the_same(seed: int, store: SqliteStore) -> None:
    chosen = random.Random(seed)
    number = chosen.choice([3, 30, 200])
    kinds = [Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED, Status.KILLED, Status.CANCELLED]
    attempts = range(1, chosen.randrange(2, 3 * number))
    store.save([frame(chosen.randrange(number), attempt=one, status=chosen.choice(kinds)) for one in attempts])
    for keys in ([key_of(one) for one in range(number)], [key_of(one) for one in range(number // 2, number + 99)]):
        quickly = store._found_quickly(keys)
        assert quickly is not None
        closely = store._found_closely(keys, set(keys))
        assert {key: row for key, row in quickly.items() if key in keys} == closely == store.find_rows(keys)


def test_what_was_stored_is_left_as_it_is_when_it_comes_again(store: SqliteStore) -> None:
    store.save([frame(1, b"first")])
    store.save([frame(1, b"again"), frame(2)])
    (entry,) = store.history(key_of(1))
    assert store.load(entry, "value") == b"first"
    assert len(store.history(key_of(2))) == 1


def test_more_keys_than_sqlite_takes_in_one_statement_are_found(store: SqliteStore) -> None:
    store.save([frame(number) for number in range(0, 40_000, 4000)])
    found = store.find([key_of(number) for number in range(40_000)])
    assert set(found) == {key_of(number) for number in range(0, 40_000, 4000)}


def test_descriptions_are_kept_beside_the_keys(store: SqliteStore) -> None:
    sheet = pack_rows({5: "{'lr': 0.1}", 6: "{'lr': 0.2}"})
    run = store.begin_run(experiment="train", code={}, about={})
    store.describe(run, sheet)
    store.save([frame(1, run=run.id, position=5), frame(2, run=run.id, position=6), frame(4, run=run.id, position=7)])
    store.save([frame(5, run=b"no sheet")])
    described = store.descriptions([key_of(number) for number in (1, 3, 4, 5)])
    assert described == {key_of(1): ("train", "{'lr': 0.1}")}
    store.end_run(run)


def test_the_code_of_a_run_is_kept_and_an_unknown_run_has_none(store: SqliteStore) -> None:
    run = store.begin_run(experiment="train", code={"train": "ab12"}, about={"arguments": ["x"]})
    assert store.code_of([run.id, b"12345678"]) == {run.id: {"train": "ab12"}, b"12345678": {}}
    store.end_run(run)


def test_what_was_introduced_cannot_be_declared_otherwise_later(store: SqliteStore) -> None:
    store.introduce("train", "depth", b"digest of 3", "3")
    store.introduce("train", "depth", b"digest of 3", "3")
    store.introduce("other", "depth", b"digest of 4", "4")
    with pytest.raises(MatrixError) as caught:
        store.introduce("train", "depth", b"digest of 4", "4")
    assert str(caught.value) == (
        "introduced['depth'] is 4, but earlier runs of train declared 3: the same old results cannot have had both; "
        "write 3 again, or give the experiment another version"
    )


def test_a_store_can_be_pickled_and_closed_twice_and_asked_again(store: SqliteStore) -> None:
    store.save([frame(1)])
    copy = pickle.loads(pickle.dumps(store))
    store.close()
    store.close()
    assert set(store.find([key_of(1)])) == set(copy.find([key_of(1)])) == {key_of(1)}
    copy.close()


def test_nothing_of_the_write_ahead_log_is_left_when_it_is_closed(store: SqliteStore, path: Path) -> None:
    store.save([frame(1)])
    store.close()
    assert list(path.parent.rglob("*-wal")) + list(path.parent.rglob("*-shm")) == []


def test_any_thread_may_ask(store: SqliteStore) -> None:
    found: list[int] = []

    def work(number: int) -> None:
        for step in range(20):
            store.save([frame(100 * number + step)])
            found.append(len(store.find([key_of(100 * number + other) for other in range(step + 1)])) - step)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 80


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_parent_and_child_of_a_fork_both_go_on(store: SqliteStore) -> None:
    """SQLite forbids to carry a connection over a fork; the store closes it before and opens it again after."""
    store.save([frame(1)])
    context = multiprocessing.get_context("fork")

    def work() -> None:
        store.save([frame(2)])
        os._exit(0 if set(store.find([key_of(1), key_of(2)])) == {key_of(1), key_of(2)} else 1)

    child = context.Process(target=work)
    child.start()
    store.save([frame(3)])
    child.join()
    assert child.exitcode == 0
    assert len(store.find([key_of(1), key_of(2), key_of(3)])) == 3


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_no_forked_child_has_the_ledger_open(store: SqliteStore) -> None:
    store.save([frame(1)])
    child = os.fork()
    if child == 0:
        opened = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        os._exit(str(store.database) in opened)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_whatever_is_saved_is_synced(store: SqliteStore) -> None:
    """A claim need not be; what comes after it is all the same. 3 is EXTRA: data, and the folder behind a journal."""
    for _ in range(2):
        with store._ledger.writing() as database:
            assert database.execute("PRAGMA synchronous").fetchone() == (3,)
        with store._ledger.writing(sync=False) as database:
            assert database.execute("PRAGMA synchronous").fetchone() == (1,)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_another_thread_writes_waits_for_the_end_of_its_transaction(store: SqliteStore) -> None:
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            store.save([frame(number)])

    thread = threading.Thread(target=write)
    thread.start()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if store.find([key_of(1)]) is not None else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    stop.set()
    thread.join()


def test_an_error_inside_a_transaction_undoes_it(store: SqliteStore) -> None:
    run = store.begin_run(experiment="train", code={}, about={})
    with pytest.raises(ZeroDivisionError):
        store.save_and_release(run, (frame(1 // (1 - number)) for number in range(2)), [])  # type: ignore[arg-type]
    assert store.find([key_of(1)]) == {}
    assert store.claim(run, [key_of(1)]) == [key_of(1)]


def test_a_damaged_row_met_while_claiming_is_a_configuration_to_claim(store: SqliteStore) -> None:
    run = store.begin_run(experiment="e", code={}, about={}, since=store.newest())
    other = store.begin_run(experiment="e", code={}, about={}, since=store.newest())
    store.save([frame(1, run=other.id), frame(2, run=other.id)])
    store.save([frame(1, run=other.id, attempt=2)])
    with store._ledger.writing() as database:
        database.execute("UPDATE outcomes SET head = substr(head, 1, 40) || x'ffff' || substr(head, 43) WHERE id = 3")
    assert store.claim(run, [key_of(1), key_of(2), key_of(3)]) == [key_of(1), key_of(3)]


SAVED = st.tuples(st.integers(0, 5), st.integers(1, 4), st.sampled_from(list(Status)), st.binary(max_size=20))


@settings(max_examples=30)
@given(groups=st.lists(st.lists(SAVED, max_size=6), max_size=6))
def test_it_agrees_with_a_dict_whatever_is_saved(
    groups: list[list[tuple[int, int, Status, bytes]]], tmp_path_factory
) -> None:  # type: ignore[no-untyped-def]
    model: dict[int, dict[int, tuple[Status, bytes]]] = {}
    with open_store(tmp_path_factory.mktemp("model") / "s") as store:
        for group in groups:
            store.save([frame(key, value, attempt=attempt, status=status) for key, attempt, status, value in group])
            for key, attempt, status, value in group:
                model.setdefault(key, {}).setdefault(attempt, (status, value if status.ok else b""))
            found = store.find([key_of(number) for number in range(6)])
            assert set(found) == {key_of(key) for key in model}
            for key, saved in model.items():
                assert [(entry.attempt, entry.status) for entry in store.history(key_of(key))] == [
                    (attempt, status) for attempt, (status, _) in saved.items()
                ]
                best = [attempt for attempt, (status, _) in saved.items() if status.ok] or list(saved)
                assert found[key_of(key)].attempt == best[-1]
                assert store.load(found[key_of(key)], "value") == saved[best[-1]][1]


def test_an_outcome_unpacks_to_what_was_stored(store: SqliteStore) -> None:
    given_outcome = outcome_of(1, log=b"text", status=Status.FAILED)
    store.save([frame(1, log=b"text", status=Status.FAILED)])
    read = store.find([key_of(1)])[key_of(1)].outcome
    assert read.failure == given_outcome.failure
    assert (read.log.size, read.log.digest) == (given_outcome.log.size, given_outcome.log.digest)
