"""Results and metrics become bytes, and the bytes become the same results and metrics again."""

from __future__ import annotations

import functools
import json
import math
import mmap
import pickle
import subprocess
import sys
import threading
import types
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memento import payload
from memento.errors import UnpicklableResult, UnreadableResult
from memento.payload import decode, encode, encode_readable, pack_metrics, summary_of, unpack_metrics
from memento.payload.home import dumps


def round_trip(value: Any) -> Any:
    encoded = encode(value)
    data = b"".join(bytes(memoryview(chunk).cast("B")) for chunk in encoded.chunks)
    assert len(data) == encoded.size
    return decode(encoded.codec, data, encoded.summary)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        if one != one:
            return other != other  # NaN is NaN, whatever its sign bit
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other


# ── the stored form ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_codecs_keep_their_numbers() -> None:
    assert (payload.NOTHING, payload.JSON, payload.PICKLE, payload.PICKLE_AND_BUFFERS) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        (None, b"null"),
        (True, b"true"),
        (False, b"false"),
        (0, b"0"),
        (-12, b"-12"),
        (0.1, b"0.1"),
        (-0.0, b"-0.0"),
        (1e300, b"1e+300"),
        (math.nan, b"NaN"),
        (-math.inf, b"-Infinity"),
        ("", b'""'),
        ('a "b"\n', b'"a \\"b\\"\\n"'),
        ("größer", '"größer"'.encode()),
        ({}, b"{}"),
        ({"accuracy": 0.9, "n": 3, "name": None}, b'{"accuracy":0.9,"n":3,"name":null}'),
    ],
)
def test_plain_values_are_json_in_the_head_and_need_no_part(value: Any, summary: bytes) -> None:
    encoded = encode(value)
    assert encoded == (1, [], 0, b"", summary)
    assert same(decode(1, b"", summary), value)


@pytest.mark.parametrize(
    "value",
    [
        2**1024,
        10**5000,
        "\ud800",
        "\ud83d\ude00",  # two halves, which JSON would join into one character
        {"\udfff": 1},
        {"a": "\ud83d\ude00"},
        {1: 2},
        {"a": [1]},
        {"a": {"b": 1}},
        [1, 2],
        (1,),
        b"bytes",
        1j,
        "x" * 8193,
        {str(number): float(number) for number in range(20_000)},
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_values_that_json_would_change_or_that_are_long_are_pickled(value: Any) -> None:
    assert encode(value).codec == 2
    assert same(round_trip(value), value)


def test_subclasses_of_plain_types_keep_their_type() -> None:
    value = {"a": np.float64(0.5)}
    assert encode(value).codec == 2
    assert type(round_trip(value)["a"]) is np.float64


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.characters()


@given(plain | st.dictionaries(st.text(), plain))
def test_any_plain_value_comes_back_equal_and_of_the_same_type(value: Any) -> None:
    assert same(round_trip(value), value)


@given(
    st.recursive(plain | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner))
)
def test_any_nested_value_comes_back_equal(value: Any) -> None:
    assert repr(round_trip(value)) == repr(value)


def test_arrays_lie_aligned_behind_the_pickle() -> None:
    encoded = encode({"weights": np.arange(1000.0), "bias": np.ones(200)})
    data = b"".join(bytes(chunk) for chunk in encoded.chunks)
    count, of_pickle, *of_buffers = array("Q", data[:32])
    assert encoded.codec == 3
    assert (count, of_buffers) == (3, [8000, 1600])
    first = -(-(32 + of_pickle) // 64) * 64
    second = -(-(first + 8000) // 64) * 64
    assert data[first : first + 8000] == np.arange(1000.0).tobytes()
    assert data[second:] == np.ones(200).tobytes()


def test_the_layout_of_arrays_stays_readable() -> None:
    inner = pickle.dumps([pickle.PickleBuffer(b"")], protocol=5, buffer_callback=lambda buffer: None)
    head = array("Q", [2, len(inner), 3]).tobytes() + inner
    stored = head + bytes(-len(head) % 64) + b"abc"
    assert bytes(decode(3, stored, b"")[0]) == b"abc"


def test_the_digest_is_the_first_half_of_sha256_over_all_chunks() -> None:
    assert payload.digest_of([b"ab", b"c"]).hex() == "ba7816bf8f01cfea414140de5dae2223"
    assert payload.digest_of([]) == b""
    encoded = encode([np.zeros(500), "x"])
    assert encoded.digest == payload.digest_of([b"".join(bytes(chunk) for chunk in encoded.chunks)])


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_writing_a_large_array_or_large_bytes_copies_neither() -> None:
    large, raw = np.zeros(1_000_000), bytes(1_000_000)
    chunks = encode({"array": large, "raw": raw}).chunks
    assert any(chunk is raw for chunk in chunks)
    views = [chunk for chunk in chunks if isinstance(chunk, memoryview)]
    assert [np.shares_memory(np.frombuffer(view), large) for view in views] == [True]


def test_arrays_are_used_where_they_lie_in_a_private_mapping(tmp_path: Path) -> None:
    encoded = encode({"w": np.arange(1000.0)})
    path = tmp_path / "blob"
    path.write_bytes(b"".join(bytes(chunk) for chunk in encoded.chunks))
    with path.open("rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    value = decode(encoded.codec, mapping, b"")["w"]
    assert np.shares_memory(value, np.frombuffer(mapping, dtype="u1"))
    assert value.ctypes.data % 64 == 0
    value[0] = 5.0  # it is the reader's own, and the file stays as it was
    assert path.read_bytes() == b"".join(bytes(chunk) for chunk in encoded.chunks)


def test_arrays_read_from_bytes_can_be_written_to() -> None:
    value = round_trip(np.zeros(1000))
    value += 1
    assert value.sum() == 1000


def test_a_read_only_array_stays_read_only() -> None:
    frozen = np.zeros(1000)
    frozen.flags.writeable = False
    assert round_trip(frozen).flags.writeable is False


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(3),
        np.zeros((0, 4)),
        np.asfortranarray(np.arange(600.0).reshape(20, 30)),
        np.arange(900.0)[::3],
        np.array(["a", None], object),
    ],
    ids=["small", "empty", "fortran", "strided", "objects"],
)
def test_every_kind_of_array_comes_back(value: Any) -> None:
    back = round_trip(value)
    np.testing.assert_array_equal(back, value)
    assert (back.dtype, back.shape) == (value.dtype, value.shape)


def test_data_cut_short_is_refused() -> None:
    encoded = encode(np.zeros(1000))
    data = b"".join(bytes(chunk) for chunk in encoded.chunks)
    expected = f"a stored value has {len(data) - 1} bytes where {len(data)} were written"
    with pytest.raises(ValueError, match=expected):
        decode(encoded.codec, data[:-1], b"")


def test_an_encoding_of_the_future_is_refused_with_advice() -> None:
    with pytest.raises(
        ValueError, match="unknown encoding 9 of a stored value; a newer memento wrote it: update memento"
    ):
        decode(9, b"", b"")


def test_no_part_reads_as_none() -> None:
    assert decode(0, b"", b"") is None


# ── summaries ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Odd:
    """An entry that no table can show, and that raises when it is looked at."""

    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError("not now")

    def __repr__(self) -> str:  # part of a test's name, which has to be the same in every process
        return "Odd()"


class Score(float):
    pass


class Fit(NamedTuple):
    accuracy: float
    model: list[int]


@dataclass
class Report:
    loss: Any
    test: Any = None
    late: int = field(init=False, repr=False)  # not set: it has no value at all


def loop() -> dict[str, Any]:
    turning: dict[str, Any] = {"n": 1}
    turning["again"] = turning
    return turning


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(2.5), 2.5),
        (Score(0.25), 0.25),
        (
            {"accuracy": np.float64(0.9), "model": [1, 2], "name": "svm", "none": None},
            {"accuracy": 0.9, "name": "svm", "none": None},
        ),
        ({"odd": Odd(), "n": 1, 5: 6}, {"n": 1}),
        ({"long": "x" * 9000, "n": 1}, {"n": 1}),
        ({"broken": "\ud800", "n": 1}, {"n": 1}),
        ({"model": [1]}, None),
        (Fit(0.9, [1]), {"accuracy": 0.9}),
        (Report(np.float64(0.5)), {"loss": 0.5, "test": None}),
        (
            {"n": 1, "test": {"accuracy": 0.9, "by": {"class": Fit(0.5, [])}}, "seconds": 2.0},
            {"n": 1, "test.accuracy": 0.9, "test.by.class.accuracy": 0.5, "seconds": 2.0},
        ),
        ({"test": {"a": 1}, "test.a": 2}, {"test.a": 2}),
        ({"n": 1, "weights": {str(n): n for n in range(101)}, "few": {"a": 1}}, {"n": 1, "few.a": 1}),
        ({"n": 1, "of": {str(n): "x" * 8000 for n in range(9)}}, {"n": 1}),
        (loop(), {"n": 1, "again.n": 1}),
        (Report, None),
        ([1, 2], None),
        (np.zeros(3), None),
        (np.array([0.5]), None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_plain_part_of_a_pickled_value_is_its_summary(value: Any, summary: Any) -> None:
    encoded = encode(value)
    assert encoded.codec in (2, 3)
    assert summary_of(encoded.summary) == summary


def test_summaries_of_numpy_numbers_are_pythons_own() -> None:
    assert type(summary_of(encode(np.float64(0.5)).summary)) is float
    assert encode({"a": np.float32(0.1)}).summary == b'{"a":0.10000000149011612}'


# ── by value ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_functions_without_a_name_come_back() -> None:
    offset = 2
    assert round_trip({"f": lambda x: x + offset})["f"](1) == 3


def test_a_class_of_a_script_comes_back_in_another_program(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom memento.payload import encode\n"
        "class Model:\n    def __init__(self): self.depth = 3\n    def predict(self): return self.depth * 2\n"
        "sys.stdout.buffer.write(b''.join(encode({'model': Model()}).chunks))\n"
    )
    root = Path(payload.__file__).parents[1]
    data = subprocess.run(
        [sys.executable, str(script)], env={"PYTHONPATH": str(root)}, check=True, capture_output=True
    ).stdout
    assert decode(2, data, b"")["model"].predict() == 6


def test_modules_registered_with_cloudpickle_travel_by_value() -> None:
    import cloudpickle

    module = types.ModuleType("only_here")
    exec("class Thing:\n    size = 4", module.__dict__)
    sys.modules["only_here"] = module
    cloudpickle.register_pickle_by_value(module)
    try:
        data = b"".join(encode(module.Thing).chunks)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
        del sys.modules["only_here"]
    assert decode(2, data, b"").size == 4


# ── what cannot be ──────────────────────────────────────────────────────────────────────────────────────────────────


class Model:
    def __init__(self) -> None:
        self.depth = 3
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), ""),
        ({"n": 1, "model": Model()}, "['model'].lock"),
        ([1, (2, {"a": threading.Lock()})], "[1][1]['a']"),
        ({"rows": (line for line in "ab")}, "['rows']"),
    ],
    ids=["itself", "attribute", "nested", "generator"],
)
def test_what_cannot_be_pickled_is_refused_with_its_place(value: Any, path: str) -> None:
    with pytest.raises(UnpicklableResult) as caught:
        encode(value)
    assert caught.value.path == path
    assert isinstance(caught.value, TypeError)


def test_the_refusal_reads_as_advice_and_survives_pickling() -> None:
    with pytest.raises(UnpicklableResult) as caught:
        encode({"model": Model()})
    message = (
        "the result cannot be stored: its part ['model'].lock is of type _thread.lock, which cannot be pickled "
        "(TypeError: cannot pickle '_thread.lock' object); return it without that part, or as plain data"
    )
    assert str(caught.value) == message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


class RaisesWhenPickled:
    def __reduce__(self) -> Any:
        raise ZeroDivisionError("while pickling")


def test_whatever_pickling_raises_is_the_reason() -> None:
    with pytest.raises(
        UnpicklableResult, match=r"it is of type .*RaisesWhenPickled, .*ZeroDivisionError: while pickling"
    ):
        encode(RaisesWhenPickled())


class RaisesWhenRead:
    def __init__(self) -> None:
        self.size = 1

    def __setstate__(self, state: object) -> None:
        raise ValueError("no such state")


def test_a_value_whose_unpickling_raises_names_its_type() -> None:
    encoded = encode({"a": np.zeros(1000), "bad": RaisesWhenRead()})
    with pytest.raises(UnreadableResult) as caught:
        decode(encoded.codec, b"".join(bytes(chunk) for chunk in encoded.chunks), b"")
    assert caught.value.value_type == f"{__name__}.RaisesWhenRead"
    assert str(caught.value) == (
        f"the stored result cannot be unpickled: it holds {__name__}.RaisesWhenRead, and loading it raised "
        "ValueError: no such state; make that type loadable again, or compute the result anew with force_run=True"
    )
    assert isinstance(caught.value.__cause__, ValueError)


def test_what_cannot_be_read_again_is_refused_when_it_is_stored() -> None:
    with pytest.raises(UnpicklableResult) as caught:
        encode_readable({"scores": [1, 2], "model": {"bad": RaisesWhenRead(), "weights": np.zeros(1000)}})
    assert str(caught.value) == (
        f"the result cannot be stored: its part ['model']['bad'] is of type {__name__}.RaisesWhenRead, which cannot be "
        "pickled (to load it again raises ValueError: no such state); return it without that part, or as plain data"
    )
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("value", [3, {"a": [1, 2.5]}, np.arange(5e3), {"a": np.ones((2, 300)), "b": np.zeros(700)}])
def test_what_can_be_read_again_is_stored_as_ever(value: Any) -> None:
    assert encode_readable(value) == encode(value)


class RoomForOne:
    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def __setstate__(self, state: dict[str, type[Exception]]) -> None:
        raise state["error"]


class OutOfMemoryError(RuntimeError):
    """As torch has it for the memory of a device."""


@pytest.mark.parametrize("error", [MemoryError, OutOfMemoryError])
def test_that_there_is_no_room_for_two_says_nothing_against_one(error: type[Exception]) -> None:
    assert encode_readable(RoomForOne(error)).size > 0


def test_a_value_whose_module_is_gone_names_it() -> None:
    stored = b"\x80\x04cgone_module\nModel\n)\x81."
    with pytest.raises(UnreadableResult, match=r"it holds gone_module\.Model, .* No module named 'gone_module'"):
        decode(2, stored, b"")


def test_an_unreadable_class_of_a_script_is_named_too() -> None:
    local = type("Local", (RaisesWhenRead,), {"__module__": "__main__"})
    encoded = encode(local())
    with pytest.raises(UnreadableResult, match="it holds Local,"):
        decode(encoded.codec, b"".join(encoded.chunks), b"")


# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_layout_of_metrics_is_fixed() -> None:
    packed = b"".join(pack_metrics({"loss": (array("d", [1, 2]), array("d", [0.5, 0.25]))}))
    assert packed.hex() == (
        "01000000" "04000000" "0200000000000000" "6c6f7373"
        "000000000000f03f" "0000000000000040" "000000000000e03f" "000000000000d03f"
    )  # fmt: skip
    assert unpack_metrics(packed) == {"loss": (array("d", [1, 2]), array("d", [0.5, 0.25]))}


series = st.lists(st.tuples(st.floats(), st.floats())).map(
    lambda points: (array("d", [x for x, _ in points]), array("d", [y for _, y in points]))
)


@given(st.dictionaries(st.text() | st.just("\ud800"), series, max_size=4))
def test_metrics_come_back_exactly(metrics: dict[str, payload.Points]) -> None:
    back = unpack_metrics(b"".join(pack_metrics(metrics)))
    assert list(back) == list(metrics)
    assert all(
        back[name][axis].tobytes() == column.tobytes()
        for name, pair in metrics.items()
        for axis, column in enumerate(pair)
    )


def test_metrics_take_sixteen_bytes_a_point() -> None:
    column = array("d", range(1000))
    assert sum(len(chunk) for chunk in pack_metrics({"loss": (column, column)})) <= 16 * 1000 + 64


def test_recording_can_go_on_while_packed_metrics_are_written() -> None:
    column = array("d", [1.0])
    chunks = pack_metrics({"loss": (column, column)})
    column.append(2.0)  # an array cannot grow while something looks at its memory
    assert len(unpack_metrics(b"".join(chunks))["loss"][0]) == 1


def test_no_metrics_are_no_bytes_or_an_empty_set() -> None:
    assert unpack_metrics(b"") == {}
    assert unpack_metrics(b"".join(pack_metrics({}))) == {}


@pytest.mark.parametrize("length", [3, 8, 20, 47])
def test_metrics_cut_short_are_refused(length: int) -> None:
    packed = b"".join(pack_metrics({"loss": (array("d", [1, 2]), array("d", [3, 4]))}))
    with pytest.raises(ValueError, match="not packed metrics"):
        unpack_metrics(packed[:length])


def test_uneven_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="metric 'loss' has 1 x and 0 y"):
        pack_metrics({"loss": (array("d", [1]), array("d"))})


def test_plain_values_are_valid_json_for_other_readers() -> None:
    assert json.loads(encode({"a": "tab\t\x00\u2028"}).summary) == {"a": "tab\t\x00\u2028"}


def test_code_that_travels_knows_the_file_it_is_in() -> None:
    # or else no traceback of a worker shows a line of the user's script
    made = types.FunctionType(
        compile("lambda: 1", "/somewhere/script.py", "eval").co_consts[0], {"__name__": "__main__"}
    )
    there = pickle.loads(dumps(made))
    assert there() == 1
    assert there.__code__.co_filename == "/somewhere/script.py"


@functools.lru_cache
def of_a_module(value: int) -> int:
    return value


def test_a_cached_function_of_a_module_goes_by_its_name() -> None:
    assert pickle.loads(dumps(of_a_module)) is of_a_module


def test_a_cached_function_travels_with_its_function_and_not_with_what_wraps_says() -> None:
    def original(value: int) -> int:
        """Told by `wraps`."""
        return value

    @functools.wraps(original)
    @functools.cache
    def twice(value: int) -> int:
        return 2 * original(value)

    twice(1)
    there = pickle.loads(dumps(twice))
    assert there(3) == 6
    assert (there.cache_info().hits, there.cache_info().maxsize) == (0, None)
    assert (there.__name__, there.__doc__) == ("original", "Told by `wraps`.")


def test_a_dispatching_function_travels_with_all_that_was_registered_and_set() -> None:
    @functools.singledispatch
    def told(value: object) -> str:
        """Say what it is."""
        return "something"

    told.register(int, lambda value: "a number")
    told.register(Sequence, lambda value: f"many, as {told(value[0])}")  # type: ignore[arg-type,unused-ignore]
    told.register(object, lambda value: "anything")
    told.mark = 3  # type: ignore[attr-defined]
    there = pickle.loads(dumps(told))
    assert [there(1), there([1, 2]), there(None)] == ["a number", "many, as a number", "anything"]
    assert (there.__name__, there.__doc__, there.mark) == ("told", "Say what it is.", 3)
    assert there.__wrapped__(1) == "something"
    there.register(int, lambda value: "a digit")
    assert (there(1), told(1)) == ("a digit", "a number")


def test_a_cached_property_travels_with_its_name_and_what_it_is_for() -> None:
    class Model:
        @functools.cached_property
        def size(self) -> int:
            """How large it is."""
            return 3

    there = pickle.loads(dumps(Model.__dict__["size"]))
    assert (there.attrname, there.__doc__, there.func(None)) == ("size", "How large it is.", 3)
