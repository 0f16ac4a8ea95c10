"""What a value carries beside what it shows at first: what an experiment can read of it is in the key."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import functools
import pathlib
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
import pydantic
import pytest

from memento import Memento
from memento.errors import UnkeyableValue
from memento.hashing.keys import digest

T = TypeVar("T")


def given(value: Any, **attributes: Any) -> Any:
    for name, item in attributes.items():
        setattr(value, name, item)
    return value


@dataclasses.dataclass
class Scaled:
    base: float
    factor: dataclasses.InitVar[float] = 1.0

    def __post_init__(self, factor: float) -> None:
        self.scale = factor

    @functools.cached_property
    def double(self) -> float:
        return self.base * 2


@dataclasses.dataclass
class Plain(Generic[T]):
    base: T


class Noted:
    __slots__ = ("note",)


@dataclasses.dataclass(slots=True)
class Slotted(Noted):
    base: int = 1


@dataclasses.dataclass
class Guarded:
    base: int = 1

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.note = "a"

    def __getstate__(self) -> dict[str, Any]:
        return {"base": self.base, "note": self.note}


@dataclasses.dataclass
class Unguarded:
    base: int = 1

    def __post_init__(self) -> None:
        self.lock = threading.Lock()


@dataclasses.dataclass(init=False)
class Rows(tuple):  # type: ignore[type-arg]
    name: str = "rows"


@attrs.define(slots=False)
class Loose:
    base: int = 1

    @functools.cached_property
    def double(self) -> int:
        return self.base * 2


@attrs.define
class Tight:
    base: int = 1

    @functools.cached_property
    def double(self) -> int:
        return self.base * 2


class Widened(Tight):
    pass


class Bare:
    pass


@attrs.define
class Above(Bare):
    base: int = 1


@attrs.frozen(cache_hash=True, slots=False)
class Hashed:
    base: int = 1


class HashedBelow(Hashed):
    pass


class Model(pydantic.BaseModel):
    depth: int = 1
    _scale: float = pydantic.PrivateAttr(1.0)
    _seen: list[int] = pydantic.PrivateAttr(default_factory=list)
    _late: int

    @functools.cached_property
    def double(self) -> int:
        return self.depth * 2


class Root(pydantic.RootModel[int]):
    _scale: float = 1.0


@pydantic.dataclasses.dataclass(config={"extra": "allow"})
class Checked:
    depth: int = 1


class CheckedBelow(Checked):
    pass


class Moment(datetime.datetime):
    pass


class Amount(decimal.Decimal):
    pass


class Folder(pathlib.PurePosixPath):
    pass


class Lists(collections.defaultdict[str, Any]):
    pass


def function(**attributes: Any) -> Any:
    def inner(x: Any) -> Any:
        return x

    inner.__dict__.update(attributes)
    return inner


def wrapped(**attributes: Any) -> Any:
    return given(functools.update_wrapper(functools.partial(int, base=2), Model), **attributes)


def whole(base: int) -> Any:
    part = Plain(base)
    return given(part, owner=Plain(part)).owner


def beyond(note: int) -> Model:
    model = Model()
    object.__setattr__(model, "note", note)
    return model


DIFFERENT: dict[str, tuple[Any, ...]] = {
    "what a dataclass keeps of an argument": (Scaled(1.0, 2.0), Scaled(1.0, 3.0)),
    "attributes of a dataclass": (Plain(1), given(Plain(1), note=1), given(Plain(1), note=2)),
    "slots of a dataclass that are no fields": (Slotted(), given(Slotted(), note=1), given(Slotted(), note=2)),
    "what a dataclass tells pickle": (Guarded(), given(Guarded(), note="b"), Guarded(2)),
    "items of a dataclass that is a tuple": (Rows((1,)), Rows((2,)), Rows()),
    "attributes of an object of attrs": (Loose(), given(Loose(), note=1), given(Loose(), note=2)),
    "attributes of a class derived from one of attrs": (Widened(), given(Widened(), note=1), given(Widened(), note=2)),
    "attributes that a base of one of attrs allows": (Above(), given(Above(), note=1), given(Above(), note=2)),
    "private attributes of a model": (
        Model(), *(given(Model(), **one) for one in ({"_scale": 2.0}, {"_scale": 3.0}, {"_seen": [1]}, {"_late": 1}))
    ),
    "attributes of a model, past its rules": (Model(), beyond(1), beyond(2)),
    "private attributes of a model in a list": ([given(Model(), _scale=2.0)], [given(Model(), _scale=3.0)]),
    "private attributes of a root model": (Root(1), given(Root(1), _scale=2.0), given(Root(1), _scale=3.0)),
    "what a model was given more": (Checked(1), Checked(depth=1, extra=1), Checked(depth=1, extra=2)),  # type: ignore[call-arg]
    "models of a derived class": (CheckedBelow(1), CheckedBelow(2)),
    "attributes of a moment": (Moment(1, 1, 1), given(Moment(1, 1, 1), note=1), given(Moment(1, 1, 1), note=2)),
    "attributes of a number": (Amount("1"), given(Amount("1"), unit="m"), given(Amount("1"), unit="km")),
    "hours that are lived twice": (
        datetime.datetime(2020, 10, 25, 2), datetime.datetime(2020, 10, 25, 2, fold=1),
        datetime.time(2), datetime.time(2, fold=1),
    ),
    "wholes that their parts know": (whole(1), whole(2)),
    "attributes of a path": (Folder("a"), given(Folder("a"), host="x"), given(Folder("a"), host="y")),
    "attributes of a dict": (Lists(), given(Lists(), note=1), given(Lists(), note=2)),
    "attributes of an ordered dict": (
        collections.OrderedDict(), given(collections.OrderedDict(), note=1), given(collections.OrderedDict(), note=2)
    ),
    "attributes of a partial": (wrapped(), wrapped(note=1), wrapped(note=2)),
    "attributes of a function": (function(), function(note=1), function(note=2)),
}  # fmt: skip

SAME: dict[str, tuple[Any, Any]] = {
    "dataclasses by an alias of their class": (Plain(1), Plain[int](1)),
    "wholes that their parts know": (whole(1), whole(1)),
    "private attributes set to their defaults": (Model(), given(Model(), _scale=1.0, _seen=[])),
    "what a dataclass keeps out of pickle": (Guarded(), Guarded()),
    "partials that are called as what they call": (wrapped(), functools.partial(int, base=2)),
}  # fmt: skip

USES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "a dataclass": (lambda: Scaled(1.0), lambda value: value.double),
    "an object of attrs": (Loose, lambda value: value.double),
    "an object of attrs with slots": (Tight, lambda value: value.double),
    "an object of a class derived from one of attrs": (Widened, lambda value: value.double),
    "an object of attrs that keeps its hash": (Hashed, hash),
    "an object that keeps its hash by the class above": (HashedBelow, hash),
    "a pydantic model": (Model, lambda value: value.double),
    "a path": (lambda: Folder("a/b"), lambda value: (str(value), value.parts, value.parent, hash(value))),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_values_that_carry_something_else_have_different_keys(kind: str) -> None:
    values = DIFFERENT[kind]
    assert len({digest(value) for value in values}) == len(values)


@pytest.mark.parametrize("kind", SAME)
def test_values_that_carry_the_same_have_one_key(kind: str) -> None:
    first, second = SAME[kind]
    assert digest(first) == digest(second)


@pytest.mark.parametrize("kind", USES)
def test_to_read_or_to_hash_a_value_does_not_change_its_key(kind: str) -> None:
    make, use = USES[kind]
    value = make()
    before = digest(value)
    use(value)
    assert digest(value) == before == digest(make())


def test_what_a_dataclass_carries_and_has_no_key_is_refused_by_name() -> None:
    with pytest.raises(UnkeyableValue, match=r"value\.lock has no stable key: it is of type _thread\.lock"):
        digest(Unguarded())


def test_a_private_attribute_that_has_no_key_is_refused_by_name() -> None:
    with pytest.raises(UnkeyableValue, match=r"value\._late has no stable key: it is of type _thread\.lock"):
        digest(given(Model(), _late=threading.Lock()))


def test_a_model_made_without_a_field_has_a_key() -> None:
    class Needs(pydantic.BaseModel):
        depth: int

    assert digest(Needs.model_construct()) != digest(Needs(depth=1))


def scale(context: Any, config: Any) -> float:
    return float(config.model._scale)


def test_an_experiment_is_computed_anew_for_another_private_attribute(tmp_path: pathlib.Path) -> None:
    found = []
    for factor in (2.0, 3.0, 2.0):
        matrix = {"parameters": {"model": [given(Model(), _scale=factor)]}}
        results = Memento(scale, executor="serial").run(matrix, cache_path=tmp_path)
        assert results is not None
        found.append((results[0].inner, results[0].was_cached))
    assert found == [(2.0, False), (3.0, False), (2.0, True)]
