"""Code that is reached without being named: by text, by a module handed on, by what fills a table at import."""

from __future__ import annotations

import ast
import importlib
import textwrap
from pathlib import Path

import pytest

from memento.experiment import Experiment
from memento.fingerprint.identity import identify
from memento.fingerprint.uses import uses_in
from tests.test_fingerprint import importable

# What stands in single.py, and in other.py; an edit to either, what it makes of it, and what is named then.
REACHED: dict[str, tuple[str, str, tuple[str, str], str]] = {
    "an attribute asked for by text": (
        "import other\ndef experiment(): return getattr(other, 'train')()", "def train(): return 1",
        ("return 1", "return 2"), "other.train",
    ),
    "an attribute whose name is made": (
        "import other\ndef experiment(kind): return getattr(other, f'train_{kind}')()", "def train_a(): return 1",
        ("return 1", "return 2"), "other.train_a",
    ),
    "a constant whose name is made": (
        "import other\ndef experiment(kind): return getattr(other, kind)", "RATE = 1", ("= 1", "= 2"), "other.RATE",
    ),
    "a module handed on": (
        "import other\ndef use(module): return module.train()\ndef experiment(): return use(other)",
        "def train(): return 1", ("return 1", "return 2"), "other.train",
    ),
    "a module under another name": (
        "import other\ndef experiment():\n    m = other\n    return m.train()", "def train(): return 1",
        ("return 1", "return 2"), "other.train",
    ),
    "a module in a table": (
        "import other\nKNOWN = {'a': other}\ndef experiment(): return KNOWN['a'].train()", "def train(): return 1",
        ("return 1", "return 2"), "other.train",
    ),
    "a module imported in the function and handed on": (
        "def experiment(kind):\n    import other\n    return getattr(other, kind)()", "def train(): return 1",
        ("return 1", "return 2"), "other.train",
    ),
    "a module's dictionary": (
        "import other\ndef experiment(): return vars(other)['train']()", "def train(): return 1",
        ("return 1", "return 2"), "other.train",
    ),
    "a module's dictionary, by its attribute": (
        "import other\ndef experiment(): return other.__dict__['train']()", "def train(): return 1",
        ("return 1", "return 2"), "other.train",
    ),
    "what a handed-on module calls": (
        "import other\ndef experiment(kind): return getattr(other, kind)()",
        "def train(): return _step()\ndef _step(): return 1", ("return 1", "return 2"), "other._step",
    ),
    "a module that makes its attributes": (
        "import other\ndef experiment(): return other.train()", "def __getattr__(name): return lambda: 1",
        ("lambda: 1", "lambda: 2"), "other.__getattr__",
    ),
    "an import by name": (
        "import importlib\ndef experiment(): return importlib.import_module('other').train()", "def train(): return 1",
        ("return 1", "return 2"), "other.train",
    ),
    "an import by name, under a name of its own": (
        "from importlib import import_module\ndef experiment(): return import_module(name='other').train()",
        "def train(): return 1", ("return 1", "return 2"), "other.train",
    ),
    "a function found by globals": (
        "def train_a(): return 1\ndef experiment(kind): return globals()[f'train_{kind}']()", "",
        ("return 1", "return 2"), "single.train_a",
    ),
    "a function found by sys.modules": (
        "import sys\ndef train(): return 1\ndef experiment(): return getattr(sys.modules[__name__], 'train')()", "",
        ("return 1", "return 2"), "single.train",
    ),
    "a function found by eval": (
        "def train(): return 1\ndef experiment(): return eval('train()')", "", ("return 1", "return 2"), "single.train",
    ),
    "a module found by sys.modules": (
        "import sys\nimport other\ndef experiment(): return sys.modules['other'].train()", "def train(): return 1",
        ("return 1", "return 2"), "other.train",
    ),
    "a module asked for by sys.modules": (
        "import sys\nimport other\ndef experiment(): return sys.modules.get('other').train()", "def train(): return 1",
        ("return 1", "return 2"), "other.train",
    ),
    "a function chosen by the type of its argument": (
        "import functools\n@functools.singledispatch\ndef fit(x): return 0\n@fit.register\ndef _(x: int): return 1\n"
        "def experiment(): return fit(3)", "", ("return 1", "return 2"), "single._",
    ),
    "a subclass that nobody names": (
        "class Model: pass\nclass Deep(Model):\n    size = 1\n"
        "def experiment(): return [kind.size for kind in Model.__subclasses__()]", "", ("size = 1", "size = 2"),
        "single.Deep",
    ),
    "a subclass that its base looks for": (
        "class Model:\n    @classmethod\n    def make(cls): return cls.__subclasses__()[0]()\n"
        "class Deep(Model):\n    size = 1\ndef experiment(): return Model.make().size", "", ("size = 1", "size = 2"),
        "single.Deep",
    ),
    "a list given to a call": (
        "import random\nORDER = [1, 2, 3]\nrandom.Random(1).shuffle(ORDER)\ndef experiment(): return ORDER", "",
        ("Random(1)", "Random(2)"), "single.ORDER",
    ),
    "what a call does to a list": (
        "ORDER = []\ndef fill(some): some.append(1)\nfill(ORDER)\ndef experiment(): return ORDER", "",
        ("append(1)", "append(2)"), "single.fill",
    ),
    "an item taken out of a list": (
        "ORDER = [1, 2, 3]\nFIRST = ORDER.pop(0)\ndef experiment(): return ORDER", "", ("pop(0)", "pop(1)"),
        "single.ORDER",
    ),
    "an attribute set by setattr": (
        "class Model: pass\nsetattr(Model, 'size', 1)\ndef experiment(): return Model.size", "", ("1", "2"),
        "single.Model",
    ),
    "a number set by a function": (
        "RATE = 0\ndef begin(rate):\n    global RATE\n    RATE = rate\nbegin(1)\ndef experiment(): return RATE", "",
        ("begin(1)", "begin(2)"), "single.RATE",
    ),
    "the function that sets a number": (
        "RATE = 0\ndef begin():\n    global RATE\n    RATE = 1\nbegin()\ndef experiment(): return RATE", "",
        ("    RATE = 1", "    RATE = 2"), "single.RATE",
    ),
    "a function made by exec": (
        "made = {}\nexec('def train(): return 1', made)\ntrain = made['train']\ndef experiment(): return train()", "",
        ("return 1", "return 2"), "single.made",
    ),
    "what is imported from a library": (
        "from numpy import mean as agg\ndef experiment(): return agg", "", ("mean as", "max as"), "single.agg",
    ),
    "which library something is imported from": (
        "from statistics import mean\ndef experiment(): return mean", "", ("statistics", "numpy"), "single.mean",
    ),
    "which library stands behind a name": (
        "import math as m\ndef experiment(): return m.pi", "", ("math", "cmath"), "single.m",
    ),
    "a class in a table of its base": (
        "import other\nfrom other import Base\ndef experiment(kind): return Base.known[kind]().run()",
        "class Base:\n    known = {}\n    def __init_subclass__(cls): Base.known[cls.__name__] = cls\n"
        "class A(Base):\n    def run(self): return 1", ("return 1", "return 2"), "other.A",
    ),
    "a function in a table of a class": (
        "from other import Table\ndef experiment(kind): return Table.make(kind)()",
        "class Table:\n    known = {}\n    @classmethod\n    def add(cls, one):\n"
        "        cls.known[one.__name__] = one\n        return one\n"
        "    @classmethod\n    def make(cls, kind): return cls.known[kind]\n"
        "@Table.add\ndef train(): return 1", ("return 1", "return 2"), "other.train",
    ),
    "a base class of a library": (
        "from collections import UserDict as Base\nclass Model(Base): pass\ndef experiment(): return Model", "",
        ("UserDict as", "UserList as"), "single.Base",
    ),
}  # fmt: skip

# The same, for edits that reach nothing.
OUT_OF_REACH: dict[str, tuple[str, str, tuple[str, str]]] = {
    "another function of a module of which one is asked for by text": (
        "import other\ndef experiment(): return getattr(other, 'train')()",
        "def train(): return 1\ndef unused(): return 5", ("return 5", "return 6"),
    ),
    "what an annotation names": (
        "import other\ndef experiment(x: other.KIND = 1) -> other.KIND: return x", "KIND = int", ("int", "float"),
    ),
    "the annotation of a variable": (
        "import other\ndef experiment():\n    x: other.KIND = 1\n    return x", "KIND = int", ("int", "float"),
    ),
    "a print of a list": (
        "ORDER = [1]\nprint(ORDER, 'first')\ndef experiment(): return ORDER", "", ("first", "second"),
    ),
    "what the script does when it is run": (
        "ORDER = [1]\ndef main(some, how): pass\nif __name__ == '__main__':\n    main(ORDER, 1)\n"
        "def experiment(): return ORDER", "", ("main(ORDER, 1)", "main(ORDER, 2)"),
    ),
    "a number given to a call": (
        "RATE = 1\ndef check(rate, most): pass\ncheck(RATE, 2)\ndef experiment(): return RATE", "", ("2)", "3)"),
    ),
    "a function that would set a number and is never called": (
        "RATE = 0\ndef begin():\n    global RATE\n    RATE = 1\ndef experiment(): return RATE", "",
        ("    RATE = 1", "    RATE = 2"),
    ),
    "the import of something else": (
        "from math import pi, cos\ndef experiment(): return pi", "", ("pi, cos", "pi, sin"),
    ),
    "what else a script does with a library": (
        "import logging\nlogging.getLogger('x').setLevel(10)\nlogging.captureWarnings(False)\n"
        "def experiment(): return logging.INFO", "", ("captureWarnings(False)", "captureWarnings(bool())"),
    ),
    "what else a loop does": (
        "for RATE in (1, 2):\n    print(RATE, 'first')\ndef experiment(): return RATE", "", ("first", "second"),
    ),
    "a value, where functions are found by globals": (
        "JOBS = 1\ndef train(): return 1\ndef experiment(kind): return globals()[kind]()", "", ("JOBS = 1", "JOBS = 2"),
    ),
}  # fmt: skip


def known(folder: Path, source: str, other: str) -> Experiment:
    folder.mkdir()
    (folder / "single.py").write_text(source)
    (folder / "other.py").write_text(other)
    with importable(folder):
        return identify(importlib.import_module("single").experiment)


def edited(source: str, other: str, edit: tuple[str, str]) -> tuple[str, str]:
    before, after = edit
    assert (source + other).count(before) == 1
    return source.replace(before, after), other.replace(before, after)


@pytest.mark.parametrize("kind", REACHED)
def test_what_is_reached_without_being_named_is_watched(kind: str, tmp_path: Path) -> None:
    source, other, edit, name = REACHED[kind]
    before = known(tmp_path / "before", source, other)
    after = known(tmp_path / "after", *edited(source, other, edit))
    assert name in after.changed_since(before.code)
    assert before.notes == ()


@pytest.mark.parametrize("kind", OUT_OF_REACH)
def test_what_is_not_reached_is_not_watched(kind: str, tmp_path: Path) -> None:
    source, other, edit = OUT_OF_REACH[kind]
    before = known(tmp_path / "before", source, other)
    after = known(tmp_path / "after", *edited(source, other, edit))
    assert after.changed_since(before.code) == ()


PLUGINS = """
    import importlib

    def experiment(kind):
        return importlib.import_module({name}).train()
    """
MADE = {
    "an f-string": "f'study.models.{kind}'",
    "a sum": "'study.models.' + kind",
    "format": "'study.models.{}'.format(kind)",
    "a percent sign": "'study.models.%s' % kind",
}


def with_models(folder: Path, name: str, returned: int) -> Experiment:
    package = folder / "study"
    (package / "models" / "deep").mkdir(parents=True)
    for init in (package, package / "models", package / "models" / "deep"):
        (init / "__init__.py").touch()
    (package / "models" / "small.py").write_text("raise RuntimeError('imported, though nobody asked for it')")
    (package / "models" / "deep" / "large.py").write_text(f"def train():\n    return {returned}\n")
    (package / "run.py").write_text(textwrap.dedent(PLUGINS).format(name=name))
    with importable(folder):
        return identify(importlib.import_module("study.run").experiment)


@pytest.mark.parametrize("way", MADE)
def test_every_module_that_an_import_by_a_made_name_can_mean_is_watched_and_none_imported(
    way: str, tmp_path: Path
) -> None:
    before, after = (with_models(tmp_path / str(number), MADE[way], number) for number in (1, 2))
    assert after.changed_since(before.code) == ("study.models.deep.large",)
    assert before.notes == ()


def test_a_relative_import_by_a_made_name_is_watched(tmp_path: Path) -> None:
    name = "f'.models.{kind}', __package__"
    before, after = (with_models(tmp_path / str(number), name, number) for number in (1, 2))
    assert after.changed_since(before.code) == ("study.models.deep.large",)


def test_an_import_of_which_nothing_is_known_is_noted(tmp_path: Path) -> None:
    found = known(tmp_path / "x", "import importlib\ndef experiment(kind): return importlib.import_module(kind)", "")
    assert found.notes == (
        "single.experiment imports modules whose names are made while it runs: no change to them will be noticed; give "
        "Memento another version= when you have changed one",
    )


def test_what_a_function_keeps_for_itself_is_no_code(tmp_path: Path) -> None:
    """A cache is filled while it runs: the same code would be another after the first run."""
    source = "class Thing: pass\ndef experiment(): return experiment.cache\nexperiment.cache = {}\n"
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "single.py").write_text(source)
    with importable(folder):
        single = importlib.import_module("single")
        before = identify(single.experiment)
        single.experiment.cache["a"] = single.Thing()
        assert identify(single.experiment) == before


# Values that a name is given while the program runs

LIVE: dict[str, tuple[str, str, str]] = {
    "a number": ("RATE = 1\ndef experiment(): return RATE", "RATE = 2", "RATE"),
    "a number of a loop": ("for RATE in (1, 2):\n    pass\ndef experiment(): return RATE", "RATE = 1", "RATE"),
    "a number of numpy": (
        "import numpy\nfor RATE in numpy.arange(2.0):\n    pass\ndef experiment(): return RATE", "RATE -= 1", "RATE",
    ),
    "a number that only a function sets": (
        "def main(rate):\n    global RATE\n    RATE = rate\nmain(1)\ndef experiment(): return RATE", "main(2)", "RATE",
    ),
    "an item of a dict": ("OPTIONS = {'a': 1}\ndef experiment(): return OPTIONS", "OPTIONS['a'] = 2", "OPTIONS"),
    "an item of a list": ("STEPS = [1]\ndef experiment(): return STEPS", "STEPS.append(2)", "STEPS"),
    "an item of a dict that has the name of a parameter": (
        "config = {'a': 1}\ndef step(): return config\n"
        "def experiment(config):\n    config['b'] = 1\n    return step()", "config['a'] = 2", "config",
    ),
    "an attribute of a class": (
        "class Model:\n    rate = 1\ndef experiment(): return Model.rate", "Model.rate = 2", "Model",
    ),
    "an attribute of an object": (
        "class Held: lr = 1\nHELD = Held()\ndef experiment(): return HELD.lr", "HELD.lr = 2", "HELD.lr",
    ),
    "an attribute of an object, by setattr": (
        "import types\nHELD = types.SimpleNamespace(lr=1)\ndef experiment(): return HELD.lr",
        "setattr(HELD, 'lr', 2)", "HELD.lr",
    ),
    "an attribute of an object, by a method that the experiment does not call": (
        "class Held:\n    def __init__(self): self.lr = 1\n    def change(self, lr): self.lr = lr\n"
        "HELD = Held()\ndef experiment(): return HELD.lr", "HELD.change(2)", "HELD.lr",
    ),
    "a new attribute of a class": (
        "class Model: pass\ndef experiment(): return Model.rate", "Model.rate = 2", "Model",
    ),
}  # fmt: skip

OF_ITS_OWN: dict[str, tuple[str, str]] = {
    "a cache": ("CACHE = {}\ndef experiment(): CACHE['a'] = 1", "experiment()"),
    "a cache of a helper": ("CACHE = {}\ndef known(k): return CACHE.setdefault(k, 1)\n"
                            "def experiment(): return known('a')", "experiment()"),
    "a list that it appends to": ("SEEN = []\ndef experiment(): SEEN.append(1)", "experiment()"),
    "a counter": ("COUNT = 0\ndef experiment():\n    global COUNT\n    COUNT += 1", "experiment()"),
    "a counter of a class": (
        "class Model:\n    count = 0\n    def __init__(self): Model.count += 1\ndef experiment(): return Model()",
        "experiment()",
    ),
    "what is loaded when it is asked for first": (
        "MODEL = None\ndef load():\n    global MODEL\n    MODEL = MODEL or 3\n    return MODEL\n"
        "def experiment(): return load()", "experiment()",
    ),
    "the time": ("import time\nBEGUN = time.time()\ndef experiment(): return BEGUN", "BEGUN = time.time() + 1"),
    "the time of a function": (
        "import time\ndef main():\n    global BEGUN\n    BEGUN = time.time()\nmain()\n"
        "def experiment(): return BEGUN", "main()",
    ),
    "what a loop that sets something does besides": (
        "import types\nHELD = types.SimpleNamespace(lr=1)\ntotal = 0\nfor i in range(2):\n    HELD.lr = 1\n"
        "    total += i\ndef experiment(): return HELD.lr", "total = 100",
    ),
    "what is computed when it is asked for first": (
        "import functools\nclass Held:\n    def __init__(self): self.lr = 1\n"
        "    @functools.cached_property\n    def double(self): return 2 * self.lr\n"
        "HELD = Held()\ndef experiment(): return HELD.double", "HELD.double",
    ),
    "a global that nobody uses": ("RATE = 1\ndef experiment(): return 1", "RATE = 2"),
}  # fmt: skip


# What an experiment does in which `k` is a name of its own; the module's `k` is another.
LOCAL = {
    "the target of a comprehension": "[k for k in (1, 2)]",
    "the target of a generator": "sum(1 for k in (1, 2))",
    "a target of two": "[d for k, d in ((1, 2),)]",
    "the target of an inner loop": "{d: k for d in (1, 2) for k in (1,)}",
    "what a comprehension binds": "[k for d in (1, 2) if (k := d)]",
    "the parameter of a lambda": "(lambda k: k + 1)(1)",
    "a keyword of a lambda": "(lambda *d, k=1, **e: k)(1)",
    "the parameter of a function in it": "inner(1)\ndef inner(k):\n    return (lambda: k)()",
    "a name of a function in it": "inner()\ndef inner():\n    for k in (1,):\n        d = [k]\n    return d",
    "a name of a method": "Held().fit(1)\nclass Held:\n    def fit(self, x):\n        k = x\n        return k",
    "an error in a function in it": (
        "inner()\ndef inner():\n    try:\n        1 / 0\n    except ZeroDivisionError as k:\n        return str(k)"
    ),
    "a match in a function in it": (
        "inner()\ndef inner():\n    match [1]:\n        case [*k]:\n            return k\n"
        "        case {'a': 1, **k}:\n            return k\n        case k:\n            return k"
    ),
    "an attribute of a class that is set in its body": "Held.k\nclass Held:\n    k = 1",
}
# And one in which the module's `k` is read.
OF_THE_MODULE = {
    "what a comprehension goes through": "[k for k in range(k)]",
    "what a comprehension compares with": "[d for d in (1, 2) if d > k]",
    "the default of a lambda": "(lambda k=k: k)()",
    "the default of a function in it": "inner()\ndef inner(k=k):\n    return k",
    "the body of a class": "Held.d\nclass Held:\n    d = k",
    "a method": "Held().fit()\nclass Held:\n    k = 1\n    def fit(self):\n        return k",
    "beside a comprehension of that name": "[k for k in (1,)] + [k]",
}


def with_inner(then: str, *, nested: bool) -> str:
    """Return a module in which an experiment does `then`, whose definitions stand in it or beside it."""
    returned, _, defined = then.partition("\n")
    inside = f"{textwrap.indent(defined, '    ')}\n" if nested else ""
    return f"k = 1\n{'' if nested else defined}\ndef experiment():\n{inside}    return {returned}\n"


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("kind", LOCAL)
def test_a_name_of_its_own_is_not_that_of_the_module(kind: str, nested: bool, tmp_path: Path) -> None:
    before, after = in_a_session(tmp_path, with_inner(LOCAL[kind], nested=nested), "k = 2")
    assert after.changed_since(before.code) == ()
    assert before.notes == ()


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("kind", OF_THE_MODULE)
def test_a_name_of_the_module_counts_wherever_it_is_read(kind: str, nested: bool, tmp_path: Path) -> None:
    before, after = in_a_session(tmp_path, with_inner(OF_THE_MODULE[kind], nested=nested), "k = 2")
    assert after.changed_since(before.code) == ("single.k",)


def test_what_a_function_declares_to_be_of_the_module_is_not_its_own() -> None:
    source = "def outer(k, d):\n    def inner():\n        global k\n        return k, d\n    return inner(), k"
    inner = ast.parse(source).body[0].body[0]
    assert uses_in([ast.parse(source)]).names == {("k",)}
    assert uses_in([inner]).names == {("k",), ("d",)}


def in_a_session(folder: Path, source: str, then: str) -> tuple[Experiment, Experiment]:
    """Return what is known of the experiment in one process, before and after it does what `then` says."""
    (folder / "single.py").write_text(source)
    with importable(folder):
        single = importlib.import_module("single")
        before = identify(single.experiment)
        exec(then, vars(single))
        return before, identify(single.experiment)


@pytest.mark.parametrize("kind", LIVE)
def test_a_value_given_while_the_program_runs_counts(kind: str, tmp_path: Path) -> None:
    source, then, name = LIVE[kind]
    before, after = in_a_session(tmp_path, source, then)
    assert after.changed_since(before.code) == (f"single.{name}",)
    assert before.changed_since(after.code) == (f"single.{name}",)


@pytest.mark.parametrize("kind", OF_ITS_OWN)
def test_what_the_code_itself_fills_and_counts_does_not(kind: str, tmp_path: Path) -> None:
    before, after = in_a_session(tmp_path, *OF_ITS_OWN[kind])
    assert after.changed_since(before.code) == ()


def test_a_default_made_in_a_loop_counts(tmp_path: Path) -> None:
    source = (
        "MADE = []\nfor k in (1, 2):\n    def experiment(x, bonus=k): return x + bonus\n    MADE.append(experiment)\n"
    )
    (tmp_path / "single.py").write_text(source)
    with importable(tmp_path):
        first, second = map(identify, importlib.import_module("single").MADE)
    assert "single.experiment" in second.changed_since(first.code)
