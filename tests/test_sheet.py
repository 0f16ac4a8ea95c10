"""A sheet tells what every configuration of a run was, in a few texts for each axis."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memento import generate_configurations
from memento.matrix.sheet import Sheet, describe, pack_rows


class SVC:
    """Stands for a class of the user's."""


def test_a_configuration_is_told_as_json_of_readable_parameters_replicate_and_settings() -> None:
    configurations = generate_configurations(
        {"parameters": {"model": [SVC, 'a "b"'], ("é", "n"): [(1, 2)]}, "settings": {"e": 0.5}, "replicates": 1}
    )
    sheet = Sheet(configurations.sheet(range(2)))
    assert [json.loads(sheet.describe(position) or "") for position in (0, 1)] == [
        {"model": "tests.test_sheet.SVC", "é": "1", "n": "2", "replicate": "0", "e": "0.5"},
        {"model": "'a \"b\"'", "é": "1", "n": "2", "replicate": "0", "e": "0.5"},
    ]
    assert sheet.describe(2) is None


def test_a_large_matrix_is_told_by_its_axes() -> None:
    configurations = generate_configurations(
        {"parameters": {"a": [1, 2], "b": range(0, 4000, 2), "c": ["x", "y"], "d": [None]}, "settings": {"e": 1}}
    )
    packed = configurations.sheet(range(len(configurations)))
    assert len(packed) < 200
    sheet = Sheet(packed)
    last = len(configurations) - 1
    assert sheet.describe(last) == '{"a": "2", "b": "3998", "c": "\'y\'", "d": "None", "e": "1"}'
    assert sheet.describe(0) == '{"a": "1", "b": "0", "c": "\'x\'", "d": "None", "e": "1"}'
    assert sheet.describe(last + 1) is None


words = st.text(max_size=3)  # lone surrogates too, which a user's text may hold
axes = st.lists(words | st.integers() | st.none(), min_size=1, max_size=9, unique_by=lambda value: (type(value), value))


@given(st.dictionaries(st.sampled_from("abc"), axes, min_size=1), st.dictionaries(st.sampled_from("de"), words))
def test_axes_and_single_texts_tell_the_same(parameters: dict[str, list[object]], settings: dict[str, str]) -> None:
    """Of a union of two matrices, where the first is told by one position after another."""
    matrices = [{"parameters": {**parameters, "big": range(300)}, "settings": settings}, {"parameters": {"f": [1, 2]}}]
    space = generate_configurations(matrices).space
    sheet = Sheet(generate_configurations(matrices).sheet(range(space.size)))
    for position in {0, 1, 299, 300, space.size // 2, space.size - 3, space.size - 2, space.size - 1}:
        if position < space.size:
            assert sheet.describe(position) == describe(space, position)


def test_what_is_no_sheet_is_refused() -> None:
    assert Sheet(pack_rows({7: "seven"})).describe(7) == "seven"
    with pytest.raises(ValueError, match="not a sheet"):
        Sheet(b"no")
