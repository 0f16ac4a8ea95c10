"""Who an experiment is, and which edits to the user's project are seen."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import linecache
import os
import random
import re
import subprocess
import sys
import textwrap
import threading
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memento.experiment import Experiment
from memento.fingerprint.identity import identify, look_at_values
from tests.interpreters import pythons

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
    "a condition in a comprehension": (
        (MAIN, "in range(width)]", "in range(width) if item]"), "study.experiment.experiment"
    ),
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
    "a number imported in the function": (
        ("study/inside.py", "THRESHOLD = 8", "THRESHOLD = 7"), "study.inside.THRESHOLD"
    ),
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


# --- the same everywhere -----------------------------------------------------------------------------------------

SYNTAX = """
    import functools

    SCALE = 1_000

    def helper(values, *, power=2, **rest):
        return [value**power for value in values if value]

    class Thing:
        "Said of it."
        rate: float = .5

        def fit(self, x: int) -> str:
            try:
                with open(x) as f, open(x) as g:
                    return f"{x!r:>{SCALE}} {x=} {x:%Y-%m} {{}} {x:}" f"b" "c" rf"\\d{x}" + "a" "b"
            except* ValueError as error:
                raise RuntimeError from error
            finally:
                pass

    async def everything(a, /, b, *args, c=1j, d=-1e300, **kw):
        async for x in a:
            yield await x
        match a:
            case {"k": [1, *rest], **others} if rest: return
            case Thing(rate=3) | None: pass
            case _: pass

    @functools.lru_cache(maxsize=None)
    def experiment(context, config):
        global SCALE
        x: int = 0
        y = lambda a, *b: (a, b, ..., b"bytes", 'é"', 0xFFFFFFFFFFFFFFFFFFFF, 1_0.5, None, True)
        z = {**{}, "a": 1}; w = {1, 2}; v = x if y else z
        del v
        while (n := x) < 3: x += 1; continue
        else: x @= 3
        assert x, "no"
        return helper([x]), Thing, everything, x[1:2, ..., ::3], not x, x is not y, 1 < x <= 3, (yield), w
    """

GOLDEN = {
    "single.SCALE": "95a35d75f12a85596ac394f78005e1fa",
    "single.Thing": "83020ba1fe79319edff97ca0bc2cd322",
    "single.everything": "6e5584c2a67d3c06b9b8f4dfcc72e065",
    "single.experiment": "e8a2ebfdafe8f6d0cd6c88f7aabf4b66",
    "single.helper": "e5764dd3ead06b53b049eeeb8998ded4",
}

SHOW = """
import json, sys, types
package = types.ModuleType("memento")
package.__path__ = [sys.argv[1] + "/memento"]
sys.modules["memento"] = package  # this interpreter has none of the packages that the whole of memento imports
sys.path.insert(0, sys.argv[2])
import single
from memento.fingerprint.identity import identify
known = identify(single.experiment)
print(json.dumps([known.name, known.code, known.notes]))
"""


def run(python: str, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [python, "-W", "ignore", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("python", "seed"), [(python, str(seed)) for seed, python in enumerate(pythons())])
def test_code_has_the_same_digests_on_every_python_for_ever(python: str, seed: str, tmp_path: Path) -> None:
    (tmp_path / "single.py").write_text(textwrap.dedent(SYNTAX))
    shown = run(python, "-c", SHOW, str(ROOT), str(tmp_path), PYTHONHASHSEED=seed)
    assert json.loads(shown) == ["single:experiment", GOLDEN, []]


# --- who an experiment is ----------------------------------------------------------------------------------------


def module_function(context: object, config: object) -> None: ...


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def repeated(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return [function(*args) for _ in range(times)]

    return wrapper


@decorated
def decorated_function(context: object, config: object) -> None: ...


class Trainer:
    def __init__(self, rate: object = 0.1) -> None:
        self.rate = rate

    def train(self, context: object, config: object) -> object:
        return self.evaluate()

    def evaluate(self) -> object:
        return self.rate

    @classmethod
    def of_class(cls, context: object, config: object) -> None: ...

    @staticmethod
    def static(context: object, config: object) -> None: ...

    def __call__(self, context: object, config: object) -> None: ...

    @decorated
    def decorated_method(self) -> object:
        return self.rate


def adder(amount: object) -> Callable[..., Any]:
    def add(context: object, config: object) -> object:
        return amount

    return add


def name_of(func: Callable[..., Any]) -> str:
    return identify(func).name


HERE = __name__


@pytest.mark.parametrize(
    ("func", "name"),
    [
        (module_function, f"{HERE}:module_function"),
        (decorated_function, f"{HERE}:decorated_function"),
        (functools.lru_cache(module_function), f"{HERE}:module_function"),
        (Trainer, f"{HERE}:Trainer"),
        (Trainer.of_class, f"{HERE}:Trainer.of_class"),
        (Trainer.static, f"{HERE}:Trainer.static"),
        (Trainer.train, f"{HERE}:Trainer.train"),
        (len, "builtins:len"),
        (dict.fromkeys, "builtins:dict.fromkeys"),
        (OrderedDict.fromkeys, "collections:OrderedDict.fromkeys"),
        (json.dumps, "json:dumps"),
    ],
)
def test_what_is_found_by_its_name_is_known_by_it(func: Callable[..., Any], name: str) -> None:
    assert name_of(func) == name


def test_the_version_is_part_of_the_name() -> None:
    assert identify(module_function, version="2").name == f"{HERE}:module_function@2"


def test_two_lambdas_on_one_line_are_two_experiments() -> None:
    first, second = (lambda context, config: 1), (lambda context, config: 2)
    again = lambda context, config: 1  # noqa: E731
    assert name_of(first) != name_of(second)
    assert name_of(first) == name_of(again)
    assert name_of(first).startswith(f"{HERE}:test_two_lambdas_on_one_line_are_two_experiments.<locals>.<lambda>#")


@pytest.mark.parametrize(
    "make",
    [
        adder,
        Trainer,
        lambda value: Trainer(value).train,
        lambda value: functools.partial(module_function, value),
        lambda value: functools.partial(module_function, rate=value),
        lambda value: repeated(module_function, value),
        lambda value: repeated(repeated(module_function, 2), value),
        lambda value: repeated(Trainer(value).decorated_method, 2),
        lambda value: [1, value].count,
        lambda value: {"x": value}.get,
        lambda value: random.Random(value).gauss,
        lambda value: random.Random(value).random,
        lambda value: re.compile(str(value)).findall,
        lambda value: np.array([value]).dot,
        lambda value: [np.add, np.add, np.multiply][value].reduce,
        lambda value: value.__add__,
    ],
    ids=[
        "closure",
        "callable object",
        "bound method",
        "partial",
        "keyword partial",
        "wrapper",
        "wrapped wrapper",
        "wrapper of a decorated method",
        "method of a list",
        "method of a dict",
        "method of a generator",
        "built-in method of a generator",
        "method of a regular expression",
        "method of an array",
        "method of a ufunc",
        "method wrapper",
    ],
)
def test_what_a_callable_carries_is_part_of_its_name(make: Callable[[object], Callable[..., Any]]) -> None:
    assert name_of(make(1)) == name_of(make(1))
    assert name_of(make(1)) != name_of(make(2))


def test_what_cannot_be_keyed_is_noted() -> None:
    known = identify(adder(threading.Lock()))
    assert known.name == f"{HERE}:adder.<locals>.add"
    assert known.notes == (
        "the function adder.<locals>.add carries amount, of type lock, which cannot be keyed: a change to it will not "
        "be noticed; pass it through the matrix, or give Memento another version= when it changes",
    )


def test_what_a_built_in_method_is_bound_to_is_noted_where_it_cannot_be_keyed() -> None:
    known = identify(threading.Lock().acquire)
    assert known.name == "_thread:lock.acquire"
    assert known.notes == (
        "the method acquire carries self, of type lock, which cannot be keyed: a change to it will not be noticed; "
        "pass it through the matrix, or give Memento another version= when it changes",
    )


def test_a_variable_that_is_not_set_yet_does_no_harm() -> None:
    def experiment(context: object, config: object) -> object:
        return later

    if len(HERE) == 0:
        later = 1
    assert name_of(experiment).endswith("<locals>.experiment")


@pytest.mark.parametrize("extra", ["", "# a comment\n\n"])
def test_a_script_is_known_by_its_own_name(extra: str, tmp_path: Path) -> None:
    script = tmp_path / "sweep.py"
    script.write_text(
        f"{extra}from memento.fingerprint.identity import identify\nRATE = 3\n"
        "def helper(): return RATE\ndef experiment(context, config): return helper()\n"
        "known = identify(experiment)\nprint(known.name, sorted(known.code), known.notes)\n"
    )
    said = "sweep:experiment ['sweep.RATE', 'sweep.experiment', 'sweep.helper'] ()\n"
    assert run(sys.executable, str(script)) == said
    assert run(sys.executable, "-c", "import sweep", PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}") == said


# --- what is watched ---------------------------------------------------------------------------------------------


def test_other_methods_of_a_bound_methods_class_are_watched(tmp_path: Path) -> None:
    source = """
        class T:
            def run(self, context, config): return self.help()
            def help(self): return {}
        experiment = T().run
        """
    first, second = single(tmp_path / "1", source.format(1)), single(tmp_path / "2", source.format(2))
    assert second.changed_since(first.code) == ("single.T",)


def test_functions_among_what_is_captured_are_watched(tmp_path: Path) -> None:
    source = """
        def helper(): return {}
        def make(steps):
            def experiment(context, config):
                return [step() for step in steps]
            return experiment
        experiment = make([helper])
        """
    first, second = single(tmp_path / "1", source.format(1)), single(tmp_path / "2", source.format(2))
    assert "single.helper" in second.changed_since(first.code)


def test_a_wrapper_made_by_a_call_is_watched(tmp_path: Path) -> None:
    source = """
        import functools
        def wrap(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args), {}
            return wrapper
        def plain(context, config): return 1
        experiment = wrap(plain)
        """
    first, second = single(tmp_path / "1", source.format(1)), single(tmp_path / "2", source.format(2))
    assert second.changed_since(first.code)


def test_one_of_several_lambdas_of_a_name_is_watched(tmp_path: Path) -> None:
    source = "first = lambda: 1\nsecond = lambda: {}\ndef experiment(context, config): return first() + second()\n"
    first, second = single(tmp_path / "1", source.format(1)), single(tmp_path / "2", source.format(2))
    assert "single.<lambda>" in second.changed_since(first.code)


def test_a_local_variable_is_not_taken_for_a_function_of_its_name(tmp_path: Path) -> None:
    source = "def total(): return {}\ndef experiment(context, config):\n    total = 1\n    return total\n"
    assert single(tmp_path, source.format(1)).code.keys() == {"single.experiment"}


def test_star_imports_and_chains_of_imports_are_followed(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study/__init__.py").write_text("from study.values import *\nfrom study.values import B as C\n")
    (tmp_path / "study/values.py").write_text("A = 1\nB = 2\n")
    known = single(tmp_path, "from study import *\nfrom study import C\ndef experiment(c, d): return A, C\n")
    assert sorted(known.code) == ["single.experiment", "study.values.A", "study.values.B"]


def test_cycles_end(tmp_path: Path) -> None:
    (tmp_path / "cyclic.py").write_text("import single\ndef pong(n): return single.experiment(n, 0)\n")
    known = single(tmp_path, "import cyclic\ndef experiment(n, m): return cyclic.pong(n) and experiment(n, m)\n")
    assert sorted(known.code) == ["cyclic.pong", "single.experiment"]


def test_installed_packages_and_memento_itself_are_not_watched(tmp_path: Path) -> None:
    source = """
        import json, os.path
        import attrs, numpy, pytest
        import memento.errors
        from memento.files import Path
        from memento.task import Failure
        def experiment(context, config):
            return json.dumps(os.path.join("a")), attrs.define, numpy.mean, pytest.fail, memento.errors, Path, Failure
        """
    assert single(tmp_path, source).code.keys() == {"single.experiment"}


def new_main(patch: pytest.MonkeyPatch) -> types.ModuleType:
    """Put the main module of a notebook, which has no file, in the place of this process's."""
    main = types.ModuleType("__main__")
    patch.setitem(sys.modules, "__main__", main)
    patch.delitem(sys.modules, "__mp_main__", raising=False)  # joblib may have made it
    return main


def test_source_that_is_missing_is_noted_and_the_compiled_code_is_watched() -> None:
    def made(source: str) -> Callable[..., Any]:
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(source, namespace)
        function: Callable[..., Any] = namespace["experiment"]
        return function

    with pytest.MonkeyPatch.context() as patch:
        new_main(patch)
        first, again, second = (
            identify(made(f"def experiment(context, config):\n    {body}"))
            for body in ("return context + 1", "'said'; return context + 1", "return context - 1")
        )
    assert first.notes == ("the source of notebook.experiment was not found: not every change to it will be noticed",)
    assert second.changed_since(first.code) == ("notebook.experiment",)
    assert again.code.keys() == first.code.keys()


def cell(number: int, source: str, namespace: dict[str, Any]) -> None:
    """Run a cell as a notebook does: compiled under a file name that only linecache knows."""
    source = textwrap.dedent(source)
    file = f"<cell {number} {hash(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), namespace)


def notebook(*cells: str) -> Experiment:
    with pytest.MonkeyPatch.context() as patch:
        main = new_main(patch)
        for number, source in enumerate(cells):
            cell(number, source, vars(main))
        return identify(vars(main)["experiment"])


EXPERIMENT_CELL = "def experiment(context, config):\n    return helper(RATE), Net().fit()"
CELLS = ("RATE = 0.1", "def helper(x):\n    return x + 1", "class Net:\n    def fit(self): return 1", EXPERIMENT_CELL)


def test_a_notebooks_cells_are_watched() -> None:
    known = notebook(*CELLS)
    assert known.name == "notebook:experiment"
    assert sorted(known.code) == ["notebook.Net", "notebook.RATE", "notebook.experiment", "notebook.helper"]
    assert known.notes == ()


@pytest.mark.parametrize(
    ("place", "before", "after", "changed"),
    [
        (0, "0.1", "0.2", ("notebook.RATE",)),
        (1, "x + 1", "x + 2", ("notebook.helper",)),
        (2, "return 1", "return 2", ("notebook.Net",)),
        (3, "fit()", "fit() + 1", ("notebook.experiment",)),
        (1, "    return", "    # why\n    return", ()),
    ],
)
def test_edits_to_cells_are_noticed(place: int, before: str, after: str, changed: tuple[str, ...]) -> None:
    cells = list(CELLS)
    cells[place] = cells[place].replace(before, after)
    assert notebook(*cells).changed_since(notebook(*CELLS).code) == changed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("class Held:\n    rate = 1", "class Held:\n    rate = 2"),
        ("class Base:\n    rate = 1\nclass Held(Base): pass", "class Base:\n    rate = 2\nclass Held(Base): pass"),
        ("class Held: pass\nHeld.rate = 1", "class Held: pass\nHeld.rate = 2"),
        (
            "from enum import Enum\nclass Held(Enum):\n    RATE = 1",
            "from enum import Enum\nclass Held(Enum):\n    RATE = 2",
        ),
        (
            "from dataclasses import dataclass\n@dataclass\nclass Held:\n    rate: int = 1",
            "from dataclasses import dataclass\n@dataclass\nclass Held:\n    rate: int = 2",
        ),
        (
            "from dataclasses import dataclass\n@dataclass(slots=True, frozen=True)\nclass Held:\n    rate: int = 1",
            "from dataclasses import dataclass\n@dataclass(slots=True, frozen=True)\nclass Held:\n    rate: int = 2",
        ),
        (
            "import dataclasses as d\n@d.dataclass\nclass Held:\n    a: list = d.field(default_factory=list)",
            "import dataclasses as d\n@d.dataclass\nclass Held:\n    a: list = d.field(default_factory=set)",
        ),
        (
            "from collections import namedtuple\nHeld = namedtuple('Held', 'rate', defaults=[1])",
            "from collections import namedtuple\nHeld = namedtuple('Held', 'rate', defaults=[2])",
        ),
        (
            "class Base:\n    def __init_subclass__(cls, k=0): cls.k = k\nclass Held(Base, k=1): pass",
            "class Base:\n    def __init_subclass__(cls, k=0): cls.k = k\nclass Held(Base, k=2): pass",
        ),
    ],
)
def test_what_a_class_of_a_cell_holds_counts_also_where_it_has_no_methods(before: str, after: str) -> None:
    first, second = (notebook(held, "def experiment(): return Held") for held in (before, after))
    assert first.notes == second.notes == ()
    assert {name.removesuffix("Base") for name in second.changed_since(first.code)} & {"notebook.Held", "notebook."}


def test_what_cannot_be_told_of_a_class_of_a_cell_is_noted() -> None:
    known = notebook("class Held:\n    lock = object()", "def experiment(): return Held")
    assert known.notes == ("the source of notebook.Held.lock was not found: not every change to it will be noticed",)


# --- code that comes in through the matrix -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["helper", "Net", "Net()", "[helper]", "(1, {'a': helper})", "functools.partial(helper, 1)", "partial(int, Net())",
     "Net().fit", "Holder(helper)", "Colour.RED", "{helper}"],
)  # fmt: skip
def test_the_code_of_values_is_watched(value: str, tmp_path: Path) -> None:
    source = f"""
        import enum, functools
        from functools import partial
        def used(): return NUMBER
        def helper(): return used()
        class Net:
            def fit(self): return NUMBER
        class Colour(enum.Enum):
            RED = NUMBER
        class Holder:
            def __init__(self, what): self.what = what
        value = {value}
        """
    found = []
    for number in ("1", "2"):
        folder = tmp_path / number
        folder.mkdir()
        (folder / "other.py").write_text(textwrap.dedent(source).replace("NUMBER", number))
        with importable(folder):
            found.append(look_at_values([1, "text", importlib.import_module("other").value])[0])
    assert found[0].keys() == found[1].keys()
    assert found[0] != found[1]


def test_values_without_code_of_the_project_have_none() -> None:
    numpy = importlib.import_module("numpy")
    assert look_at_values([1, "a", None, [2.0], len, json.dumps, dict, numpy.arange(3), numpy.mean])[0] == {}


@pytest.mark.parametrize(("arguments", "name"), [(["study"], "study"), (["study.txt"], "study"), (["-"], "notebook")])
def test_a_script_is_watched_whatever_it_is_called_and_also_from_a_pipe(
    arguments: list[str], name: str, tmp_path: Path
) -> None:
    known = set()
    for factor in (2, 3):
        source = f"""
from memento.fingerprint.identity import identify
def experiment(context, config):
    return {factor}
print(identify(experiment).code)
"""
        (tmp_path / arguments[0]).write_text(source)
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, input=source, capture_output=True, text=True, check=True
        )
        known.add(done.stdout)
        assert done.stdout.startswith(f"{{'{name}.experiment': ")
    assert len(known) == 2
