"""A store in each of its two forms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memento.store import SqliteStore, open_store


@pytest.fixture(params=["a folder", "a file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / ("store" if request.param == "a folder" else "store.sqlite")


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with open_store(path) as opened:
        yield opened
