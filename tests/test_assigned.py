"""What a program sets on modules of the project is what its experiments run with, and what their results count as."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CONF = """
import argparse
import dataclasses
import os
from typing import NamedTuple

RATE = 1
SIZE = int(os.environ.get("SIZE", 1))
LAYERS = [8]
SEEN = []
args = argparse.Namespace(depth=1)

@dataclasses.dataclass(frozen=True)
class Held:
    lr: float = 1

class Pair(NamedTuple):
    lr: float = 1

held, pair = Held(), Pair()

class Model:
    width = 1

    def fit(self):
        return 1

def scaled(x):
    return x
"""

STUDY = """
import conf
from conf import RATE, scaled
from kept import tagged

asked = 0

def own(x):
    return x

@tagged
def decorated(x):
    return x

def experiment(context, config):
    global asked
    asked += 1
    conf.SEEN.append(config.x)
    return [
        conf.RATE, RATE, conf.SIZE, conf.LAYERS, conf.args.depth, conf.Model.width,
        scaled(1), own(1), decorated(1), conf.Model().fit(), conf.held.lr, conf.pair.lr,
    ]
"""

KEPT = """
import functools

def tagged(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)
    return call
"""

SCRIPT = """
import sys
import conf, study
from memento import Memento

def patched(x):
    return 100 * x

def seventh(self):
    return 7

def another(x):
    return 200 * x

study.asked = 50
conf.SEEN.append("before")
for change in sys.argv[2:]:
    exec(change)
(result,) = Memento(study.experiment, executor=sys.argv[1], code_change="rerun").run(
    {"parameters": {"x": [1]}}, progress=False)
print(result.inner, result.was_cached)
"""

AS_WRITTEN = [1, 1, 1, [8], 1, 1, 1, 1, 1, 1, 1, 1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in (("conf", CONF), ("study", STUDY), ("kept", KEPT), ("script", SCRIPT)):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def run(folder: Path, executor: str, *changes: str) -> tuple[str, str]:
    command = [sys.executable, "-B", "script.py", executor, *changes]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("executor", ["processes", "serial"])
@pytest.mark.parametrize(
    ("place", "change", "value"),
    [
        (0, "conf.RATE = 2", 2),
        (1, "study.RATE = 2", 2),
        (2, "conf.SIZE = 2", 2),
        (3, "conf.LAYERS = [8, 16]", [8, 16]),
        (3, "conf.LAYERS.append(16)", [8, 16]),
        (4, "conf.args.depth = 2", 2),
        (5, "conf.Model.width = 2", 2),
        (6, "study.scaled = patched", 100),
        (7, "study.own = patched", 100),
        (9, "conf.Model.fit = seventh", 7),
        (10, "conf.held = conf.Held(2)", 2),
        (10, "object.__setattr__(conf.held, 'lr', 2)", 2),
        (11, "conf.pair = conf.Pair(2)", 2),
    ],
)
def test_what_is_set_on_a_module_is_what_runs_and_each_has_its_own_result(
    project: Path, executor: str, place: int, change: str, value: object
) -> None:
    changed = [value if number == place else known for number, known in enumerate(AS_WRITTEN)]
    assert run(project, executor) == (f"{AS_WRITTEN} False", "")
    assert run(project, executor, change) == (f"{changed} False", "")
    assert run(project, executor) == (f"{AS_WRITTEN} True", "")
    assert run(project, executor, change) == (f"{changed} True", "")


def test_a_patch_of_a_patch_is_another(project: Path) -> None:
    assert run(project, "processes", "study.own = patched")[0] == f"{[*AS_WRITTEN[:7], 100, *AS_WRITTEN[8:]]} False"
    assert run(project, "processes", "study.own = another")[0] == f"{[*AS_WRITTEN[:7], 200, *AS_WRITTEN[8:]]} False"


def test_everything_at_once_reaches_workers_that_other_processes_make(project: Path) -> None:
    changes = ["conf.RATE = 2", "study.RATE = 3", "study.own = patched", "conf.Model.width = 4"]
    assert run(project, "dask", *changes)[0] == "[2, 3, 1, [8], 1, 4, 1, 100, 1, 1, 1, 1] False"


def in_worker(folder: Path, script: str, **modules: str) -> str:
    """Return the result for x = 2 of the `experiment` that a script has, which runs it beside `modules`."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "script.py").write_text(
        f"from memento import Memento\n{script}\n"
        "print(Memento(experiment).run({'parameters': {'x': [2]}}, progress=False)[0].inner)\n"
    )
    told, said = run(folder, "")
    assert said == ""
    return told


def test_a_class_that_enters_itself_in_a_table_is_in_it_in_a_worker_of_a_script(tmp_path: Path) -> None:
    table = "class Base:\n    known = {}\n    def __init_subclass__(cls): Base.known[cls.__name__] = cls\n"
    plugin = "from table import Base\nclass A(Base):\n    def run(self): return 1\n"
    script = "import plugin\nfrom table import Base\ndef experiment(x): return Base.known['A']().run()"
    assert in_worker(tmp_path, script, table=table, plugin=plugin) == "1"


def test_a_module_that_imports_a_name_after_it_was_set_has_it_in_workers_too(tmp_path: Path) -> None:
    study = "from conf import RATE\ndef experiment(x): return RATE\n"
    script = "import conf\nconf.RATE = 7\nfrom study import experiment"
    assert in_worker(tmp_path, script, conf="RATE = 1\n", study=study) == "7"


def test_a_patch_that_has_the_name_of_what_it_wraps_runs_in_workers(tmp_path: Path) -> None:
    script = (
        "import functools, study\nfrom study import experiment\nplain = study.own\n"
        "@functools.wraps(plain)\ndef patched(x): return 100 * plain(x)\nstudy.own = patched"
    )
    study = "def own(x): return x\ndef experiment(x): return own(x)\n"
    assert in_worker(tmp_path, script, study=study) == "200"


ODD = {
    "an enum of functions": (
        "import enum, functools\ndef relu(x): return max(x, 0)\n"
        "class Act(enum.Enum):\n    RELU = functools.partial(relu)\n    def __call__(self, x): return self.value(x)\n"
        "def experiment(x): return Act.RELU(x)\n"
    ),
    "a class that the module patches with a wrapper over a lock": (
        "import threading\nclass Model:\n    def fit(self, x): return x\n"
        "def guarded(inner, lock=threading.Lock()):\n    def fit(self, x):\n        with lock: return inner(self, x)\n"
        "    return fit\nModel.fit = guarded(Model.fit)\ndef experiment(x): return Model().fit(x)\n"
    ),
    "an object that forbids to be changed": (
        "class Held:\n    def __init__(self): self.__dict__['n'] = int('2')\n"
        "    def __setattr__(self, name, value): raise TypeError(name)\n"
        "HELD = Held()\ndef experiment(x): return HELD.n\n"
    ),
    "a module that stands for none": (
        "try:\n    from missing_part import f\nexcept ImportError:\n    f = int\ndef experiment(x): return f(x)\n"
    ),
    "a name that stands for anything": (
        "class Lazy:\n    def __getattr__(self, name): raise RuntimeError(name)\n"
        "lazy = Lazy()\nVALUE = len([lazy, 1])\ndef experiment(x): return VALUE\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_odd_modules_run_in_workers(kind: str, tmp_path: Path) -> None:
    script = "import sys\nsys.modules['missing_part'] = None\nfrom study import experiment"
    assert in_worker(tmp_path, script, study=ODD[kind]) == "2"


def test_what_an_experiment_counts_and_fills_itself_is_left_alone(project: Path) -> None:
    study = project / "study.py"
    study.write_text(STUDY.replace("    return [", "    return [asked, conf.SEEN] or ["))
    assert run(project, "processes", "conf.RATE = 2")[0] == "[1, [1]] False"
    assert run(project, "processes", "conf.RATE = 2", "study.asked = 60")[0] == "[1, [1]] True"


def test_a_patch_that_cannot_be_sent_is_named(project: Path) -> None:
    lock = "import threading; lock = threading.Lock(); study.own = lambda x: lock"
    command = [sys.executable, "-B", "script.py", "processes", f"exec({lock!r}, globals())"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "the experiment cannot be sent to worker processes: it uses " in done.stderr
    assert "cannot pickle '_thread.lock' object" in done.stderr
