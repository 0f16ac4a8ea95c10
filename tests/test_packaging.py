"""What is published: the names, the version, the dependencies, and a lock file that names no machine."""

from __future__ import annotations

import ast
import importlib
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


def homes_said_to_type_checkers() -> dict[str, str]:
    """Return the modules from which `memento/__init__.py` imports each public name, for the eyes of type checkers."""
    tree = ast.parse((ROOT / "memento/__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {
        alias.name: node.module or ""
        for node in imports
        if f"{node.module}.".startswith("memento.")
        for alias in node.names
    }


def distribution_of(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower()


def test_the_exported_names_are_those_that_the_package_imports():
    homes = homes_said_to_type_checkers()

    assert sorted(memento.__all__) == memento.__all__ == sorted(homes)
    for name, home in homes.items():
        assert getattr(memento, name) is getattr(importlib.import_module(home), name)
    assert set(memento.__all__) <= set(dir(memento))


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'memento' has no attribute 'Momento'"):
        memento.Momento


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

    assert list(extras) == ["pandas", "plot", "dask", "ray", "mlflow", "notify", "dashboard", "parquet", "all"]
    assert set(extras["all"]) == {
        requirement for extra, listed in extras.items() if extra != "all" for requirement in listed
    }


@pytest.mark.parametrize("name", ["pyproject.toml", "poetry.lock", "poetry.toml", "Makefile"])
def test_no_file_of_the_package_names_a_host_a_path_or_torch(name):
    text = (ROOT / name).read_text()
    if name == "poetry.lock":  # what other people say of their packages
        text = re.sub(r"^description = .*$", "", text, flags=re.MULTILINE)

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


@pytest.mark.parametrize("statement", ["import memento", "from memento import Memento", "from memento import *"])
def test_importing_memento_imports_nothing_that_is_optional_or_slow(statement):
    heavy = "numpy pandas matplotlib sklearn distributed ray mlflow apprise asyncio ssl smtplib urllib.request IPython"
    program = f"import sys; {statement}; print(*sorted(set({heavy.split()!r}) & set(sys.modules)))"

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert printed.stdout.split() == []


def test_tables_of_results_load_nothing_of_what_records():
    program = (
        "import sys, memento.results.frames; print(*(name for name in sys.modules if 'memento.recording' in name))"
    )

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert printed.stdout.split() == []


def test_the_processes_that_experiments_run_in_load_little_before_they_are_ready():
    spared = "ast inspect dataclasses subprocess secrets random locale logging sqlite3 cloudpickle"
    statement = "import memento.executors.processes.supervisor"
    program = f"import sys; {statement}; print(*sorted(set({spared.split()!r}) & set(sys.modules)))"

    # Without site, which loads what the environment it runs in asks for.
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {program}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert printed.stdout.split() == []
