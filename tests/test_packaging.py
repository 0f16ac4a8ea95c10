"""What is published: the names, the version, the dependencies, and a lock file that names no machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import memento

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK_TEXT = (ROOT / "poetry.lock").read_text()
LOCK = tomllib.loads(LOCK_TEXT)


def names_in(module: ast.Module) -> set[str]:
    """Return the public names that the module's own text binds."""
    imported = {
        alias.asname or alias.name for node in module.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assigned = {target.id for node in module.body if isinstance(node, ast.Assign) for target in node.targets}
    return {name for name in imported | assigned if not name.startswith("_") and name != "annotations"} | {
        "__version__"
    }


def distribution_of(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower()


def test_the_exported_names_are_those_that_the_package_imports():
    module = ast.parse((ROOT / "memento/__init__.py").read_text())

    assert set(memento.__all__) | {"__version__"} == names_in(module)
    assert len(memento.__all__) == len(set(memento.__all__))
    for name in memento.__all__:
        assert getattr(memento, name) is not None


def test_the_names_of_the_first_library_are_there():
    for name in (
        "Memento",
        "Config",
        "Context",
        "Result",
        "generate_configurations",
        "Cache",
        "NotificationProvider",
        "DefaultNotificationProvider",
        "ConsoleNotificationProvider",
        "FileSystemNotificationProvider",
        "EmailNotificationProvider",
        "SmtpConfiguration",
        "CacheMiss",
        "CyclicDependency",
        "AggregateException",
    ):
        assert name in memento.__all__


def test_the_version_is_the_same_everywhere():
    assert memento.__version__ == PROJECT["project"]["version"] == metadata.version("memento")
    assert re.search(r"^## (Unreleased|\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_base_needs_cloudpickle_and_tqdm_alone():
    assert [distribution_of(each) for each in PROJECT["project"]["dependencies"]] == ["cloudpickle", "tqdm"]


def test_the_extras_are_as_documented_and_all_is_their_union():
    extras = PROJECT["project"]["optional-dependencies"]

    assert list(extras) == ["pandas", "plot", "dask", "ray", "mlflow", "notify", "all"]
    assert set(extras["all"]) == {
        requirement for extra, listed in extras.items() if extra != "all" for requirement in listed
    }


@pytest.mark.parametrize("name", ["pyproject.toml", "poetry.lock", "poetry.toml", "Makefile"])
def test_no_file_of_the_package_names_a_host_a_path_or_torch(name):
    text = (ROOT / name).read_text()

    assert "://" not in text
    assert not re.search(r"(^|[\s\"'=])/(root|home|opt|usr|tmp|work)/", text)
    assert not re.search(r"\btorch\b", text)


def test_the_lock_file_knows_every_dependency_and_its_digests():
    locked = {package["name"]: package for package in LOCK["package"]}
    groups = PROJECT["dependency-groups"].values()
    required = [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["all"],
        *(requirement for group in groups for requirement in group if isinstance(requirement, str)),
    ]

    assert {distribution_of(requirement) for requirement in required} <= set(locked)
    assert all(package["files"] for package in locked.values())
    assert all(file["hash"].startswith("sha256:") for package in locked.values() for file in package["files"])
    assert not any("source" in package for package in locked.values())


def test_the_package_is_typed():
    assert (ROOT / "memento/py.typed").exists()


def test_importing_memento_imports_nothing_that_is_optional_or_slow():
    heavy = "numpy pandas matplotlib sklearn distributed ray mlflow apprise asyncio ssl smtplib urllib.request IPython"
    program = f"import sys, memento; print(*sorted(set({heavy.split()!r}) & set(sys.modules)))"

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert printed.stdout.split() == []
