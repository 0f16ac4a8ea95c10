"""One server for all tests of a process, and an empty database of MLflow's for each that wants one."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from memento import MlflowTracker
from tests.tracking.server import Server, running_server

_numbers = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            # Loading MLflow warns of what its dependencies deprecate, each release of something else.
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::FutureWarning"))
            if "server" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.slow)  # it takes ten seconds to start


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow puts the artifacts of a database that has no server below the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    with contextlib.chdir(path.parent):
        MlflowTracker("nothing", f"sqlite:///{path}").mlflow_client.search_experiments()
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> str:
    """The address of a SQLite database with MLflow's tables and nothing in them."""
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def name() -> str:
    """The name of an experiment that no other test uses."""
    return f"experiment {next(_numbers)}"


@pytest.fixture(params=["server", "database"])
def uri(request: pytest.FixtureRequest, server: Server, database: str) -> str:
    """The address of a server over HTTP, and of a SQLite database."""
    return server.url if request.param == "server" else database
