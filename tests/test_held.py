"""Settings that come from outside, in whatever object they are held, count as the code that uses them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from memento.experiment import Experiment
from memento.fingerprint.identity import identify
from tests.test_fingerprint import importable
from tests.test_reached import in_a_session

READ = "import json\nKNOWN = json.load(open('settings.json'))\n"
DATA = "import dataclasses\n@dataclasses.dataclass{}\nclass Held:\n    lr: float\n"

# What stands in single.py, beside settings.json, and what is named when the number in there is another.
GIVEN: dict[str, tuple[str, str]] = {
    "a dict": ("def experiment(): return KNOWN['lr']", "KNOWN"),
    "a namespace": (
        "import types\nHELD = types.SimpleNamespace(**KNOWN)\ndef experiment(): return HELD.lr", "HELD.lr",
    ),
    "a namespace handed on": (
        "import types\nHELD = types.SimpleNamespace(**KNOWN)\ndef use(held): return held.lr\n"
        "def experiment(): return use(HELD)", "HELD.lr",
    ),
    "a data class": (DATA.format("") + "HELD = Held(**KNOWN)\ndef experiment(): return HELD.lr", "HELD.lr"),
    "a frozen data class with slots": (
        DATA.format("(frozen=True, slots=True)") + "HELD = Held(**KNOWN)\ndef experiment(): return HELD.lr", "HELD.lr",
    ),
    "a data class in a data class": (
        DATA.format("") + "@dataclasses.dataclass\nclass All:\n    model: Held\nHELD = All(Held(**KNOWN))\n"
        "def experiment(): return HELD.model.lr", "HELD.model.lr",
    ),
    "a named tuple": (
        "from typing import NamedTuple\nclass Held(NamedTuple):\n    lr: float\nHELD = Held(**KNOWN)\n"
        "def experiment(): return HELD.lr", "HELD",
    ),
    "an object of a class of one's own": (
        "class Held:\n    def __init__(self, lr): self._lr = lr\n    @property\n    def lr(self): return self._lr\n"
        "HELD = Held(**KNOWN)\ndef experiment(): return HELD.lr", "HELD._lr",
    ),
    "attrs": (
        "import attrs\n@attrs.define\nclass Held:\n    lr: float\nHELD = Held(**KNOWN)\n"
        "def experiment(): return HELD.lr",
        "HELD.lr",
    ),
    "an attribute of a class": ("class Held:\n    lr = KNOWN['lr']\ndef experiment(): return Held.lr", "Held"),
    "a default": (
        "import types\ndef use(held=types.SimpleNamespace(**KNOWN)): return held.lr\ndef experiment(): return use()",
        "use",
    ),
    "a file beside the module": (
        "import pathlib\nLR = json.loads((pathlib.Path(__file__).parent / 'settings.json').read_text())['lr']\n"
        "def experiment(): return LR", "LR",
    ),
    "a file in the working directory": (
        "import os\nLR = json.load(open(os.path.join(os.getcwd(), 'settings.json')))['lr']\n"
        "def experiment(): return LR", "LR",
    ),
    "a path": ("import pathlib\nHELD = pathlib.Path(str(KNOWN['lr']))\ndef experiment(): return HELD", "HELD"),
    "a member of an enum": (
        "import enum\nclass Kind(enum.Enum): A = 7; B = 8\nHELD = Kind(KNOWN['lr'])\n"
        "def experiment(): return HELD", "HELD",
    ),
    "a small array": (
        "import numpy\nHELD = numpy.array([KNOWN['lr'], 1])\ndef experiment(): return HELD.sum()", "HELD",
    ),
    "a date, a span and a decimal": (
        "import datetime, decimal\nHELD = [datetime.date(2020, 1, KNOWN['lr']), datetime.timedelta(KNOWN['lr']),\n"
        "        decimal.Decimal(KNOWN['lr'])]\ndef experiment(): return HELD", "HELD",
    ),
    "one of two classes": (
        "class A: pass\nclass B: pass\nHELD = {7: A, 8: B}[KNOWN['lr']]\ndef experiment(): return HELD()", "HELD",
    ),
    "one of two functions, set by another": (
        "def a(): return 1\ndef b(): return 2\nHELD = None\ndef main():\n    global HELD\n"
        "    HELD = {7: a, 8: b}[KNOWN['lr']]\nmain()\ndef experiment(): return HELD()", "HELD",
    ),
    "an option that has the name of what the code sets on something else": (
        "import types\nHELD = types.SimpleNamespace(dropout=KNOWN['lr'])\nclass Model: pass\n"
        "def experiment():\n    model = Model()\n    model.dropout = HELD.dropout\n    return model.dropout",
        "HELD.dropout",
    ),
    "an option that is called time": (
        "import types\nargs = types.SimpleNamespace(time=KNOWN['lr'])\nLIMIT = args.time * 2\n"
        "def experiment(): return LIMIT", "LIMIT",
    ),
}  # fmt: skip

# What is another in each process, on each machine, or after each run, and says nothing about the code.
UNSETTLED: dict[str, tuple[str, str]] = {
    "what an object counts itself": (
        "class Meter:\n    def __init__(self): self.count = 0\n    def tick(self): self.count += 1\n"
        "METER = Meter()\ndef experiment(): METER.tick()", "experiment()",
    ),
    "what an object collects itself": (
        "class Seen:\n    def __init__(self):\n        self.all = []\n        self.by = {}\n"
        "    def note(self, x):\n        self.all.append(x)\n        self.by[x] = 1\n"
        "SEEN = Seen()\ndef experiment(): SEEN.note(1)", "experiment()",
    ),
    "what the experiment sets on an object": (
        "import types\nHELD = types.SimpleNamespace(last=0)\ndef experiment(): HELD.last = 1", "experiment()",
    ),
    "what a property of an object sets": (
        "class Held:\n    def __init__(self): self._n = 0\n    @property\n    def n(self): return self._n\n"
        "    @n.setter\n    def n(self, value): self._n = value\n"
        "HELD = Held()\ndef experiment(): HELD.n = 5", "experiment()",
    ),
    "what an object sets by a name": (
        "class Held:\n    def __init__(self): self.n = 0\n    def change(self, name): setattr(self, name, 5)\n"
        "HELD = Held()\ndef experiment(): HELD.change('n')", "experiment()",
    ),
    "what an object sets in its dictionary": (
        "class Held:\n    def __init__(self): self.n = 0\n    def change(self): self.__dict__['n'] = 5\n"
        "HELD = Held()\ndef experiment(): HELD.change()", "experiment()",
    ),
    "the time at which an object was made": (
        "import time\nclass Clock:\n    def __init__(self): self.began = time.time()\nCLOCK = Clock()\n"
        "def experiment(): return CLOCK.began", "CLOCK = Clock()",
    ),
    "a name of the run that a helper makes": (
        "from uuid import uuid4 as make\ndef named(): return make().hex\nRUN = named()\nOUT = f'out/{RUN}'\n"
        "def experiment(): return OUT, RUN", "RUN = named(); OUT = f'out/{RUN}'",
    ),
    "a default that is the time": (
        "import time\ndef use(t=time.time()): return t\ndef experiment(): return use()",
        "use.__defaults__ = (time.time() + 5,)",
    ),
    "a list that is shuffled": (
        "from random import shuffle\nORDER = list(range(9))\nshuffle(ORDER)\ndef experiment(): return ORDER",
        "ORDER.reverse()",
    ),
    "where the module lies": (
        "import os\nHERE = os.path.dirname(__file__)\nclass Paths:\n    root = os.path.join(HERE, 'data')\n"
        "def experiment(): return HERE, Paths.root", "HERE = '/elsewhere'; Paths.root = '/elsewhere/data'",
    ),
    "where the module lies, by way of other names": (
        "import os\nHERE = os.path.dirname(__file__)\nDATA = os.path.join(HERE, 'data')\n"
        "FILE = os.path.join(DATA, 'x')\ndef experiment(): return FILE", "FILE = '/elsewhere/data/x'",
    ),
    "an attribute that is not used": (
        "import types, os\nHELD = types.SimpleNamespace(lr=float('1'), workers=os.getppid() * 0)\n"
        "def experiment(): return HELD.lr", "HELD.workers = 5",
    ),
}  # fmt: skip


def known(folder: Path, source: str, number: int, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    folder.mkdir()
    (folder / "single.py").write_text(READ + source)
    (folder / "settings.json").write_text(f'{{"lr": {number}}}')
    monkeypatch.chdir(folder)
    with importable(folder):
        return identify(importlib.import_module("single").experiment)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("kind", GIVEN)
def test_a_setting_counts_in_whatever_it_is_held(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, name = GIVEN[kind]
    before = known(tmp_path / "before", source, 7, monkeypatch)
    after = known(tmp_path / "after", source, 8, monkeypatch)
    again = known(tmp_path / "again", source, 7, monkeypatch)
    assert f"single.{name}" in after.changed_since(before.code)
    assert again.code == before.code


@pytest.mark.parametrize("kind", UNSETTLED)
def test_what_is_never_the_same_or_changed_by_the_code_does_not(kind: str, tmp_path: Path) -> None:
    before, after = in_a_session(tmp_path, *UNSETTLED[kind])
    assert after.changed_since(before.code) == ()
