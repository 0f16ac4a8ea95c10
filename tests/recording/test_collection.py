"""What a collection of experiments promises, also when processes die."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from memento import ExperimentCollection, OptionError, RecordingError, RecordKeeper, StoreError
from memento.recording import journal

SIX = (
    "experiment_number",
    "error_number",
    "had_error",
    "experiment_start_time",
    "experiment_end_time",
    "experiment_duration",
)


def record_one(collection, *, error=None, **values):
    with collection.new_experiment() as keeper:
        keeper.push(**values)
        if error is not None:
            raise error


def state(record):
    return record["experiment_number"], record["error_number"], record["had_error"]


def child(folder, code, **how):
    program = "from memento import ExperimentCollection\nimport os, sys, time, signal\n" + textwrap.dedent(code)
    return subprocess.Popen([sys.executable, "-c", program], cwd=folder, text=True, **how)


def run_child(folder, code):
    process = child(folder, code, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_experiments_are_numbered_on_also_by_another_collection_of_the_same_path(tmp_path):
    collection = ExperimentCollection(tmp_path / "study")
    record_one(collection, x=1)
    record_one(collection, x=2)
    record_one(ExperimentCollection(tmp_path / "study"), x=3)

    assert [(state(record), record["x"]) for record in collection.records] == [
        ((1, 0, False), 1),
        ((2, 0, False), 2),
        ((3, 0, False), 3),
    ]


def test_the_error_goes_on_and_running_again_counts_the_error_number_up_and_not_the_experiment_number(tmp_path):
    collection = ExperimentCollection(tmp_path)
    record_one(collection, x=0)
    for x in (1, 2):
        with pytest.raises(ZeroDivisionError, match=r"^by me$"):
            record_one(collection, error=ZeroDivisionError("by me"), x=x)
    record_one(collection, x=3)
    record_one(collection, x=4)

    assert [(state(record), record["x"]) for record in collection.records] == [
        ((1, 0, False), 0),
        ((2, 1, True), 1),
        ((2, 2, True), 2),
        ((2, 0, False), 3),
        ((3, 0, False), 4),
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, StopIteration])
def test_every_kind_of_error_goes_on_as_it_is(tmp_path, error):
    collection = ExperimentCollection(tmp_path)
    with pytest.raises(error):
        record_one(collection, error=error("stop"), x=1)

    assert [state(record) for record in collection.records] == [(1, 1, True)]


def test_every_record_has_the_six_names_and_the_data_given(tmp_path):
    collection = ExperimentCollection(tmp_path)
    before = time.time()
    with collection.new_experiment(seed=7) as keeper:
        keeper.sub_record_keeper(model="svm").push(x=1)
        (running,) = collection.records
        assert all(name in running for name in SIX)
        assert running["had_error"] is True
        time.sleep(0.02)

    (record,) = ExperimentCollection(tmp_path).records
    assert all(name in record for name in SIX)
    assert before <= record["experiment_start_time"] <= record["experiment_end_time"] <= time.time()
    assert 0.02 <= record["experiment_duration"] < 10
    assert (record["seed"], record["model"], record["x"]) == (7, "svm", 1)


def test_a_name_of_the_six_can_be_overridden(tmp_path):
    with ExperimentCollection(tmp_path).new_experiment(experiment_number=70) as keeper:
        keeper.push(x=1)

    assert ExperimentCollection(tmp_path).records[0]["experiment_number"] == 70


def test_nothing_is_written_before_the_first_experiment_begins(tmp_path):
    collection = ExperimentCollection(tmp_path / "a" / "b")

    assert len(collection.records) == 0
    assert not (tmp_path / "a").exists()
    assert repr(collection) == f"ExperimentCollection('{tmp_path}/a/b': 0 experiments)"


def test_old_experiments_are_never_written_again(tmp_path):
    collection = ExperimentCollection(tmp_path)
    record_one(collection, x=1)
    with pytest.raises(ZeroDivisionError):
        record_one(collection, error=ZeroDivisionError(), x=2)
    old = {path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.glob("*.*.*")}
    record_one(collection, x=3)
    assert len(collection.records) == 3

    assert len(old) == 2
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in old} == old


# ── keepers in an experiment ────────────────────────────────────────────────────────────────────────────────────────


def test_keepers_may_be_made_before_and_put_under_the_experiment_later(tmp_path):
    collection = ExperimentCollection(tmp_path)
    model = RecordKeeper(model="svm")
    losses = RecordKeeper(training=True).set_parent(model)
    losses.push(index=0)
    with collection.new_experiment() as keeper:
        model.set_parent(keeper)
        losses.push(index=1)
        losses.parent.data["late"] = "yes"
        assert [record["late"] for record in losses] == ["yes", "yes"]
        with collection.new_experiment() as other, pytest.raises(OptionError, match="belongs to an experiment"):
            model.set_parent(other)

    records = ExperimentCollection(tmp_path).where(experiment_number=1)
    assert records.values("index") == [0, 1]
    assert [(record["model"], record["training"], record["late"]) for record in records] == [("svm", True, "yes")] * 2


def test_data_that_changes_later_shows_in_records_read_before_and_in_those_on_the_disk(tmp_path):
    collection = ExperimentCollection(tmp_path)
    with collection.new_experiment() as keeper:
        sub = keeper.sub_record_keeper(model="svm", tags=["a"])
        sub.push(x=1)
        (alive,) = sub.records
        assert collection.records[0]["model"] == "svm"
        sub.data["model"] = "tree"
        sub.data["tags"].append("b")
        keeper["device"] = "cpu"
        assert (alive["model"], alive["device"]) == ("tree", "cpu")
        assert collection.records[0]["model"] == "tree"

    (record,) = ExperimentCollection(tmp_path).records
    assert (record["model"], record["device"], record["tags"]) == ("tree", "cpu", ["a", "b"])


def test_what_was_changed_inside_of_a_value_of_the_data_is_on_the_disk_at_the_end(tmp_path):
    collection = ExperimentCollection(tmp_path)
    with collection.new_experiment(tags=["a"]) as keeper:
        keeper.push(x=1)
        assert collection.records[0]["tags"] == ["a"]  # which is written by now
        keeper.data["tags"].append("b")

    assert ExperimentCollection(tmp_path).records[0]["tags"] == ["a", "b"]


def test_a_keeper_of_an_experiment_tells_of_its_own_records_only(tmp_path):
    collection = ExperimentCollection(tmp_path)
    record_one(collection, x=0)
    with collection.new_experiment() as keeper:
        first, second = keeper.sub_record_keeper(), keeper.sub_record_keeper()
        for x in range(5000):
            first.push(x=x)
        second.push(x=-1)
        assert first.records.values("x") == list(range(5000))
        assert (len(first), len(second), len(keeper), len(keeper.records)) == (5000, 1, 5001, 5001)
    assert (len(keeper.records), len(collection.records)) == (5001, 5002)


def test_after_the_end_a_record_is_refused_and_what_was_recorded_stays(tmp_path):
    collection = ExperimentCollection(tmp_path)
    with collection.new_experiment() as keeper:
        keeper.push(x=1)
    said = f"^experiment 1 of {re.escape(str(tmp_path))} has ended; record inside of its with block, or begin another"
    for _ in range(2):
        with pytest.raises(RecordingError, match=said):
            keeper.push(x=2)
    with pytest.raises(RecordingError, match=said):
        keeper.push(y=2)
    with pytest.raises(RecordingError, match=said):
        keeper.sub_record_keeper()

    assert collection.records.values("x") == [1]


def test_two_experiments_may_run_at_once_in_one_process(tmp_path):
    collection = ExperimentCollection(tmp_path)
    with collection.new_experiment() as first, collection.new_experiment() as second:
        first.push(x=1)
        second.push(x=2)

    assert sorted((record["experiment_number"], record["x"]) for record in collection.records) == [(1, 1), (2, 2)]


def test_hours_of_single_records_end_in_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "MANY_FRAMES", 20)
    collection = ExperimentCollection(tmp_path)
    with collection.new_experiment() as keeper:
        losses, other = keeper.sub_record_keeper(model="svm"), keeper.sub_record_keeper(other=True)
        for index in range(50):
            losses.push(index=index, **({"extra": "x"} if index % 10 == 0 else {}))
            other.push(thing=[index])
            assert len(collection.records) == 2 * index + 2
        running = (tmp_path / "1.1.running").stat().st_size

    stored = ExperimentCollection(tmp_path).records
    assert stored.where(model="svm").values("index") == list(range(50))
    assert stored.count("extra") == 5
    assert stored.where(other=True).values("thing") == [[index] for index in range(50)]
    assert stored[0]["had_error"] is False
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.1.succeeded", "lock"]
    assert (tmp_path / "1.1.succeeded").stat().st_size < running / 2


def test_a_keeper_that_moves_in_an_experiment_is_under_its_new_parent_also_after_a_kill(tmp_path):
    code = """
        with ExperimentCollection("study").new_experiment() as keeper:
            losses = keeper.sub_record_keeper(model="svm").sub_record_keeper()
            losses.push(loss=1)
            len(keeper.records)  # writes what there is
            losses.set_parent(keeper.sub_record_keeper(model="tree"))
            len(keeper.records)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    run_child(tmp_path, textwrap.dedent(code))

    (record,) = ExperimentCollection(tmp_path / "study").records
    assert (record["loss"], record["model"]) == (1, "tree")


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("hurried", [True, False], ids=["as fast as it can", "one now and then"])
def test_a_kill_loses_at_most_the_last_tenth_of_a_second(tmp_path, hurried):
    process = child(
        tmp_path,
        f"""
        with ExperimentCollection("study").new_experiment() as keeper:
            losses = keeper.sub_record_keeper(model="svm")
            index = 0
            while True:
                losses.push(index=index, time=time.time())
                if index % 2000 == 0 or not {hurried}:
                    os.write(1, b"%d %f\\n" % (index, time.time()))
                if not {hurried}:
                    time.sleep(0.03)
                index += 1
        """,
        stdout=subprocess.PIPE,
    )
    began = process.stdout.readline()
    deadline = time.monotonic() + 1.2
    lines = [began]
    while time.monotonic() < deadline:
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    lines += process.communicate()[0].splitlines(keepends=True)
    told = [(int(number), float(when)) for number, when in (line.split() for line in lines if line.endswith("\n"))]

    records = ExperimentCollection(tmp_path / "study").records
    kept = records.values("index")

    assert kept == list(range(len(kept)))
    killed = told[-1][1]
    lost = [when for number, when in told if number >= len(kept)]
    # On a busy machine the thread that writes may wait for its turn.
    assert not lost or killed - min(lost) < 0.1 + 0.2
    assert len(kept) > 10
    (first, *_) = records
    assert state(first) == (1, 1, True)
    assert 1 < first["experiment_duration"] < 60
    record_one(ExperimentCollection(tmp_path / "study"), index=-1)
    assert state(ExperimentCollection(tmp_path / "study").records[-1]) == (1, 0, False)
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == ["1.1.failed", "1.2.succeeded", "lock"]


def test_a_record_is_in_the_file_without_another_one_after_it(tmp_path):
    with ExperimentCollection(tmp_path).new_experiment() as keeper:
        keeper.push(x=1)
        time.sleep(0.3)
        data = (tmp_path / "1.1.running").read_bytes()
        assert b'[["x","b",0,1]]' in data


@pytest.mark.parametrize("cut", [1, 5, 17, 40])
def test_a_torn_tail_is_recognised_and_all_before_it_is_read(tmp_path, cut):
    with ExperimentCollection(tmp_path).new_experiment() as keeper:
        for x in range(3):
            keeper.push(x=x)
            assert len(keeper.records) == x + 1
    file = tmp_path / "1.1.succeeded"
    whole = file.read_bytes()
    last = whole.rindex(b"\xf5MR1")
    file.write_bytes(whole[: last + cut])

    assert ExperimentCollection(tmp_path).records.values("x") == [0, 1, 2]
    file.write_bytes(whole[: whole.rindex(b"\xf5MR1", 0, last) + cut])
    assert ExperimentCollection(tmp_path).records.values("x") == [0, 1]


def test_a_flipped_bit_costs_its_frame_and_is_told(tmp_path):
    with ExperimentCollection(tmp_path).new_experiment() as keeper:
        for x in range(3):
            keeper.push(x=x)
            assert len(keeper.records) == x + 1
    file = tmp_path / "1.1.succeeded"
    data = bytearray(file.read_bytes())
    data[data.index(b'[["x","b",0,1]]')] ^= 1
    file.write_bytes(data)

    with pytest.warns(RuntimeWarning, match=r"\d+ bytes of .*1\.1\.succeeded do not match their checksum"):
        assert ExperimentCollection(tmp_path).records.values("x") == [1, 2]


def test_a_file_of_something_else_is_named(tmp_path):
    (tmp_path / "1.1.succeeded").write_text("my own notes")

    with pytest.raises(StoreError, match=r"1\.1\.succeeded is no file of records; move it out of the way$"):
        ExperimentCollection(tmp_path).records


def test_processes_record_into_one_collection_at_once_and_none_takes_anothers_number(tmp_path):
    code = """
        collection = ExperimentCollection("study")
        for round in range(5):
            with collection.new_experiment(who=int(sys.stdin.readline())) as keeper:
                for index in range(2000):
                    keeper.push(index=index, round=round)
    """
    processes = [child(tmp_path, code, stdin=subprocess.PIPE) for _ in range(3)]
    for who, process in enumerate(processes):
        process.stdin.write(f"{who}\n" * 5)
        process.stdin.close()
    collection = ExperimentCollection(tmp_path / "study")
    while any(process.poll() is None for process in processes):
        for (_, _), records in (
            collection.records.groupby("who", "experiment_number").items() if len(collection.records) else ()
        ):
            assert records.values("index") == list(range(len(records)))
    assert [process.returncode for process in processes] == [0, 0, 0]

    records = collection.records
    assert list(records.groupby("experiment_number")) == list(range(1, 16))
    assert set(records.groupby("who", "round").count().values()) == {2000}
    assert not any(records.values("had_error"))


def test_a_forked_process_is_told_to_record_elsewhere_and_takes_nothing_along(tmp_path):
    code, out, err = run_child(
        tmp_path,
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        collection = ExperimentCollection("study")
        with collection.new_experiment() as keeper:
            keeper.push(x=1)
            if os.fork() == 0:
                try:
                    keeper.push(x=2)
                except RuntimeError as error:
                    print(type(error).__name__, str(error).split(", whose")[0], flush=True)
                with collection.new_experiment() as own:
                    own.push(x=3)
                sys.exit(0)
            os.wait()
            keeper.push(x=4)
        print(collection.records.values("x"), collection.records.values("experiment_number"))
        """,
    )

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "RecordingError this process was forked from the experiment",
        "[1, 4, 3] [1, 1, 2]",
    ]


def push_for_seconds(keeper, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        keeper.push(x=2)


def test_a_full_disk_is_told_and_what_waited_is_written_when_there_is_room(tmp_path, monkeypatch):
    full = [True]

    def write_all(descriptor, chunks):
        if full[0]:
            os.write(descriptor, b"a torn piece")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        for chunk in chunks:
            os.write(descriptor, chunk)

    collection = ExperimentCollection(tmp_path)
    with collection.new_experiment() as keeper:
        monkeypatch.setattr(journal, "write_all", write_all)
        keeper.push(x=1)
        said = r"^No space left on device while writing .*; what was written stays, make room"
        with pytest.raises(StoreError, match=said):
            push_for_seconds(keeper, 10)
        full[0] = False
        time.sleep(0.2)
        keeper.push(x=3)

    values = ExperimentCollection(tmp_path).records.values("x")
    assert (values[0], values[-1]) == (1, 3)
    assert set(values[1:-1]) == {2}


def test_an_experiment_that_cannot_begin_on_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def write_all(descriptor, chunks):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    collection = ExperimentCollection(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "write_all", write_all)
        with pytest.raises(StoreError, match=r"^No space left on device while writing"):
            record_one(collection, x=1)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]

    record_one(collection, x=2)
    assert [(state(record), record["x"]) for record in collection.records] == [((1, 0, False), 2)]


def test_what_the_writing_thread_fails_at_is_told_to_who_records_next(tmp_path, monkeypatch):
    def pack_frame(*_):
        raise ArithmeticError("a defect")

    collection = ExperimentCollection(tmp_path)
    said = r"^some records could not be written to .*1\.1\.running: ArithmeticError: a defect$"
    with pytest.raises(RecordingError, match=said):  # noqa: PT012, SIM117
        with collection.new_experiment() as keeper:
            with monkeypatch.context() as patch:
                patch.setattr(journal, "pack_frame", pack_frame)
                keeper.push(x=1)
                time.sleep(0.3)
            push_for_seconds(keeper, 5)


@pytest.mark.parametrize("killed", [False, True])
def test_what_was_recorded_is_synced_before_its_file_gets_its_name_for_good(tmp_path, monkeypatch, killed):
    if killed:
        code = (
            "with ExperimentCollection('study').new_experiment() as keeper:\n    os.kill(os.getpid(), signal.SIGKILL)"
        )
        run_child(tmp_path, code)
    done, fsync, rename = [], os.fsync, os.rename

    def noted_fsync(descriptor):
        done.append(("synced", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def noted_rename(source, target):
        done.append((target.name, os.stat(source).st_ino))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    record_one(ExperimentCollection(tmp_path / "study"), x=1)

    name = "1.1.failed" if killed else "1.1.succeeded"
    number = (tmp_path / "study" / name).stat().st_ino
    assert [what for what, which in done if which == number] == ["synced", name]
    assert ("synced", (tmp_path / "study").stat().st_ino) in done[done.index((name, number)) :]


def test_a_kill_between_the_file_of_the_end_and_the_removal_of_the_running_one_doubles_no_record(tmp_path):
    collection = ExperimentCollection(tmp_path)
    record_one(collection, x=1)
    shutil.copy(tmp_path / "1.1.succeeded", tmp_path / "1.1.running")

    assert collection.records.values("x") == [1]
    record_one(collection, x=2)
    assert [(state(record), record["x"]) for record in collection.records] == [((1, 0, False), 1), ((2, 0, False), 2)]
