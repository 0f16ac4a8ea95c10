"""Values → digests: equal values of one type share a digest, others do not, and what has none is refused by name."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import functools
import io
import itertools
import json
import random
import re
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import attrs
import numpy as np
import pandas as pd
import pydantic
import pytest
import scipy.sparse
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from sklearn.gaussian_process.kernels import RBF
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from memento.errors import UnkeyableValue
from memento.hashing import SCHEME, KeyMaker, Named, config_key, digest, encoding, readable, register_key
from memento.hashing.labels import bare, labelled
from tests.faults.keys import GOLDEN, digests_elsewhere

NAN = float("nan")
OTHER_NAN = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\xf8\xff", "<f8")
"""A NaN of other bits than `numpy.nan`, as arithmetic gives."""

# ---------------------------------------------------------------------------------------------------------------------
# The same for ever, on every Python, under every hash seed.
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["standard library", "libraries"])
def test_digests_are_the_same_for_ever(kind: str, tmp_path: Path) -> None:
    """Here; tests/faults/test_keys.py asks every Python of this machine."""
    golden = GOLDEN[kind]
    assert digests_elsewhere(sys.executable, tmp_path, list(golden)) == golden


def test_the_scheme_is_part_of_what_is_hashed() -> None:
    import hashlib

    assert SCHEME == "m1"
    assert digest("mnist") == hashlib.sha256(b"m1 value str5:mnist").digest()[:16]


# ---------------------------------------------------------------------------------------------------------------------
# What is equal, and what is not.
# ---------------------------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = 1
    ALSO_RED = 1
    BLUE = 2


class Number(enum.IntEnum):
    ONE = 1


class Text(str, enum.Enum):  # noqa: UP042 - the older way of writing it has to work too
    A = "a"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


@dataclasses.dataclass
class Point:
    x: Any = 0
    y: Any = 0


class Labelled(Point):
    def __init__(self, x: int, label: str) -> None:
        super().__init__(x)
        self.label = label


@attrs.define
class Box:
    content: Any


class Options(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    depth: int = 1


Pair = collections.namedtuple("Pair", "left right")


class MyInt(int):
    pass


class MyStr(str):
    __slots__ = ()


class MyList(list[Any]):
    pass


class MyDict(dict[Any, Any]):
    pass


class MySet(set[Any]):
    pass


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b


class Model:
    def __init__(self, depth: int = 1) -> None:
        self.depth = depth

    def fit(self, x: Any) -> Any:
        return x

    def score(self, x: Any) -> Any:
        return x

    @classmethod
    def make(cls) -> Model:
        return cls()

    @functools.cached_property
    def expensive(self) -> int:
        return self.depth * 2


class Other(Model):
    pass


def with_two_caches() -> tuple[Model, Model]:
    read, unread = Model(), Model()
    assert read.expensive == 2
    return read, unread


def adder(n: Any) -> Callable[[Any], Any]:
    return lambda x: x + n


def with_default(n: Any) -> Callable[..., Any]:
    def function(x: Any, *, y: Any = n) -> Any:
        return x + y

    return function


def local_class(n: Any) -> Any:
    class Local:
        def value(self) -> Any:
            return n

    return Local


def recursive() -> Any:
    def factorial(n: int) -> int:
        return n * factorial(n - 1) if n else 1

    return factorial


def mutual() -> Any:
    def even(n: int) -> bool:
        return odd(n - 1) if n else True

    def odd(n: int) -> bool:
        return even(n - 1) if n else False

    return even


def unset_capture() -> Any:
    def early() -> Any:
        return late

    if early.__closure__ is None:  # never: it keeps `late` unset when this returns
        late = 1
    return early


@dataclasses.dataclass
class FieldAndItems(dict):  # type: ignore[type-arg]
    field: int = 1


@dataclasses.dataclass
class Unset:
    field: int = dataclasses.field(init=False)


def with_items(**items: int) -> FieldAndItems:
    value = FieldAndItems()
    value.update(items)
    return value


def gauss_before_and_after_use() -> Any:
    """Give the digest of a function that `random` offers, which is a method of a generator that goes on."""
    before = digest(random.gauss)
    random.random()
    return before, digest(random.gauss)


PLUS_ONE, PLUS_TWO = (lambda x: x + 1), (lambda x: x + 2)


def masked(mask: list[int], hidden: int = 2) -> Any:
    return np.ma.array([1, hidden, 3], mask=mask)


def sparse_unsorted() -> Any:
    return scipy.sparse.csr_matrix((np.array([2.0, 1.0]), np.array([1, 0]), np.array([0, 2])), shape=(1, 2))


def structured(dtype: Any, filler: int = 0) -> Any:
    array = np.zeros(2, dtype)
    array.view("u1")[1] = filler
    return array


ALIGNED = np.dtype([("small", "i1"), ("large", "f8")], align=True)
UTC = datetime.UTC
PLUS_ONE_HOUR = datetime.timezone(datetime.timedelta(hours=1))

EQUAL: dict[str, tuple[Any, Any]] = {
    "dicts in any order": ({"a": 1, "b": [2]}, {"b": [2], "a": 1}),
    "sets of mixed types": ({1, "a", None, (1,)}, {(1,), None, "a", 1}),
    "subclasses of dict in any order": (MyDict(a=1, b=2), MyDict(b=2, a=1)),
    "counters in any order": (collections.Counter("abca"), collections.Counter("caab")),
    "defaultdicts in any order": (collections.defaultdict(list, a=1, b=2), collections.defaultdict(list, b=2, a=1)),
    "NaN and NaN": (NAN, -NAN),
    "complex NaNs": (complex(NAN, 0), complex(-NAN, 0)),
    "shared and separate parts": ([MyList([1])] * 2, [MyList([1]), MyList([1])]),
    "equal strings that are two objects": ({"a": "xy" * 2, "b": "xyxy"}, dict.fromkeys("ab", "xyxy")),
    "ranges of the same numbers": (range(0, 10, 2), range(0, 9, 2)),
    "ranges of one number": (range(3, 4), range(3, 9, 7)),
    "one instant in two time zones": (
        datetime.datetime(2020, 1, 1, 12, tzinfo=UTC),
        datetime.datetime(2020, 1, 1, 13, tzinfo=PLUS_ONE_HOUR),
    ),
    "paths of the same text": (Path("a/b"), PurePosixPath("a/b")),
    "names of one member of an enum": (Colour.RED, Colour.ALSO_RED),
    "combined flags": (Access.READ | Access.RUN, Access.RUN | Access.READ),
    "keywords of partials in any order": (functools.partial(dict, a=1, b=2), functools.partial(dict, b=2, a=1)),
    "closures over equal values": (adder([1]), adder([1])),
    "functions that call themselves": (recursive(), recursive()),
    "functions that call one another": (mutual(), mutual()),
    "functions whose capture is not set": (unset_capture(), unset_capture()),
    "local classes of the same content": (local_class(1), local_class(1)),
    "instances of local classes": (local_class(1)(), local_class(1)()),
    "objects of the same state": (Model(3), Model(3)),
    "objects before and after a cached property": with_two_caches(),
    "attributes set in another order": (types.SimpleNamespace(a=1, b=2), types.SimpleNamespace(b=2, a=1)),
    "Random in the same state": (random.Random(1), random.Random(1)),
    "C and Fortran order": (np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(12.0).reshape(3, 4))),
    "a view and its copy": (np.arange(12)[::3], np.arange(12)[::3].copy()),
    "large arrays in another order": (np.ones((300, 301)).T, np.ones((301, 300))),
    "NaNs of other bits in arrays": (OTHER_NAN, np.array([NAN])),
    "NaNs of other bits in complex arrays": (OTHER_NAN + 0j, np.array([complex(NAN, 0)])),
    "NaNs of other bits in scalars": (OTHER_NAN[0], np.float64(NAN)),
    "NaNs of other bits in fields": (OTHER_NAN.view([("a", "f8")]), np.array([(NAN,)], [("a", "f8")])),
    "padding between fields": (structured(ALIGNED), structured(ALIGNED, filler=7)),
    "object arrays": (np.array([{"a": 1}, "x"], object), np.array([{"a": 1}, "x"], object)),
    "long doubles": (np.arange(3, dtype="g"), np.arange(3, dtype="g")),
    "hidden values of masked arrays": (masked([0, 1, 0], hidden=2), masked([0, 1, 0], hidden=9)),
    "dtypes": (np.dtype("f8"), np.dtype(float)),
    "generators in the same state": (np.random.default_rng(1), np.random.default_rng(1)),
    "RandomStates in the same state": (np.random.RandomState(1), np.random.RandomState(1)),
    "seed sequences": (np.random.SeedSequence(1), np.random.SeedSequence(1)),
    "a range and a list as index": (pd.Series([1, 2]), pd.Series([1, 2], index=pd.Index([0, 1]))),
    "sparse matrices laid out otherwise": (sparse_unsorted(), scipy.sparse.csr_matrix(np.array([[1.0, 2.0]]))),
    "pipelines": (make_pipeline(StandardScaler(), SVC()), make_pipeline(StandardScaler(), SVC())),
    "values under one label": (Named("x", 1), Named("x", object())),
}

DIFFERENT: dict[str, tuple[Any, ...]] = {
    "plain values that compare equal": (1, 1.0, True, "1", b"1", complex(1), Fraction(1), decimal.Decimal(1)),
    "nothing, and things like it": (None, False, 0, 0.0, -0.0, "", b"", (), [], {}, set(), "None"),
    "containers of one content": ([1, 2], (1, 2), {1, 2}, frozenset([1, 2]), collections.deque([1, 2]), MyList([1, 2])),
    "mappings of one content": (
        {"a": 1},
        MyDict(a=1),
        collections.OrderedDict(a=1),
        types.MappingProxyType({"a": 1}),
        types.SimpleNamespace(a=1),
        {"a": 1}.items().__iter__().__reduce__()[1],
    ),
    "paths": (Path("1"), PureWindowsPath("1"), "1"),
    "nesting": ([1, [2]], [[1], 2], [[1, 2]], [1, 2]),
    "where strings are cut": (["ab", "c"], ["a", "bc"], ["abc"]),
    "orders of ordered dicts": (
        collections.OrderedDict([("a", 1), ("b", 2)]),
        collections.OrderedDict([("b", 2), ("a", 1)]),
    ),
    "subclasses of builtins": (5, MyInt(5), np.int64(5), Number.ONE),
    "subclasses of str": ("a", MyStr("a"), Text.A, np.str_("a")),
    "subclasses of set": ({1}, MySet({1}), MySet({2}), frozenset({1})),
    "bytes": (b"a", bytearray(b"a"), "a"),
    "huge integers": (10**5000, 10**5000 + 1, -(10**5000)),
    "ranges and slices": (range(3), range(4), slice(3), slice(0, 3), [0, 1, 2]),
    "dates and times": (
        datetime.date(2020, 1, 1),
        datetime.datetime(2020, 1, 1),
        datetime.datetime(2020, 1, 1, tzinfo=UTC),
        datetime.time(0, 0),
        datetime.time(0, 0, tzinfo=UTC),
        datetime.timedelta(1),
    ),
    "time zones of times": (datetime.time(1, tzinfo=ZoneInfo("Europe/Rome")), datetime.time(1, tzinfo=UTC)),
    "an hour that is lived twice": (
        datetime.datetime(2020, 10, 25, 2),
        datetime.datetime(2020, 10, 25, 2, fold=1),
        datetime.time(2),
        datetime.time(2, fold=1),
    ),
    "the first hours of the calendar": (datetime.datetime.min.replace(tzinfo=PLUS_ONE_HOUR), datetime.datetime.min),
    "members of enums": (Colour.RED, Colour.BLUE, 1, "RED"),
    "flags": (Access.READ, Access.WRITE, Access.READ | Access.WRITE, Access.READ | Access.RUN, Access(0)),
    "dataclasses": (Point(1, 2), Point(2, 1), Box(Point(1, 2)), {"x": 1, "y": 2}),
    "what a subclass adds to a dataclass": (Labelled(1, "a"), Labelled(1, "b"), Point(1)),
    "namedtuples": (Pair(1, 2), Pair(2, 1), (1, 2)),
    "pydantic models": (Options(depth=1), Options(depth=2), Options(depth=1, extra=1), Options(depth=1, extra=2)),
    "objects": (Model(1), Model(2), Other(1), Model, Other),
    "slots": (Slotted(1, 2), Slotted(2, 1)),
    "patterns": (re.compile("a"), re.compile("a", re.IGNORECASE), re.compile(b"a"), "a"),
    "lambdas of one line": (PLUS_ONE, PLUS_TWO),
    "captured values": (adder(1), adder(2), adder(1.0)),
    "defaults": (with_default(1), with_default(2)),
    "local classes": (local_class(1), local_class(2)),
    "instances of two local classes": (local_class(1)(), local_class(2)()),
    "builtin functions": (len, max, abs),
    "methods": (Model(1).fit, Model(2).fit, Model(1).score, Model.fit, Model.make, Other.make),
    "builtin methods": ([1].append, [2].append, [1].extend, str.upper, bytes.upper, "a".__add__, "b".__add__),
    "class methods of builtins": (dict.fromkeys, collections.OrderedDict.fromkeys),
    "partials": (functools.partial(int, base=2), functools.partial(int, base=3), functools.partial(int, "2"), int),
    "modules": (json, re, "json"),
    "types": (int, float, list[int], list[float], int | str, int | None),
    "dtypes of arrays": (np.zeros(2, "f4"), np.zeros(2, "f8"), np.zeros(2, "i4"), np.zeros(2, ">f4"), [0.0, 0.0]),
    "shapes of arrays": (np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(6)),
    "shapes of empty arrays": (np.zeros((0, 3)), np.zeros((0, 4)), np.zeros(0)),
    "contents of arrays": (np.array([[1, 2], [3, 4]]), np.array([[1, 3], [2, 4]]), np.array([[1, 2], [3, 5]])),
    "scalars": (np.float64(0.1), np.float32(0.1), 0.1, np.array(0.1)),
    "times of numpy": (np.datetime64("2020", "Y"), np.datetime64("2020", "D"), np.timedelta64(1, "D")),
    "names of fields, with objects": (np.zeros(1, [("a", "O")]), np.zeros(1, [("b", "O")]), np.zeros(1, "O")),
    "strings of numpy": (np.array(["a" * 40], np.dtypes.StringDType()), np.array(["b" * 40], np.dtypes.StringDType())),
    "masks": (masked([0, 1, 0]), masked([0, 0, 0]), masked([0, 0, 0]).data),
    "states of generators": (
        np.random.default_rng(1),
        np.random.default_rng(2),
        np.random.default_rng(1).bit_generator,
        np.random.RandomState(1),
    ),
    "functions of numpy": (np.add, np.multiply, np.mean, np.sum),
    "series": (
        pd.Series([1, 2]),
        pd.Series([1, 2], index=[1, 2]),
        pd.Series([1, 2], name="a"),
        pd.Series([1.0, 2.0]),
        pd.Series([1, 2], dtype="Int64"),
        pd.Series([1, None], dtype="Int64"),
        pd.Index([1, 2]),
    ),
    "frames": (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), pd.DataFrame({"a": [2]}), pd.DataFrame()),
    "categories": (
        pd.Series(pd.Categorical(["a", "b"])),
        pd.Series(pd.Categorical(["b", "a"])),
        pd.Series(pd.Categorical(["a", "b"], ordered=True)),
        pd.Series(pd.Categorical(["a", "b"], categories=["b", "a"])),
        pd.Series(["a", "b"]),
    ),
    "levels of an index": (
        pd.MultiIndex.from_tuples([(1, 2)], names=["a", "b"]),
        pd.MultiIndex.from_tuples([(1, 2)], names=["a", "c"]),
        pd.MultiIndex.from_tuples([(1, 3)], names=["a", "b"]),
    ),
    "moments of pandas": (pd.Timestamp(1), pd.Timestamp(2), pd.Timestamp(1, tz="UTC"), pd.NaT, pd.NA, pd.Timedelta(1)),
    "periods and intervals": (pd.Period("2020"), pd.Period("2021"), pd.Period("2020-01"), pd.Interval(0, 1)),
    "sparse matrices": (
        scipy.sparse.csr_matrix(np.eye(2)),
        scipy.sparse.csr_matrix(np.eye(2) * 2),
        scipy.sparse.csc_matrix(np.eye(2)),
    ),
    "parameters of estimators": (SVC(), SVC(C=2), LogisticRegression(), LogisticRegression(C=2), SVC),
    "steps of pipelines": (make_pipeline(SVC()), make_pipeline(SVC(C=2))),
    "kernels": (RBF(1.0), RBF(2.0)),
    "labels": (Named("a", 1), Named("b", 1), "a"),
    "a data class with items": (with_items(), with_items(a=1), with_items(a=2)),
    "classes made by a call": (type("Made", (), {"x": 1}), type("Made", (), {"x": 2})),
    "instances of classes made by a call": (type("Made", (), {"x": 1})(), type("Made", (), {"x": 2})()),
    "lambdas without source": (eval("lambda x: x + 1"), eval("lambda x: x - 1")),
    "very long ranges": (range(10**30), range(10**30 + 1), range(0, 10**30, 2)),
    "fields not set": (Unset(), with_items()),
}


def test_a_function_that_a_module_offers_is_known_by_name_though_it_is_a_method_of_something_that_changes() -> None:
    before, after = gauss_before_and_after_use()
    assert before == after != digest(random.random)


@pytest.mark.parametrize("name", EQUAL)
def test_one_digest(name: str) -> None:
    first, second = EQUAL[name]
    assert digest(first) == digest(second)


@pytest.mark.parametrize("name", DIFFERENT)
def test_different_digests(name: str) -> None:
    values = DIFFERENT[name]
    assert len({digest(value) for value in values}) == len(values)


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_digest_does_not_change_from_one_time_to_the_next(name: str) -> None:
    for value in DIFFERENT[name]:
        assert digest(value) == digest(value)


@pytest.mark.parametrize(
    "frame",
    [
        pd.Series(pd.date_range("2020", periods=2, tz="UTC")),
        pd.Series([1, None], dtype="Int64"),
        pd.Series([pd.Interval(0, 1)]),
        pd.Series(pd.period_range("2020", periods=2, freq="D")),
        pd.DataFrame([[1, "x"]], columns=["same", "same"]),
        pd.MultiIndex.from_tuples([(1, "a")], names=["n", None]),
        pd.Series([{"a": [1]}, None]),
        pd.array([1, None], dtype="Int64"),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_a_copy_of_a_frame_has_its_digest(frame: Any) -> None:
    assert digest(copy.deepcopy(frame)) == digest(frame)


def test_a_memory_map_is_known_by_its_content(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "data", "f8", "w+", shape=(3,))
    mapped[:] = 1
    assert digest(mapped) == digest(np.ones(3))


def test_a_large_array_is_not_copied() -> None:
    import tracemalloc

    array = np.zeros(20_000_000, "u1").reshape(4000, 5000)
    tracemalloc.start()
    digest(array.T)
    digest(array)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < array.nbytes / 4


def test_a_long_list_is_not_kept_whole() -> None:
    import tracemalloc

    values = [float(number) for number in range(50_000)]
    digest(values[:10])
    tracemalloc.start()
    digest(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 500_000


# ---------------------------------------------------------------------------------------------------------------------
# Rules without a list of cases.
# ---------------------------------------------------------------------------------------------------------------------

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.binary(),
    st.complex_numbers(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.datetimes(),
    st.timedeltas(),
    st.uuids(),
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(), inner, max_size=4),
    ),
    max_leaves=12,
)


def typed(value: Any) -> Any:
    """Return what two values have to share to share a digest, written without any of the code under test."""
    kind = type(value).__name__
    if isinstance(value, dict):
        return kind, frozenset((typed(key), typed(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return kind, tuple(map(typed, value))
    if isinstance(value, float | complex):
        return kind, re.sub(r"-?nan", "nan", repr(value))
    return kind, repr(value)


@given(values, values)
def test_two_values_share_a_digest_exactly_if_type_and_content_are_equal(first: Any, second: Any) -> None:
    assert (digest(first) == digest(second)) is (typed(first) == typed(second))


@given(values)
def test_a_deep_copy_has_the_same_digest(value: Any) -> None:
    assert digest(copy.deepcopy(value)) == digest(value)


@given(st.dictionaries(st.text(), values, max_size=5), st.randoms())
def test_the_order_of_a_dict_never_counts(items: dict[str, Any], order: random.Random) -> None:
    shuffled = list(items.items())
    order.shuffle(shuffled)
    assert digest(dict(shuffled)) == digest(items)


@given(st.lists(st.integers(-9, 9), max_size=4), st.lists(st.integers(-9, 9), max_size=4))
def test_lists_cannot_run_into_each_other(first: list[int], second: list[int]) -> None:
    assert (digest([first, second]) == digest([first + second, []])) is (second == [])


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 100_000])
def test_large_texts_and_lists_are_told_apart_too(size: int) -> None:
    assert digest("a" * size) != digest("a" * (size - 1) + "b")
    assert digest([0] * size) != digest([0] * (size - 1) + [1])


# ---------------------------------------------------------------------------------------------------------------------
# What is refused.
# ---------------------------------------------------------------------------------------------------------------------


class TellsItsId:
    def __reduce__(self) -> Any:
        return Model, (id(self),)


class TellsTheIdOfAPart:
    def __init__(self) -> None:
        self.part = Model()

    def __reduce__(self) -> Any:
        return Model, ({"of": [id(self)]},)


class TellsAnAddress:
    def __reduce__(self) -> Any:
        return Model, (repr(object()),)


class Counts:
    numbers: ClassVar[Iterator[int]] = itertools.count()

    def __reduce__(self) -> Any:
        return Model, (next(self.numbers),)


class RefusesToBeCopied:
    def __reduce__(self) -> Any:
        raise RuntimeError("only by inheritance")


class ClaimsAName:
    def __reduce__(self) -> Any:
        return "Model"


def self_containing(kind: str) -> Any:
    if kind == "list":
        value: Any = []
        value.append(value)
    elif kind == "dict":
        value = {}
        value["self"] = value
    else:
        value = Model()
        value.other = types.SimpleNamespace(back=value)
    return value


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a bare object": (object, "it is of type object and has nothing to be known by"),
    "a lock": (threading.Lock, "it is of type _thread.lock and does not say what it consists of"),
    "a generator": (lambda: (x for x in ()), "it is of type generator and can be read only once"),
    "an iterator": (lambda: iter([1]), "it is of type list_iterator and can be read only once"),
    "a map": (lambda: map(str, [1]), "it is of type map and can be read only once"),
    "a memory file": (lambda: io.BytesIO(b"x"), "it is of type _io.BytesIO and can be read only once"),
    "an event": (threading.Event, "does not say what it consists of"),
    "a code object": (lambda: nested.__code__, "does not say what it consists of"),
    "its own id": (TellsItsId, "describes itself by its address in memory"),
    "an id further in": (TellsTheIdOfAPart, "describes itself by its address in memory"),
    "an address": (TellsAnAddress, "describes itself by an address"),
    "another value each time": (Counts, "describes itself differently each time"),
    "a refusal": (RefusesToBeCopied, "does not say what it consists of (RuntimeError: only by inheritance)"),
    "a name that is another's": (ClaimsAName, "calls itself"),
    "a list in itself": (lambda: self_containing("list"), "contains itself"),
    "a dict in itself": (lambda: self_containing("dict"), "contains itself"),
    "an object in itself": (lambda: self_containing("object"), "contains itself"),
    "too deep a nesting": (lambda: nested(3000), "lies more than 100 levels deep"),
    "a lock in an array": (lambda: np.array([threading.Lock()], object), "does not say what it consists of"),
    "a module made by hand": (lambda: types.ModuleType("made"), "cannot be imported by its name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_stable_form_is_refused(name: str) -> None:
    make, reason = REFUSED[name]
    with pytest.raises(UnkeyableValue) as refusal:
        digest(make())
    assert reason in str(refusal.value)


def test_an_open_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(UnkeyableValue, match=r"it is of type _io.TextIOWrapper"):
        digest(file)


def test_a_refusal_says_where_what_and_what_to_write() -> None:
    model = types.SimpleNamespace(loss=threading.Lock())
    with pytest.raises(UnkeyableValue) as refusal:
        digest([model], path="parameters['model']")
    assert refusal.value.path == "parameters['model'][0].loss"
    assert refusal.value.value is model.loss
    assert str(refusal.value) == (
        "parameters['model'][0].loss has no stable key: it is of type _thread.lock and does not say what it consists "
        "of (TypeError: cannot pickle '_thread.lock' object). Do one of these:\n"
        "  memento.register_key(lock, lambda value: ...)  # return what identifies it\n"
        "  def __memento_key__(self): ...  # the same, as a method of the class\n"
        "  memento.Named('label', value)  # be known by the label alone"
    )


def test_a_refusal_of_a_bare_object_names_no_way_that_is_closed() -> None:
    with pytest.raises(UnkeyableValue) as refusal:
        digest(object(), path="parameters['x']")
    assert str(refusal.value).partition(". Do")[2] == (
        " this:\n  memento.Named('label', value)  # be known by the label alone"
    )


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [1, {"b": object()}]}, "value['a'][1]['b']"),
        (Point(1, (0, object())), "value.y[1]"),
        (Slotted(1, object()), "value.b"),
        (functools.partial(len, object()), "value[0]"),
        ({object()}, None),
        (SVC(C=object()), "value.C"),
        (adder(object()), "value['n']"),
    ],
)
def test_the_path_leads_to_the_value(value: Any, path: str | None) -> None:
    with pytest.raises(UnkeyableValue) as refusal:
        digest(value)
    if path is not None:
        assert refusal.value.path == path


# ---------------------------------------------------------------------------------------------------------------------
# Keys of one's own.
# ---------------------------------------------------------------------------------------------------------------------


class Corpus:
    def __init__(self, name: str) -> None:
        self.name, self.lock = name, threading.Lock()


class LargeCorpus(Corpus):
    pass


@pytest.fixture
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_registered", {})


@pytest.mark.usefixtures("_registry")
def test_a_registered_type_and_its_subclasses_are_known_by_what_the_function_says() -> None:
    register_key(Corpus, lambda corpus: corpus.name)
    assert digest(Corpus("news")) == digest(Corpus("news"))
    assert len({digest(Corpus("news")), digest(Corpus("blogs")), digest(LargeCorpus("news")), digest("news")}) == 4


@pytest.mark.usefixtures("_registry")
def test_a_registered_function_comes_before_the_rules_of_the_type() -> None:
    register_key(Point, lambda point: point.x)
    assert digest(Point(1, 2)) == digest(Point(1, object()))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (int, "register_key: the key of int cannot be chosen; register a class of your own"),
        (object, "register_key: the key of object cannot be chosen; register a class of your own"),
        ("Corpus", "register_key: 'Corpus' is not a class; pass a class, then the function that gives its key"),
    ],
)
def test_some_types_cannot_be_registered(kind: Any, message: str) -> None:
    with pytest.raises(TypeError) as refusal:
        register_key(kind, repr)
    assert str(refusal.value) == message


def test_a_method_of_the_class_gives_the_key() -> None:
    class Own:
        def __init__(self, name: str) -> None:
            self.name, self.lock = name, threading.Lock()

        def __memento_key__(self) -> str:
            return self.name

    assert digest(Own("a")) == digest(Own("a"))
    assert digest(Own("a")) != digest(Own("b"))
    assert digest(Own) != digest(Own("a"))


def test_a_named_value_is_known_by_its_label_and_prints_it() -> None:
    named = Named("corpus-v2", threading.Lock())
    assert digest(named) == digest(Named("corpus-v2", 3))
    assert repr(named) == readable(named) == "Named('corpus-v2')"
    assert named.value.acquire()


def test_only_what_is_named_is_replaced_where_a_value_is_given_bare() -> None:
    lock = threading.Lock()
    named, untouched = Named("lock", lock), [1, {"a": (2, 3)}]
    given = {"a": [named, untouched], "b": (named,), "c": 4}
    now = bare(given)
    assert now == {"a": [lock, untouched], "b": (lock,), "c": 4}
    assert now["a"][1] is untouched
    assert bare(untouched) is untouched
    assert digest(labelled(now, given)) == digest(given)
    now["a"].append(5)  # an experiment may change what it was given
    assert labelled(now, given) == {"a": [lock, untouched, 5], "b": (named,), "c": 4}
    endless: list[Any] = [named]
    endless.append(endless)
    assert bare(endless)[0] is lock


# ---------------------------------------------------------------------------------------------------------------------
# Keys of configurations.
# ---------------------------------------------------------------------------------------------------------------------


def test_a_key_is_the_same_for_ever() -> None:
    maker = KeyMaker("train:fit", ("lr", "depth"), {"data": digest("mnist")})
    assert maker.key([digest(0.1), digest(2)]).hex() == GOLDEN["key"]


def test_the_order_of_parameters_and_settings_does_not_change_a_key() -> None:
    values = {name: digest(name) for name in "abcde"}
    settings = {"s": digest(1), "t": digest(2)}
    keys = {
        KeyMaker("e", order, dict(reversed(settings.items()) if order[0] == "a" else settings)).key(
            [values[name] for name in order]
        )
        for order in itertools.permutations("abcde")
    }
    assert len(keys) == 1
    assert keys == {config_key("e", values.items(), settings.items())}


def test_everything_that_is_computed_changes_the_key() -> None:
    one, two = digest(1), digest(2)
    keys = [
        KeyMaker("e", ("a", "b"), {}).key([one, two]),
        KeyMaker("e", ("a", "b"), {}).key([two, one]),
        KeyMaker("f", ("a", "b"), {}).key([one, two]),
        KeyMaker("e", ("a", "c"), {}).key([one, two]),
        KeyMaker("e", ("ab",), {}).key([one]),
        KeyMaker("e", ("a",), {}).key([one]),
        KeyMaker("e", ("a",), {"b": two}).key([one]),
        KeyMaker("e", ("b",), {"a": one}).key([two]),
        KeyMaker("e", (), {"a": one, "b": two}).key([]),
        KeyMaker("e", (), {}).key([]),
    ]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {16}


# ---------------------------------------------------------------------------------------------------------------------
# What people read.
# ---------------------------------------------------------------------------------------------------------------------

READABLE: dict[str, tuple[Any, str]] = {
    "a float": (0.1, "0.1"),
    "a string": ("mnist", "'mnist'"),
    "a public class of a private module": (SVC, "sklearn.svm.SVC"),
    "a class of a public module": (collections.OrderedDict, "collections.OrderedDict"),
    "a builtin": (len, "len"),
    "a function": (json.dumps, "json.dumps"),
    "a compiled function": (np.mean, "numpy.mean"),
    "a ufunc": (np.add, "numpy.add"),
    "containers": ({"a": [1, (2,)], "b": {3}}, "{'a': [1, (2,)], 'b': {3}}"),
    "empty containers": ([(), [], {}, set(), frozenset()], "[(), [], {}, set(), frozenset()]"),
    "classes in containers": ([SVC, len], "[sklearn.svm.SVC, len]"),
    "an estimator": (SVC(C=2), "SVC(C=2)"),
    "a partial": (functools.partial(SVC, C=2), "sklearn.svm.SVC(C=2)"),
    "a dataclass": (Point(1, SVC), "Point(x=1, y=sklearn.svm.SVC)"),
    "a member of an enum": (Colour.RED, "Colour.RED"),
    "a path": (Path("a/b"), "Path('a/b')"),
    "another system's path": (PureWindowsPath("a\\b"), "PureWindowsPath('a/b')"),
    "a module": (json, "json"),
    "a numpy scalar": (np.float64(0.5), "np.float64(0.5)"),
    "an array": (np.zeros((3, 4)), "ndarray(3, 4) float64 #a279b1e5"),
    "an unkeyable object": (threading.Lock(), "lock #?"),
    "a list in itself": (self_containing("list"), "[[[[[[[…]]]]]]]"),
}


@pytest.mark.parametrize("name", READABLE)
def test_readable(name: str) -> None:
    value, text = READABLE[name]
    assert readable(value) == text


def test_a_readable_text_never_has_an_address_and_never_is_long() -> None:
    for values in DIFFERENT.values():
        for value in [*values, [*values]]:
            text = readable(value)
            assert len(text) <= 120
            assert " at 0x" not in text
            assert "\n" not in text


def test_readable_texts_of_two_objects_differ() -> None:
    assert re.fullmatch(r"Model #[0-9a-f]{8}", readable(Model(1)))
    assert readable(Model(1)) != readable(Model(2))


def test_a_repr_that_fails_is_survived() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert re.fullmatch(r".*Broken #[0-9a-f]{8}", readable(Broken()))


def test_what_draws_from_the_generator_of_a_whole_process_has_the_same_digest_in_every_process() -> None:
    program = (
        "import random, scipy.stats, numpy; from memento.hashing import digest; "
        "print(*[digest(one).hex() for one in "
        "(scipy.stats.norm(0, 1), scipy.stats.randint(1, 9), numpy.random.mtrand._rand, random._inst)])"
    )
    runs = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in "ab"]
    told = {done.stdout for done in runs}
    assert len(told) == 1
    assert len(set(told.pop().split())) == 4
    assert digest(scipy.stats.norm(0, 1)) == digest(scipy.stats.norm(0, 1)) != digest(scipy.stats.norm(0, 2))
