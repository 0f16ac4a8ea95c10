"""Values are written as strict JSON that every program reads, and read back as they were."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import json
import math
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memento import memfile, read_memfile


class Colour(enum.Enum):
    RED = 1


class Mode(enum.StrEnum):
    FAST = "fast"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    when: datetime.date


class Opaque:
    def __repr__(self):
        raise RuntimeError("no text")


def refuse(constant):
    raise AssertionError(f"bare {constant}")


def written_and_read(value, path):
    memfile(path)(lambda: {"value": value})()
    plain = json.loads(path.read_text(), parse_constant=refuse)
    return plain["value"], read_memfile(path)[0]["value"]


NOON = datetime.datetime(2024, 5, 1, 12, 30, 0, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))

VALUES = [
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
    ((1, (2, 3)), [1, [2, 3]]),
    ({3, 1, 2}, [1, 2, 3]),
    (frozenset({"b", "a"}), ["a", "b"]),
    ({1: "a", (2, 3): None}, [[1, "a"], [[2, 3], None]]),
    ({"a/b": {"~": (1,)}}, {"a/b": {"~": [1]}}),
    (b"\x00\xff", "AP8="),
    (1 - 2j, [1.0, -2.0]),
    (datetime.date(2024, 5, 1), "2024-05-01"),
    (NOON, "2024-05-01T12:30:00.000005+02:00"),
    (datetime.time(12, 30), "12:30:00"),
    (datetime.timedelta(days=1, seconds=1.5), 86401.5),
    (Path("data/mnist"), "data/mnist"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (decimal.Decimal("0.10"), "0.10"),
    (fractions.Fraction(1, 3), "1/3"),
    (Colour.RED, "RED"),
    (Mode.FAST, "FAST"),
    (Level.HIGH, "HIGH"),
    (np.float64(0.5), 0.5),
    (np.float32(0.1), 0.10000000149011612),
    (np.int64(3), 3),
    (np.bool_(True), True),
    (np.datetime64("2024-05-01"), "2024-05-01"),
    (pd.Timestamp("2024-05-01 12:00"), "2024-05-01T12:00:00"),
    ("ü\ud800\n", "ü\ud800\n"),
    (10**30, 10**30),
    (2**1024 - 1, 2**1024 - 1),
    (2**1024, "0x1" + 256 * "0"),
    (-(16**5000), "-0x1" + 5000 * "0"),  # of more decimal digits than Python would read
    ([16**5000, 1], ["0x1" + 5000 * "0", 1]),
    ({"a": {16**5000}}, {"a": ["0x1" + 5000 * "0"]}),
]


@pytest.mark.parametrize(("value", "plain"), VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_written_so_that_others_read_it_and_comes_back_equal(value, plain, tmp_path):
    seen, back = written_and_read(value, tmp_path / "values.jsonl")

    assert seen == plain
    assert back == value
    assert type(back) is type(value) or isinstance(value, np.generic | datetime.datetime)


def test_nan_is_null_for_others_and_nan_again(tmp_path):
    for value in (math.nan, np.float32("nan")):
        seen, back = written_and_read(value, tmp_path / f"{type(value).__name__}.jsonl")

        assert seen is None
        assert math.isnan(back)


ARRAYS = [
    (np.array([[1.5, math.nan], [math.inf, -math.inf]]), [[1.5, None], ["Infinity", "-Infinity"]]),
    (np.array([1, 2], dtype=np.uint8), [1, 2]),
    (np.array([True, False]), [True, False]),
    (np.array(["a", "bc"]), ["a", "bc"]),
    (np.array(["2024-05-01"], dtype="M8[D]"), ["2024-05-01"]),
    (np.zeros((0, 3), dtype=np.float32), []),
    (np.array(2.5), 2.5),
]


@pytest.mark.parametrize(("array", "plain"), ARRAYS, ids=lambda value: str(getattr(value, "dtype", "")))
def test_an_array_is_nested_lists_for_others_and_the_same_array_again(array, plain, tmp_path):
    seen, back = written_and_read(array, tmp_path / "arrays.jsonl")

    assert seen == plain
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)


def test_what_json_has_no_form_for_is_its_text_or_its_fields_and_never_an_error(tmp_path):
    path = tmp_path / "others.jsonl"
    loop = []
    loop.append(loop)
    deep = None
    for _ in range(5000):
        deep = [deep]

    @memfile(path)
    def func():
        return {"point": Point(1, datetime.date(2024, 5, 1)), "type": int, "len": len, "opaque": Opaque(), "loop": loop}

    func()
    memfile(path)(lambda: {"deep": deep, "frame": pd.DataFrame({"a": [1]}), "nat": pd.NaT, "odd": np.array([None])})()

    first, second = [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
    assert first["point"] == {"x": 1, "when": "2024-05-01"}
    assert (first["type"], first["len"]) == ("int", "len")
    assert first["opaque"].startswith("Opaque")
    assert {type(second[name]) for name in ("frame", "nat", "odd")} == {str}
    assert [record.get("type") for record in read_memfile(path)] == ["int", None]


def test_pandas_reads_the_file(tmp_path):
    path = tmp_path / "results.jsonl"
    func = memfile(path)(lambda rate, when: {"loss": math.nan if rate > 1 else np.float32(0.5)})
    for rate in (0.5, 1.5):
        func(rate, datetime.date(2024, 5, 1))

    frame = pd.read_json(path, lines=True)

    assert frame["rate"].tolist() == [0.5, 1.5]
    assert frame["loss"].isna().tolist() == [False, True]


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
awkward = (
    plain
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.timedeltas(min_value=datetime.timedelta(days=-1000), max_value=datetime.timedelta(days=1000))
    | st.complex_numbers()
    | st.fractions()
    | st.sampled_from(Colour)
)
hashable = st.integers() | st.text() | st.tuples(st.integers(), st.text())
anything = st.recursive(
    awkward,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(hashable, inner)
        | st.sets(hashable)
    ),
    max_leaves=12,
)


@given(anything)
def test_whatever_is_written_is_strict_json_of_one_line_and_read_back_equal(value):
    from memento.capture.lines import read_line, text_of
    from memento.hashing import digest

    text = text_of({"x": 1, "value": value}, {"x": 1}, {"value": value}, key=lambda: None)

    assert "\n" not in text
    assert text.isascii()
    json.loads(text, parse_constant=refuse)
    line = read_line(text, ("x",))
    assert line.exact
    assert digest(line.result) == digest({"value": value})
