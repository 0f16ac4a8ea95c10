"""Any value that is recorded comes back as it was, from memory and from the disk."""

from __future__ import annotations

import datetime
import decimal
import importlib
import math
import subprocess
import sys
import tempfile
import zoneinfo

import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memento import ExperimentCollection, RecordKeeper
from memento.recording.chunks import Chunk, StoredLevel
from memento.recording.columns import column_of
from memento.recording.segments import MAGIC, pack_frame, unpack

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = PLAIN | st.binary(max_size=9) | st.dates() | st.lists(PLAIN, max_size=3) | st.tuples(PLAIN)
ROWS = st.one_of(
    *(st.lists(st.dictionaries(st.sampled_from("abc"), kind, max_size=3), max_size=40) for kind in (VALUES, PLAIN)),
    *(st.lists(st.fixed_dictionaries({"a": kind}), max_size=40) for kind in (st.integers(), st.floats(), st.text())),
)


def told_apart(value: object) -> str:
    """Text in which NaN equals NaN, and 1, 1.0 and True differ."""
    return repr(value)


@given(rows=ROWS, shared=st.dictionaries(st.sampled_from("abd"), VALUES, max_size=2))
@settings(max_examples=120)
def test_whatever_is_recorded_is_read_again(rows, shared):
    with tempfile.TemporaryDirectory() as folder:
        with ExperimentCollection(folder).new_experiment() as keeper:
            own = keeper.sub_record_keeper(**shared)
            for row in rows:
                own.add_record(row)
            alive = [record.own() for record in own.records]
        stored = ExperimentCollection(folder).records

        assert told_apart([list(record.own().items()) for record in stored]) == told_apart(
            [sorted(row.items(), key=lambda item: names_in_order(rows).index(item[0])) for row in rows]
        )
        assert told_apart(alive) == told_apart([record.own() for record in stored])
        for record, row in zip(stored, rows, strict=True):
            whole = {**shared, **row}
            assert told_apart({name: record[name] for name in sorted(whole)}) == told_apart(
                {name: whole[name] for name in sorted(whole)}
            )


def names_in_order(rows):
    return list(dict.fromkeys(name for row in rows for name in row))


@pytest.mark.parametrize(
    ("values", "kind", "size"),
    [
        ([1, -128, 127], "b", 3),
        ([1, 128], "h", 4),
        ([1, 2**31 - 1], "i", 8),
        ([1, -(2**63)], "q", 16),
        ([0.5, math.inf], "d", 16),
        ([True, False, True], "?", 3),
        (["svm", "tree", "svm"], "s", 4 + 15 + 3),
    ],
)
def test_a_column_is_as_narrow_as_its_values_allow(values, kind, size):
    column = column_of(values)

    assert (column.kind, len(column.data)) == (kind, size)


def test_the_stored_form_is_pinned():
    segment = unpack(MAGIC + bytes.fromhex(PINNED))

    assert [list(column.rows) for column in segment.chunks[0].columns.values()] == [[1, 2], [0.5, None], ["a", "b"]]
    assert segment.chunks[0].shared() == {"model": "svm"}
    assert segment.at == 1.5

    level = StoredLevel({"model": "svm"})
    columns = {"index": column_of([1, 2]), "loss": column_of([0.5, None]), "name": column_of(["a", "b"])}
    frame = pack_frame(1.5, [(0, -1, level.data)], [(0, Chunk(level, 2, columns))])
    # Releases of zlib pack masks differently; all else is the same everywhere.
    assert frame[16:].hex().startswith(PINNED[32:280])
    assert frame.hex().endswith(PINNED[-48:])


PINNED = (
    "f54d5231944953819e00000000000000760000007b226174223a312e352c226b656570657273223a5b5b302c2d312c7b226d6f64656c22"
    "3a2273766d227d5d5d2c226368756e6b73223a5b5b302c322c5b5b22696e646578222c2262222c302c325d2c5b226c6f7373222c226422"
    "2c31302c385d2c5b226e616d65222c2273222c302c31365d5d5d5d7d010278016364020000060004000000000000e03f0a0000005b2261"
    "222c202262225d0001"
)


def test_scalars_of_numpy_become_plain_numbers():
    keeper = RecordKeeper()
    keeper.push(a=numpy.float32(0.5), b=numpy.int64(3), c=numpy.bool_(True), d=numpy.array(2.0))

    record = keeper.records[0]

    assert [type(record[name]) for name in "abcd"] == [float, int, bool, float]
    assert dict(record) == {"a": 0.5, "b": 3, "c": True, "d": 2.0}


TIMES = [
    numpy.datetime64("2020-01-01T00:00:00.000000001"),
    numpy.datetime64("2020-01-01"),
    numpy.datetime64("2020-01"),
    numpy.datetime64("NaT", "ns"),
    numpy.timedelta64(5, "ns"),
    numpy.timedelta64(5, "D"),
    numpy.timedelta64("NaT", "s"),
    numpy.timedelta64(5, "D"),
]


@pytest.mark.parametrize(
    "value",
    [
        *TIMES,
        numpy.array(TIMES[0]),
        numpy.longdouble(1) / 3,
        numpy.ma.masked,
        numpy.array([(1, 0.5)], dtype=[("a", int), ("b", float)])[0],
        pandas.Timestamp("2020-01-01 00:00:00.000000001", tz="Europe/Berlin"),
        pandas.Timedelta("1ns"),
        pandas.Period("2020-01"),
        pandas.NaT,
        pandas.NA,
        decimal.Decimal("1.10"),
        datetime.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_what_no_number_of_python_says_exactly_comes_back_as_it_was(value, tmp_path):
    alive = RecordKeeper(above=value)
    alive.push(own=value)
    with ExperimentCollection(tmp_path).new_experiment(above=value) as keeper:
        keeper.push(own=value)

    for record in (alive.records[0], ExperimentCollection(tmp_path).records[0]):
        for back in (record["own"], record["above"]):
            assert (type(back), repr(back)) == (type(value), repr(value))
            assert getattr(back, "dtype", None) == getattr(value, "dtype", None)


def test_arrays_dates_wide_integers_and_classes_of_a_script_come_back_as_they_were(tmp_path):
    class Own:
        def __eq__(self, other):
            return type(other).__name__ == "Own"

        __hash__ = None

    # Python does not write the widest integers out in decimal digits.
    with ExperimentCollection(tmp_path).new_experiment(when=datetime.date(2026, 1, 2), wide=16**5000) as keeper:
        keeper.push(array=numpy.arange(3), own=Own(), wider=16**6000)

    (record,) = ExperimentCollection(tmp_path).records
    assert record["wide"] == 16**5000
    assert record["wider"] == 16**6000
    assert record["array"].tolist() == [0, 1, 2]
    assert record["own"] == Own()
    assert record["when"] == datetime.date(2026, 1, 2)


def test_what_cannot_be_pickled_is_kept_as_the_text_of_it(tmp_path):
    class Unpicklable:
        def __reduce__(self):
            raise TypeError("no")

        def __repr__(self):
            return "<unpicklable>"

    with ExperimentCollection(tmp_path).new_experiment(level=Unpicklable()) as keeper:
        keeper.push(value=Unpicklable(), number=1)

    (record,) = ExperimentCollection(tmp_path).records
    assert (record["value"], record["number"], record["level"]) == ("<unpicklable>", 1, "<unpicklable>")


SCRIPT = """\
import dataclasses, enum, threading
from memento import ExperimentCollection

class Mode(enum.Enum):
    FAST = 1

@dataclasses.dataclass
class Point:
    x: int

guard = threading.Lock()

@dataclasses.dataclass
class Guarded:
    x: int
    def locked(self):
        with guard:
            return self.x

if ExperimentCollection("study").records:
    for record in ExperimentCollection("study").records:
        print(record["point"] == Point(3), record["mode"] is Mode.FAST, record["shared"] == Point(4), record["guarded"])
else:
    with ExperimentCollection("study").new_experiment(shared=Point(4)) as keeper:
        keeper.push(point=Point(3), mode=Mode.FAST, guarded=Guarded(5))
        print(keeper.records[0]["point"] == Point(3), keeper.records[0]["guarded"])
"""


def test_values_of_a_scripts_own_classes_are_read_by_other_scripts_and_are_the_scripts_own_in_it(tmp_path):
    (tmp_path / "study.py").write_text(SCRIPT)
    runs = [
        subprocess.run([sys.executable, "study.py"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]

    assert runs == ["True Guarded(x=5)\n", "True True True Guarded(x=5)\n"]
    (record,) = ExperimentCollection(tmp_path / "study").records
    assert (record["point"].x, record["mode"].name, record["shared"].x) == (3, "FAST", 4)
    # Its class uses a lock, so that it cannot be stored whole: only the script itself has it.
    assert record["guarded"].startswith("(cannot be unpickled: AttributeError: Can't get attribute 'Guarded'")


def test_values_whose_module_is_gone_are_a_text_and_hide_none_of_the_others(tmp_path, monkeypatch):
    (tmp_path / "shapes.py").write_text("class Square:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    shapes = importlib.import_module("shapes")
    with ExperimentCollection(tmp_path / "study").new_experiment() as keeper:
        for shape in (shapes.Square(), None, shapes.Square()):
            keeper.push(shape=shape, side=2)
    monkeypatch.delitem(sys.modules, "shapes")
    (tmp_path / "shapes.py").unlink()
    importlib.invalidate_caches()

    records = ExperimentCollection(tmp_path / "study").records
    gone = "(cannot be unpickled: ModuleNotFoundError: No module named 'shapes')"
    assert [(record["shape"], record["side"]) for record in records] == [(gone, 2), (None, 2), (gone, 2)]
    assert records.where(side=2).sum("side") == 6


@pytest.mark.parametrize(("count", "width"), [(256, 1), (257, 2), (65_536, 2), (65_537, 4)])
def test_texts_stand_in_a_file_as_codes_of_as_few_bytes_as_their_number_needs(count, width):
    column = column_of([str(number) for number in range(count)])

    listed = 4 + int.from_bytes(column.data[:4], "little")
    assert len(column.data) == listed + width * count
    assert column.data[-width:] == (count - 1).to_bytes(width, "little")
