"""What generators, masked arrays and dtypes of numpy carry beside their numbers is in the key."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest

from memento.hashing.arrays import array_form
from memento.hashing.encoding import Encoder
from memento.hashing.keys import digest


def spawned(times: int) -> np.random.Generator:
    generator = np.random.default_rng(1)
    if times:
        generator.spawn(times)
    return generator


def filled(value: float | None) -> Any:
    return np.ma.array([1.0, 2.0], mask=[False, True], fill_value=value)


FIELDS: Any = [("small", "i1"), ("large", "f8")]

DIFFERENT: dict[str, tuple[Any, ...]] = {
    "how many seeds a generator has given away": (spawned(0), spawned(1), spawned(2)),
    "how many seeds its bits have given away": (spawned(0).bit_generator, spawned(1).bit_generator),
    "what fills a masked array": (filled(None), filled(5.0), filled(6.0)),
    "where fields lie": (np.dtype(FIELDS), np.dtype(FIELDS, align=True), np.dtype([("inner", np.dtype(FIELDS))]),
                         np.dtype([("inner", np.dtype(FIELDS, align=True))])),
    "how long fields are": (
        np.dtype({"names": ["a"], "formats": ["i1"], "itemsize": 2}),
        np.dtype({"names": ["a"], "formats": ["i1"], "itemsize": 3}),
    ),
    "titles of fields": (np.dtype([(("one", "a"), "i1")]), np.dtype([(("two", "a"), "i1")]), np.dtype([("a", "i1")])),
    "metadata of a dtype": (np.dtype("O"), np.dtype("O", metadata={"of": str}), np.dtype("O", metadata={"of": bytes})),
}  # fmt: skip

SAME: dict[str, tuple[Any, Any]] = {
    "the usual filling": (filled(None), filled(1e20)),
    "fields that lie as they would": (np.dtype(FIELDS), np.dtype({"small": ("i1", 0), "large": ("f8", 1)})),
}


@pytest.mark.parametrize("kind", DIFFERENT)
def test_values_of_numpy_that_carry_something_else_have_different_keys(kind: str) -> None:
    values = DIFFERENT[kind]
    assert len({digest(value) for value in values}) == len(values)


@pytest.mark.parametrize("kind", SAME)
def test_values_of_numpy_that_carry_the_same_have_one_key(kind: str) -> None:
    first, second = SAME[kind]
    assert digest(first) == digest(second)


def test_to_ask_a_masked_array_what_fills_it_does_not_change_its_key() -> None:
    array = filled(None)
    assert array.fill_value == 1e20
    assert digest(array) == digest(filled(None))


def test_to_key_a_masked_array_does_not_write_on_it() -> None:
    array = filled(None)
    digest(array)
    assert array._fill_value is None


def dtype(name: str, text: str) -> Any:
    """Make what numpy tells of a dtype that the library ml_dtypes has registered."""
    kind = type(name, (), {"__module__": "ml_dtypes"})
    return types.SimpleNamespace(name=name, str=text, type=kind, kind="V", names=None, subdtype=None)


def empty(of: Any) -> bytes:
    class Empty:
        dtype, shape, size = of, (0,), 0

    Empty.dtype.hasobject, Empty.dtype.char = False, "V"
    return array_form(Encoder(), Empty())


def test_dtypes_of_other_libraries_are_known_by_their_names() -> None:
    assert b"dtype-of2(str3:<V1str14:ml_dtypes:int4" in empty(dtype("int4", "<V1"))
    assert b"dtype-of2(str3:<V1str23:ml_dtypes:float8_e4m3fn" in empty(dtype("float8_e4m3fn", "<V1"))


def test_dtypes_of_other_libraries_that_numpy_tells_apart_keep_their_keys() -> None:
    assert empty(dtype("bfloat16", "<V2")).startswith(b"array3(str3:<V2tuple")
    assert empty(dtype("float8_e5m2", "<f1")).startswith(b"array3(str3:<f1tuple")
