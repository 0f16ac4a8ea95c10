"""Functions that remember."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memento import Cache, CacheMiss

calls: list[Any] = []


def add(first: int, second: int = 2, *, third: int = 3) -> int:
    """Add three numbers."""
    calls.append((first, second, third))
    return first + second + third


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


def test_a_call_is_computed_once_however_its_arguments_are_passed() -> None:
    cached = Cache(add)
    assert [cached(1), cached(1, 2), cached(first=1, second=2), cached(1, third=3)] == [6, 6, 6, 6]
    assert len(calls) == 1
    assert cached(1, 3) == 7
    assert len(calls) == 2


def test_equal_is_as_in_a_matrix() -> None:
    def kind(value: Any) -> str:
        calls.append(value)
        return type(value).__name__

    cached = Cache(kind)
    assert [cached(1), cached(1.0), cached(True), cached(1)] == ["int", "float", "bool", "int"]
    assert len(calls) == 3


def test_force_cache_raises_and_force_run_computes() -> None:
    cached = Cache(add)
    with pytest.raises(CacheMiss, match=r"no stored result for add\(first=1, second=2, third=3\)"):
        cached(1, force_cache=True)
    with pytest.raises(KeyError):
        cached(1, force_cache=True)
    cached(1)
    assert cached(1, force_cache=True) == 6
    cached(1, force_run=True)
    assert len(calls) == 2


def test_an_exception_is_not_remembered() -> None:
    def fail() -> None:
        calls.append(1)
        raise ValueError("no")

    cached = Cache(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            cached()
    assert len(calls) == 2


def test_large_values_come_back_whole() -> None:
    cached = Cache(np.full)
    assert (cached(200_000, 1.5) == cached(200_000, 1.5)).all()


def test_it_decorates_functions_and_methods() -> None:
    class Model:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        def __memento_key__(self) -> int:
            return self.factor

        @Cache
        def times(self, value: int) -> int:
            """Multiply."""
            calls.append(value)
            return self.factor * value

    assert Model.times.__doc__ == "Multiply."
    assert [Model(2).times(3), Model(2).times(3), Model(3).times(3)] == [6, 6, 9]
    assert len(calls) == 2


def test_another_process_finds_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from memento import Cache\n@Cache\ndef f(x):\n    print('called')\n    return x + 1\nprint(f(1))\n"
    )
    outputs = [
        subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout for _ in "ab"
    ]
    assert outputs == ["called\n2\n", "2\n"]


def test_a_provider_of_ones_own_is_used() -> None:
    class Provider(dict[Any, Any]):
        def make_key(self, func: Any, *args: Any, **kwargs: Any) -> Any:
            return args

        def get(self, key: Any) -> Any:  # type: ignore[override]
            return self[key]

        def set(self, key: Any, item: Any) -> None:
            self[key] = item

    provider = Provider()
    cached = Cache(add, provider)
    assert [cached(1), cached(1)] == [6, 6]
    assert len(calls) == 1
    with pytest.raises(KeyError):
        cached(5, force_cache=True)
