"""Who an experiment is, and which edits to the user's project are seen."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import linecache
import os
import random
import shutil
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memento.fingerprint import code_of_values, identify
from memento.task import Experiment

ROOT = Path(__file__).parent.parent

PROJECT = {
    "study/__init__.py": "",
    "study/experiment.py": '''
        """The experiment."""
        import json

        import study.deep.numbers as numbers
        from study import helpers
        from study.aliased import original as renamed
        from study.constants import FACTOR, Shape

        LIMIT = 10
        TABLE = {"a": 1, "b": 2}
        TABLE["c"] = 3
        STEPS = [helpers.clean, lambda value: value + 100]
        REGISTRY = {}
        if LIMIT:
            MODE = "fast"


        def register(function):
            REGISTRY[function.__name__] = function
            return function


        @register
        def registered(value):
            return value * 31


        def traced(level):
            def decorate(function):
                return function
            return decorate


        class Base:
            factor = 2

            def scale(self, value):
                return value * self.factor


        class Model(Base):
            rate: float = 0.1

            def fit(self, value):
                return self.scale(value) + self.rate


        @traced(level=1)
        def experiment(context, config, *, width=3):
            """Return a number."""
            from study.inside import late, THRESHOLD
            from . import sibling

            total = 0
            for item in range(LIMIT):
                total += item * 2
            squares = [item**2 for item in range(width)]
            name = "plain"
            first = helpers.clean(total)
            second = renamed(first)
            total = total + 1
            total = total * 2
            return (total, squares, name, second, Model().fit(FACTOR), TABLE, STEPS, MODE, late(THRESHOLD),
                    sibling.near(1), numbers.add(1, 1000), REGISTRY, Shape)


        def unrelated():
            return 1
        ''',
    "study/helpers.py": """
        def clean(value):
            return strip(value)

        def strip(value):
            return value - 1

        def unused(value):
            return value
        """,
    "study/aliased.py": "def original(value):\n    return value + 7\n",
    "study/constants.py": "FACTOR = 5\nUNUSED = 6\n\nclass Shape:\n    size = 4\n",
    "study/inside.py": "THRESHOLD = 8\n\ndef late(value):\n    return value + 9\n",
    "study/sibling.py": "def near(value):\n    return value + 11\n",
    "study/deep/__init__.py": "",
    "study/deep/numbers.py": "def add(a, b):\n    return a + b\n",
}

MAIN = "study/experiment.py"


def write_project(folder: Path, *edits: tuple[str, str, str]) -> None:
    for name, text in PROJECT.items():
        text = textwrap.dedent(text)
        for file, before, after in edits:
            if file == name:
                assert text.count(before) == 1, (before, text.count(before))
                text = text.replace(before, after)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@contextlib.contextmanager
def importable(folder: Path) -> Iterator[None]:
    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("study", "single", "cyclic", "other")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    sys.path.insert(0, str(folder))
    forget()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        forget()


def project_code(folder: Path, *edits: tuple[str, str, str]) -> Experiment:
    folder.mkdir()
    write_project(folder, *edits)
    with importable(folder):
        return identify(importlib.import_module("study.experiment").experiment)


def single(folder: Path, source: str, name: str = "experiment") -> Experiment:
    """Return what is known of a function in a module of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "single.py").write_text(textwrap.dedent(source))
    with importable(folder):
        return identify(getattr(importlib.import_module("single"), name))


# --- which edits are noticed -------------------------------------------------------------------------------------

NOTICED: dict[str, tuple[tuple[str, str, str], str]] = {
    "a number in the body": ((MAIN, "total = 0", "total = 5"), "study.experiment.experiment"),
    "an operator": ((MAIN, "total += item * 2", "total += item / 2"), "study.experiment.experiment"),
    "a text in the body": ((MAIN, 'name = "plain"', 'name = "other"'), "study.experiment.experiment"),
    "a default": ((MAIN, "*, width=3", "*, width=4"), "study.experiment.experiment"),
    "a new parameter": ((MAIN, "*, width=3", "*, width=3, height=4"), "study.experiment.experiment"),
    "a decorator's argument": ((MAIN, "@traced(level=1)", "@traced(level=2)"), "study.experiment.experiment"),
    "a decorator taken away": ((MAIN, "@traced(level=1)\n", ""), "study.experiment.experiment"),
    "a decorator's body": ((MAIN, "        return function\n    return decorate",
                           "        function.level = level\n        return function\n    return decorate"),
                          "study.experiment.traced"),
    "a comprehension": ((MAIN, "item**2 for item", "item**3 for item"), "study.experiment.experiment"),
    "a condition in a comprehension": ((MAIN, "in range(width)]", "in range(width) if item]"), "study.experiment.experiment"),
    "the order of statements": (
        (MAIN, "    total = total + 1\n    total = total * 2\n", "    total = total * 2\n    total = total + 1\n"),
        "study.experiment.experiment",
    ),
    "an early return": ((MAIN, "    total = 0\n", "    return 0\n    total = 0\n"), "study.experiment.experiment"),
    "a statement taken away": ((MAIN, "    total = total + 1\n", ""), "study.experiment.experiment"),
    "a module's number": ((MAIN, "LIMIT = 10", "LIMIT = 11"), "study.experiment.LIMIT"),
    "a module's number, changed later": ((MAIN, "LIMIT = 10\n", "LIMIT = 10\nLIMIT += 1\n"), "study.experiment.LIMIT"),
    "a module's dict": ((MAIN, '"b": 2}', '"b": 3}'), "study.experiment.TABLE"),
    "an item set in a module's dict": ((MAIN, 'TABLE["c"] = 3', 'TABLE["c"] = 4'), "study.experiment.TABLE"),
    "a method called on a module's dict": (
        (MAIN, 'TABLE["c"] = 3\n', 'TABLE["c"] = 3\nTABLE.update(d=4)\n'), "study.experiment.TABLE"
    ),
    "a value given under a condition": ((MAIN, 'MODE = "fast"', 'MODE = "slow"'), "study.experiment.MODE"),
    "a lambda in a module's list": ((MAIN, "value + 100", "value + 101"), "study.experiment.STEPS"),
    "a function that a decorator registered": ((MAIN, "value * 31", "value * 37"), "study.experiment.registered"),
    "a class's attribute": ((MAIN, "rate: float = 0.1", "rate: float = 0.2"), "study.experiment.Model"),
    "a declared field of a class": ((MAIN, "rate: float = 0.1", "rate: int = 0.1"), "study.experiment.Model"),
    "a method": ((MAIN, "+ self.rate", "- self.rate"), "study.experiment.Model"),
    "a base class": ((MAIN, "return value * self.factor", "return value + self.factor"), "study.experiment.Base"),
    "another base class": ((MAIN, "class Model(Base):", "class Model(Base, dict):"), "study.experiment.Model"),
    "a helper in another module": (
        ("study/helpers.py", "return strip(value)", "return -strip(value)"), "study.helpers.clean"
    ),
    "a helper's helper": (("study/helpers.py", "value - 1", "value - 2"), "study.helpers.strip"),
    "a helper under another name": (("study/aliased.py", "value + 7", "value + 8"), "study.aliased.original"),
    "a helper of a package in a package": (("study/deep/numbers.py", "a + b", "a - b"), "study.deep.numbers.add"),
    "a helper imported in the function": (("study/inside.py", "value + 9", "value + 8"), "study.inside.late"),
    "a number imported in the function": (("study/inside.py", "THRESHOLD = 8", "THRESHOLD = 7"), "study.inside.THRESHOLD"),
    "a module imported in the function": (("study/sibling.py", "value + 11", "value + 12"), "study.sibling.near"),
    "another module's number": (("study/constants.py", "FACTOR = 5", "FACTOR = 4"), "study.constants.FACTOR"),
    "another module's class": (("study/constants.py", "size = 4", "size = 5"), "study.constants.Shape"),
}  # fmt: skip

UNNOTICED: dict[str, tuple[str, str, str]] = {
    "a comment": (MAIN, "total = 0\n", "total = 0  # from nothing\n"),
    "a line of comment": (MAIN, "    total = 0\n", "    # from nothing\n    total = 0\n"),
    "a docstring": (MAIN, '"""Return a number."""', '"""Return another number.\n\n    At length.\n    """'),
    "no docstring": (MAIN, '    """Return a number."""\n', ""),
    "the module's docstring": (MAIN, '"""The experiment."""', '"""Another."""'),
    "a class's docstring": (MAIN, "class Base:\n", 'class Base:\n    """Scales."""\n\n'),
    "an attribute's docstring": (MAIN, "    factor = 2\n", '    factor = 2\n    """How much."""\n'),
    "blank lines": (MAIN, "    total = 0\n", "\n\n    total = 0\n\n"),
    "a broken line": (MAIN, "range(width)]", "range(\n        width\n    )]"),
    "parentheses": (MAIN, "total = total + 1", "total = (total + 1)"),
    "quotes": (MAIN, 'name = "plain"', "name = 'plain'"),
    "a text in two pieces": (MAIN, 'name = "plain"', 'name = "pl" "ain"'),
    "an annotated parameter": (MAIN, "context, config,", "context: object, config: dict,"),
    "an annotated result": (MAIN, "width=3):", "width=3) -> tuple:"),
    "an annotated variable": (MAIN, "total = 0", "total: int = 0"),
    "a declared variable": (MAIN, "    total = 0\n", "    total: int\n    total = 0\n"),
    "a type comment": (MAIN, "total = 0\n", "total = 0  # type: int\n"),
    "a number written otherwise": ("study/experiment.py", "numbers.add(1, 1000)", "numbers.add(0x1, 1_000)"),
    "a trailing comma": (MAIN, '"b": 2}', '"b": 2,}'),
    "a semicolon": (MAIN, "    total = total + 1\n    total", "    total = total + 1; total"),
    "an unrelated function": (MAIN, "def unrelated():\n    return 1", "def unrelated():\n    return 2"),
    "an unrelated function taken away": (MAIN, "def unrelated():\n    return 1\n", ""),
    "a new function above": (MAIN, "class Base:", "def new():\n    return 3\n\n\nclass Base:"),
    "a helper's module, elsewhere": ("study/helpers.py", "def unused(value):\n    return value", ""),
    "a number that nobody uses": ("study/constants.py", "UNUSED = 6", "UNUSED = 7"),
    "an import that nobody uses": (MAIN, "import json\n", "import json\nimport os\n"),
}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return project_code(tmp_path_factory.mktemp("before") / "project")


@pytest.mark.parametrize("kind", NOTICED)
def test_an_edit_that_changes_something_is_noticed_and_named(kind: str, before: Experiment, tmp_path: Path) -> None:
    edit, name = NOTICED[kind]
    after = project_code(tmp_path / "project", edit)
    assert name in after.changed_since(before.code)
    assert after.name == before.name


@pytest.mark.parametrize("kind", UNNOTICED)
def test_an_edit_that_changes_nothing_is_not_noticed(kind: str, before: Experiment, tmp_path: Path) -> None:
    after = project_code(tmp_path / "project", UNNOTICED[kind])
    assert after.changed_since(before.code) == ()


def test_a_definition_moved_within_its_file_is_not_noticed(tmp_path: Path) -> None:
    helper, function = "def helper():\n    return 1\n\n", "def experiment():\n    return helper()\n\n"
    first, second = single(tmp_path / "1", helper + function), single(tmp_path / "2", function + helper)
    assert first == second


def test_exactly_what_the_experiment_uses_is_watched(before: Experiment) -> None:
    assert sorted(before.code) == [
        "study.aliased.original",
        "study.constants.FACTOR",
        "study.constants.Shape",
        "study.deep.numbers.add",
        "study.experiment.<lambda>",
        "study.experiment.Base",
        "study.experiment.LIMIT",
        "study.experiment.MODE",
        "study.experiment.Model",
        "study.experiment.REGISTRY",
        "study.experiment.STEPS",
        "study.experiment.TABLE",
        "study.experiment.experiment",
        "study.experiment.register",
        "study.experiment.registered",
        "study.experiment.traced",
        "study.helpers.clean",
        "study.helpers.strip",
        "study.inside.THRESHOLD",
        "study.inside.late",
        "study.sibling.near",
    ]
    assert before.notes == ()
