"""What is told of an error, also where Python itself cannot tell it any more."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from memento.failures import describe_exception


def broken() -> None:
    raise LookupError("nothing there")


def described() -> str:
    try:
        broken()
    except LookupError as error:
        return describe_exception(error).traceback
    raise AssertionError


def test_the_places_are_told_where_what_formats_a_traceback_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_descriptors(*_: Any, **__: Any) -> None:
        raise OSError(24, "Too many open files")

    usual = described()
    for name in ("format_exception", "format_tb", "extract_tb"):
        monkeypatch.setattr(traceback, name, no_descriptors)
    told = described()

    assert told.startswith("Traceback (most recent call last):\n")
    assert told.endswith("LookupError: nothing there\n")
    assert [line for line in usual.splitlines() if line.startswith("  File")] == told.splitlines()[1:-1]
