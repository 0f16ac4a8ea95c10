"""What keepers and records promise, in memory."""

from __future__ import annotations

import os
import pickle
import re
import threading

import pytest

from memento import OptionError, Record, RecordKeeper
from memento.recording import keeper


def test_a_record_reads_its_own_values_and_those_of_every_keeper_above():
    top = RecordKeeper(study="birds", model="none")
    losses = top.sub_record_keeper(model="svm").sub_record_keeper(training=True)
    losses.add_record({"index": 3, "loss": 0.5})

    (record,) = top.records

    assert dict(record) == {"study": "birds", "model": "svm", "training": True, "index": 3, "loss": 0.5}
    assert (record["study"], record["model"], record["loss"]) == ("birds", "svm", 0.5)


def test_the_nearest_value_wins_and_the_record_is_nearest_of_all():
    keeper = RecordKeeper(x=1, y=1).sub_record_keeper(x=2, y=2)
    keeper.push(x=3)

    assert dict(keeper.records[0]) == {"x": 3, "y": 2}


def test_a_key_that_nobody_has_reads_as_none_while_in_get_and_keys_tell_the_truth():
    keeper = RecordKeeper(model="svm")
    keeper.push(loss=None)
    keeper.push(other=1)
    record = keeper.records[0]

    assert record["nothing"] is None
    assert "nothing" not in record
    assert record.get("nothing", 7) == 7
    assert list(record.keys()) == ["model", "loss"]
    assert record["loss"] is None
    assert "loss" in record
    assert record.get("loss", 7) is None
    assert "other" not in record
    assert len(record) == 2


def test_a_record_is_a_read_only_dict():
    keeper = RecordKeeper(model="svm")
    keeper.push(loss=0.5)
    record = keeper.records[0]

    assert record == {"model": "svm", "loss": 0.5}
    assert list(record.items()) == [("model", "svm"), ("loss", 0.5)]
    assert list(record.values()) == ["svm", 0.5]
    assert record.own() == {"loss": 0.5}
    assert repr(record) == "Record({'model': 'svm', 'loss': 0.5})"
    assert isinstance(record, Record)
    with pytest.raises(TypeError, match="does not support item assignment"):
        record["loss"] = 1
    with pytest.raises(TypeError, match="does not support item deletion"):
        del record["loss"]


def test_a_keepers_data_may_change_later_and_shows_in_every_record_below_it():
    top = RecordKeeper(x=1)
    sub = top.sub_record_keeper()
    sub.push(y=2)
    before = top.records[0]

    top.data["x"] = 10
    top["z"] = 3
    sub.data.update(w=4)
    assert dict(before) == dict(top.records[0]) == {"x": 10, "z": 3, "w": 4, "y": 2}

    del top.data["z"]
    top.data |= {"x": 11}
    assert dict(before) == {"x": 11, "w": 4, "y": 2}


def test_all_ways_of_recording_record_the_same():
    keeper = RecordKeeper()
    keeper.add_record({"index": 1, "loss": 0.5})
    keeper.push(index=1, loss=0.5)
    keeper.add(index=1)
    keeper.add({"loss": 0.5}).commit()
    keeper.pending_record["index"] = 1
    keeper.pending_record["loss"] = 0.5
    keeper.commit_record()

    assert [dict(record) for record in keeper] == [{"index": 1, "loss": 0.5}] * 4
    assert keeper.pending_record == {}


def test_what_is_recorded_is_what_the_dict_held_at_the_call():
    keeper = RecordKeeper()
    reused = {"x": 1}
    keeper.add_record(reused)
    reused["x"] = 2
    keeper.add_record(reused)

    assert keeper.records.values("x") == [1, 2]


def test_length_iteration_and_records_tell_of_the_keeper_and_all_below_it():
    top = RecordKeeper()
    first, second = top.sub_record_keeper(name="first"), top.sub_record_keeper(name="second")
    for number in range(10_000):
        first.push(number=number)
    second.push(number=-1)
    top.push(number=-2)

    assert (len(top), len(first), len(second)) == (10_002, 10_000, 1)
    assert [record["number"] for record in first] == list(range(10_000))
    assert (first.records[9_999]["number"], first.records[-1]["name"]) == (9_999, "first")
    assert len(top.records) == 10_002
    assert bool(RecordKeeper())


def test_set_parent_brings_everything_below_along_and_returns_the_keeper():
    loose = RecordKeeper(a=1)
    loose.sub_record_keeper(b=2).push(x=1)
    top = RecordKeeper(c=3)

    assert loose.set_parent(top) is loose
    assert [dict(record) for record in top] == [{"c": 3, "a": 1, "b": 2, "x": 1}]
    assert loose.parent is top

    other = RecordKeeper(d=4)
    loose.set_parent(other)
    assert (len(top), len(other)) == (0, 1)
    assert dict(other.records[0]) == {"d": 4, "a": 1, "b": 2, "x": 1}


def test_a_keeper_cannot_be_its_own_ancestor():
    top = RecordKeeper()
    with pytest.raises(
        OptionError, match=r"^a keeper cannot be its own ancestor: the parent given is this keeper or one"
    ):
        top.set_parent(top.sub_record_keeper().sub_record_keeper())


def test_records_of_different_names_keep_their_order():
    keeper = RecordKeeper()
    given = [{"a": 1}, {"b": 2, "a": 3}, {"a": 4, "b": None}, {}, {"c": 5}, {"a": 6}, {"b": 7, "c": 8}]
    for record in given:
        keeper.add_record(record)

    assert [dict(record) for record in keeper] == given


def test_many_kinds_of_records_cost_no_more_than_their_values():
    keeper = RecordKeeper()
    for number in range(1000):
        keeper.add_record({f"name {number}": number})

    assert [dict(record) for record in keeper] == [{f"name {number}": number} for number in range(1000)]
    assert sum(chunk.length * len(chunk.columns) for chunk, _ in keeper.records.parts()) < 1000 * 70


@pytest.mark.parametrize("name", [1, None, "", ("a", "b")])
def test_a_name_that_is_no_text_is_refused(name):
    keeper = RecordKeeper()
    with pytest.raises(
        OptionError, match=re.escape(f"texts of at least one character, not {name!r}; write add_record")
    ):
        keeper.add_record({name: 1})
    assert len(keeper) == 0


def test_threads_lose_and_mix_nothing():
    keeper = RecordKeeper()
    begin = threading.Barrier(4)

    def record(thread):
        begin.wait()
        for number in range(20_000):
            if number % 7:
                keeper.push(thread=thread, number=number)
            else:
                keeper.push(number=number, thread=thread, seven=thread)

    threads = [threading.Thread(target=record, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keeper) == len(keeper.records) == 80_000
    for thread in range(4):
        assert sorted(keeper.records.where(thread=thread).values("number")) == list(range(20_000))
    assert keeper.records.count("seven") == 4 * 2858


class RecordsMoreWhenItIsCopied:
    """What another thread may do while this one adds a record: add one of other names, and read."""

    def __init__(self, keeper):
        self.keeper = keeper

    def __reduce__(self):
        self.keeper.push(other=1)
        assert len(self.keeper.records) == 2
        return str, ("copied",)


def test_a_record_that_is_being_added_while_others_read_is_not_lost():
    keeper = RecordKeeper()
    keeper.push(value=0)
    keeper.push(value=RecordsMoreWhenItIsCopied(keeper))

    assert len(keeper) == 3
    assert sorted(str(dict(record)) for record in keeper.records) == [
        "{'other': 1}",
        "{'value': 'copied'}",
        "{'value': 0}",
    ]


def test_records_can_be_pickled_and_a_keeper_says_why_not():
    keeper = RecordKeeper(model="svm")
    keeper.push(loss=0.5, tags=["a"])

    assert pickle.loads(pickle.dumps(keeper.records[0])) == {"model": "svm", "loss": 0.5, "tags": ["a"]}
    assert list(pickle.loads(pickle.dumps(keeper.records))) == [{"model": "svm", "loss": 0.5, "tags": ["a"]}]
    with pytest.raises(TypeError, match=r"^a RecordKeeper cannot be sent to another process; send keeper.records, or"):
        pickle.dumps(keeper)


def test_a_keeper_shows_what_it_has():
    keeper = RecordKeeper(study="birds").sub_record_keeper(model="svm")
    keeper.push(x=1)

    assert repr(keeper) == "RecordKeeper(study='birds', model='svm': 1 records)"
    assert repr(keeper.records) == "Records(1 with study, model, x)"


def test_the_names_in_a_keepers_data_are_texts_too():
    said = r"^the names in a record and in a keeper's data are texts of at least one character, not 1; write"
    with pytest.raises(OptionError, match=said):
        RecordKeeper({1: 2})
    with pytest.raises(OptionError, match=said):
        RecordKeeper().data[1] = 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_while_another_thread_records_can_record():
    with keeper._memory_lock:
        child = os.fork()
        if child == 0:  # where a lock that another thread holds looks like one that this one does not
            thread = threading.Thread(target=RecordKeeper().push, kwargs={"x": 1}, daemon=True)
            thread.start()
            thread.join(10)
            os._exit(thread.is_alive())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
