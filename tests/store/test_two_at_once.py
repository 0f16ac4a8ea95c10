"""Several processes over one store: each configuration is for one to compute; a dead one's outcomes are taken in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import sqlite3
import threading
from pathlib import Path

import pytest

from memento.errors import DamagedEntry, StoreTooNew
from memento.spool import SpoolWriter
from memento.store import Run, SqliteStore, open_store, runs
from memento.task import Status
from tests.store.helpers import frame, heard, key_of, kill, outcome_of, process, save_in_file

ORCHESTRATOR = """
import sys
from memento.spool import SpoolWriter
store = open_store(sys.argv[1])
run = store.begin_run(experiment="e", code={}, about={})
print(len(store.claim(run, [key_of(n) for n in range(10)])), run.spool, flush=True)
sys.stdin.readline()
"""
DELIVERING = ORCHESTRATOR.replace(
    "sys.stdin",
    """
writer = SpoolWriter(run.spool / "worker.spool")
writer.append(outcome_of(1, b"finished", run=run.id))
writer.append(outcome_of(2, b"finished too", run=run.id))
print("delivered", flush=True)
sys.stdin""",
)
WORKER = """
import sys
from pathlib import Path
from memento.spool import SpoolWriter
folder = Path(sys.argv[1])
writer = SpoolWriter(folder / "worker.spool")
print("working", flush=True)
sys.stdin.readline()
writer.append(outcome_of(3, b"late", run=bytes.fromhex(folder.name)))
print("delivered", flush=True)
"""  # fmt: skip


@pytest.fixture
def run(store: SqliteStore) -> Run:
    return store.begin_run(experiment="mine", code={}, about={})


KEYS = [key_of(number) for number in range(10)]


def test_what_another_run_claimed_is_not_granted(store: SqliteStore, run: Run) -> None:
    other = store.begin_run(experiment="other", code={}, about={})
    assert store.claim(other, KEYS[:4]) == KEYS[:4]
    assert store.claim(run, KEYS[2:6]) == KEYS[4:6]
    assert store.claimed_by_others(run, KEYS) == set(KEYS[:4])
    store.release(other, KEYS[:1])
    store.release(run, KEYS[1:2])  # not its own
    assert store.claim(run, KEYS[:2]) == KEYS[:1]


def test_a_success_that_was_stored_meanwhile_is_not_granted_where_it_counts(store: SqliteStore, run: Run) -> None:
    store.save([frame(0), frame(1, status=Status.FAILED)])
    assert store.claim(run, KEYS[:3]) == [KEYS[1], KEYS[2]]
    assert store.claim(run, KEYS[:3], counts=lambda entry: entry.id != 1) == [KEYS[0]]


def test_a_success_that_counts_is_not_granted_though_a_newer_one_does_not_count(store: SqliteStore, run: Run) -> None:
    store.save([frame(0)])
    store.save([frame(0, attempt=2)])
    assert store.claim(run, KEYS[:1], counts=lambda entry: entry.attempt == 1) == []


def test_what_another_run_stored_between_two_of_ones_own_is_not_granted(store: SqliteStore, run: Run) -> None:
    other = store.begin_run(experiment="other", code={}, about={})
    store.claim(run, KEYS[:1])
    store.claim(other, KEYS[1:2])
    store.save_and_release(other, [frame(1, run=other.id)], KEYS[1:2])
    store.save_and_release(run, [frame(0, run=run.id)], KEYS[:1])
    assert store.claim(run, KEYS[:3]) == [KEYS[2]]


def test_what_another_run_stored_after_ones_own_came_twice_is_not_granted(store: SqliteStore, run: Run) -> None:
    other = store.begin_run(experiment="other", code={}, about={})
    store.claim(run, KEYS[:1])
    store.claim(other, KEYS[1:2])
    store.save_and_release(run, [frame(0, run=run.id)], KEYS[:1])
    store.save_and_release(run, [frame(0, run=run.id)], KEYS[:1], again=True)  # Ctrl-C came before it was known
    store.save_and_release(other, [frame(1, run=other.id)], KEYS[1:2])
    assert store.claim(run, KEYS[1:3]) == [KEYS[2]]


def test_storing_and_releasing_are_one(store: SqliteStore, run: Run) -> None:
    store.claim(run, KEYS[:2])
    store.save_and_release(run, [frame(0)], KEYS[:1])
    other = store.begin_run(experiment="other", code={}, about={})
    assert store.claimed_by_others(other, KEYS) == {KEYS[1]}
    assert set(store.find(KEYS)) == {KEYS[0]}


def test_a_run_that_ends_leaves_nothing_but_its_outcomes(store: SqliteStore, run: Run) -> None:
    store.claim(run, KEYS)
    writer = SpoolWriter(run.spool / "w.spool")
    writer.append(outcome_of(7, b"last", run=run.id))
    writer.close()
    store.end_run(run)
    assert list((store.root / "spool").iterdir()) == []
    assert set(store.find(KEYS)) == {KEYS[7]}
    assert store.claim(store.begin_run(experiment="other", code={}, about={}), KEYS[:1]) == KEYS[:1]


def test_four_processes_claim_each_configuration_once(path: Path) -> None:
    code = (
        "import sys\nstore = open_store(sys.argv[1])\nrun = store.begin_run(experiment='e', code={}, about={})\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "mine = [n for start in range(0, 400, 20) for n in range(start, start + 20) if store.claim(run, [key_of(n)])]\n"
        "print(*mine, flush=True); sys.stdin.readline()\n"
    )
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(process(code, path)) for _ in range(4)]
        assert [heard(one) for one in running] == ["ready"] * 4
        for one in running:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        claimed = [int(number) for one in running for number in heard(one).split()]
    assert sorted(claimed) == list(range(400))


def test_a_killed_run_is_taken_over_with_what_it_had_finished(path: Path, store: SqliteStore, run: Run) -> None:
    with process(DELIVERING, path) as other:
        granted, spool = heard(other).split()
        assert (granted, heard(other)) == ("10", "delivered")
        assert store.take_over() == 0  # it lives
        assert store.claimed_by_others(run, KEYS) == set(KEYS)
        kill(other)
        assert store.take_over() == 2
    assert store.claim(run, KEYS) == [KEYS[0], *KEYS[3:]]
    assert store.load(store.find(KEYS)[KEYS[1]], "value") == b"finished"
    assert not Path(spool).exists()
    assert store.take_over() == 0


def test_a_worker_that_outlives_its_orchestrator_is_waited_for(path: Path, store: SqliteStore, run: Run) -> None:
    with process(ORCHESTRATOR, path) as other:
        spool = Path(heard(other).split()[1])
        with process(WORKER, spool) as worker:
            assert heard(worker) == "working"
            kill(other)
            assert store.take_over() == 0
            assert store.claimed_by_others(run, KEYS) == set(KEYS)
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
            assert heard(worker) == "delivered"
            worker.wait()
        assert store.take_over() == 1
    assert store.load(store.find(KEYS)[KEYS[3]], "value") == b"late"
    assert store.claimed_by_others(run, KEYS) == set()


def test_what_a_torn_and_a_damaged_spool_still_hold_is_taken_in(path: Path, store: SqliteStore) -> None:
    with process(DELIVERING, path) as other:
        spool = Path(heard(other).split()[1]) / "worker.spool"
        heard(other)
        kill(other)
    data = spool.read_bytes()
    first = data.index(b"finished")
    spool.write_bytes(data[:first] + b"X" + data[first + 1 :] + data[8:100])  # a flipped byte, and a torn end
    assert store.take_over() == 1
    assert set(store.find(KEYS)) == {KEYS[2]}


def test_an_outcome_that_was_stored_already_is_not_taken_in_twice(path: Path, store: SqliteStore) -> None:
    with process(DELIVERING, path) as other:
        run = bytes.fromhex(Path(heard(other).split()[1]).name)
        heard(other)
        store.save([frame(1, b"finished", run=run)])
        kill(other)
        assert store.take_over() == 1
    assert len(store.history(KEYS[1])) == 1


def test_who_dies_while_taking_over_leaves_it_to_the_next(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with process(DELIVERING, path) as other:
        heard(other), heard(other)
        kill(other)

    def killed(*arguments: object, **named: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_take_in", killed)
    with pytest.raises(KeyboardInterrupt):
        store.take_over()
    (left,) = (store.root / "spool").iterdir()
    assert left.name.endswith(".over")
    monkeypatch.undo()
    assert store.take_over() == 2
    assert list((store.root / "spool").iterdir()) == []


def test_a_worker_that_begins_while_its_run_is_taken_over_keeps_it_alive(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.begin_run(experiment="e", code={}, about={})
    run.unlock()
    writers: list[SpoolWriter] = []
    rename = os.rename

    def begin_first(source: Path, target: Path) -> None:
        if not writers:
            writers.append(SpoolWriter(run.spool / "w.spool"))
        rename(source, target)

    monkeypatch.setattr(runs.os, "rename", begin_first)
    assert store.take_over() == 0
    monkeypatch.undo()
    writers[0].append(outcome_of(1, b"finished", run=run.id))
    assert run.spool.is_dir()
    writers[0].close()
    assert store.take_over() == 1


def test_claims_of_a_run_stand_while_another_process_takes_it_over(path: Path, store: SqliteStore, run: Run) -> None:
    store.claim(run, KEYS[:1])
    run.unlock()  # as its process ends
    with runs.taken(run.spool) as aside, open_store(path) as other:
        assert aside is not None
        assert other.take_over() == 0
        assert other.claim(other.begin_run(experiment="other", code={}, about={}), KEYS[:1]) == []


def test_claims_of_a_run_whose_folder_is_gone_are_freed(store: SqliteStore, run: Run) -> None:
    other = store.begin_run(experiment="other", code={}, about={})
    store.claim(other, KEYS[:2])
    store.claim(run, KEYS[2:4])
    other.unlock()
    runs.remove(other.spool)
    store.take_over()
    assert store.claim(run, KEYS[:4]) == KEYS[:2]


def test_a_run_is_never_taken_for_dead_while_it_begins(store: SqliteStore) -> None:
    errors: list[BaseException] = []

    def begin() -> None:
        try:
            for _ in range(40):
                run = Run(store.root / "spool")
                assert (run.spool / "alive").exists()
                SpoolWriter(run.spool / "w.spool").close()
                run.unlock()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        store.take_over()
    assert errors == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_who_looks_whether_a_run_lives_is_not_taken_for_it(run: Run) -> None:
    run.unlock()  # as its process ends
    with open(run.spool / "alive") as another:
        fcntl.flock(another, fcntl.LOCK_SH)  # as whoever looks does for a moment
        assert not runs.is_alive(run.spool)


def test_a_run_that_could_not_be_registered_leaves_nothing(store: SqliteStore) -> None:
    with contextlib.closing(sqlite3.connect(store.database)) as newer:
        newer.execute("PRAGMA user_version = 9")
    with pytest.raises(StoreTooNew):
        store.begin_run(experiment="e", code={}, about={})
    assert list((store.root / "spool").iterdir()) == []


def test_a_forked_child_does_not_keep_its_parents_run_alive(path: Path, store: SqliteStore) -> None:
    forking = """
import os, time
begun, begin = os.pipe()
child = os.fork()
if child == 0:
    os.write(begin, b"!")
    time.sleep(60)
os.read(begun, 1)  # until it lives, it has not let go of what it inherited
print(child, """
    code = ORCHESTRATOR.replace("print(", forking)
    with process(code, path) as other:
        child = int(heard(other).split()[0])
        kill(other)
        try:
            store.take_over()
            assert list((store.root / "spool").iterdir()) == []
        finally:
            os.kill(child, 9)


def test_what_is_no_runs_folder_is_left_alone(store: SqliteStore) -> None:
    (store.root / "spool" / "notes").mkdir(parents=True)
    (store.root / "spool" / "abcd").touch()
    (store.root / "spool" / ("ab" * 8)).touch()
    assert store.take_over() == 0
    assert len(list((store.root / "spool").iterdir())) == 3


def test_opening_a_store_twice_loses_nothing_when_another_process_opens_and_closes_it(tmp_path: Path) -> None:
    """The other process would take itself for the last one, and remove the log that is still being written to."""
    twice = """
import sys
store = open_store(sys.argv[1])
store.save([frame(1)])
open_store(sys.argv[1]).close()
print("open", flush=True)
sys.stdin.readline()
store.save([frame(2)])
print("saved", flush=True)
sys.stdin.readline()
"""
    with process(twice, tmp_path / "store") as other:
        assert heard(other) == "open"
        open_store(tmp_path / "store").close()
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert heard(other) == "saved"
        kill(other)
    with open_store(tmp_path / "store") as store:
        assert store.find([key_of(1), key_of(2)]).keys() == {key_of(1), key_of(2)}


def test_what_lies_below_a_newer_damaged_outcome_can_be_claimed(store: SqliteStore, run: Run) -> None:
    store.save([frame(1)])
    path = save_in_file(store, 1, b"newer", attempt=2)
    path.write_bytes(b"wrong")
    (entry,) = store.find([key_of(1)]).values()
    with pytest.raises(DamagedEntry):
        store.load(entry, "value")
    assert store.find([key_of(1)]) == {}
    assert store.claim(run, [key_of(1)]) == [key_of(1)], "neither found nor granted: a run would wait for ever"


def test_more_large_parts_than_a_process_may_have_files_open_are_held_at_once(store: SqliteStore) -> None:
    for number in range(260):
        save_in_file(store, number, b"%d" % number * 1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 32
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 230, hard))
    try:
        found = store.find([key_of(number) for number in range(260)])
        held = [store.load(found[key_of(number)], "value") for number in range(260)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [bytes(data[:3]) for data in held[-2:]] == [b"258", b"259"]


LEAVING = """
from memento.spool import SpoolWriter
store = open_store(sys.argv[1])
run = store.begin_run(experiment="e", code={}, about={})
for worker in range(2):
    writer = SpoolWriter(run.spool / f"{worker}.spool")
    for number in range(1000):
        writer.append(outcome_of(1000 * worker + number, bytes(60_000), run=run.id))
print("delivered", flush=True)
sys.stdin.readline()
"""
PEAK = """
import tracemalloc
store = open_store(sys.argv[1])
tracemalloc.start()
print(store.take_over(), tracemalloc.get_traced_memory()[1], flush=True)
"""


def test_what_a_dead_run_left_is_taken_in_without_being_held_in_memory(path: Path) -> None:
    with process(LEAVING, path) as dying:
        assert heard(dying) == "delivered"
        kill(dying)
    with process(PEAK, path) as taking:
        taken, peak = map(int, heard(taking).split())
    assert taken == 2000
    assert peak < 2000 * 60_000 / 4


def test_a_run_that_lives_is_not_taken_over_and_keeps_its_claims(store: SqliteStore) -> None:
    run = store.begin_run(experiment="e", code={}, about={})
    store.claim(run, [key_of(1)])
    assert runs.is_alive(run.spool)
    with runs.taken(run.spool) as aside:
        assert aside is None
    assert store.take_over() == 0
    assert run.spool.exists()
    store.end_run(run)


def test_what_somebody_died_over_keeps_its_name_for_whoever_dies_over_it_next(store: SqliteStore) -> None:
    run = store.begin_run(experiment="e", code={}, about={})
    run.unlock()
    left = run.spool.rename(run.spool.with_name(f".{run.id.hex()}.over"))
    with runs.taken(left) as aside:
        assert aside == left
    assert not left.exists()
