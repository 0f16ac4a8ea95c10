"""Scripts whose classes and functions are of `__main__`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import enum, multiprocessing, pickle, sys
from dataclasses import dataclass
from memento import Memento

class Model:
    pass

@dataclass
class Point:
    x: int

class Color(enum.Enum):
    RED = 1

def square(x):
    return x * x

def experiment(context, config):
    assert pickle.loads(pickle.dumps(Model())).__class__ is Model
    with multiprocessing.Pool(2) as pool:
        squares = pool.map(square, [1, 2, 3])
    return {"model": [Model()], "point": Point(3), "color": Color.RED, "squares": squares}

if __name__ == "__main__":
    (result,) = Memento(experiment, num_workers=1).run({"parameters": {"x": [1]}}, progress=False)
    value = result.inner
    print(result.was_cached, isinstance(value["model"][0], Model), value["point"] == Point(3),
          value["color"] is Color.RED, value["squares"])
"""

OTHER = """
from memento import Memento
import study

(result,) = Memento(study.experiment).run({"parameters": {"x": [1]}}, progress=False, force_cache=True)
print(result.was_cached, type(result.inner["point"]).__name__, isinstance(result.inner["point"], study.Point))
"""


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_classes_of_a_script_are_its_own_whether_computed_or_stored(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(SCRIPT)
    assert run(tmp_path, "study.py") == "False True True True [1, 4, 9]"
    assert run(tmp_path, "study.py") == "True True True True [1, 4, 9]"
    assert run(tmp_path, "-m", "study") == "True True True True [1, 4, 9]"


def test_another_program_that_imports_the_script_finds_its_classes(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(SCRIPT)
    (tmp_path / "other.py").write_text(OTHER)
    run(tmp_path, "study.py")
    assert run(tmp_path, "other.py") == "True Point True"


def test_a_script_that_has_lost_the_class_still_reads_the_result(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(SCRIPT)
    run(tmp_path, "study.py")
    (tmp_path / "study.py").write_text(SCRIPT.replace("class Point", "class Other").replace("Point(3)", "Other(3)"))
    assert run(tmp_path, "study.py") == "True True False True [1, 4, 9]"


def test_an_open_file_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(
        "from memento import Memento\n"
        "def experiment(x):\n    return open(__file__)\n"
        "results = Memento(experiment).run({'parameters': {'x': [1]}}, progress=False, on_error='return')\n"
        "result = results[0]\n"
        "print(result.status.value, result.error.cause, 'open file' in str(result.error))\n".replace(
            "__file__", "'study.py'"
        )
    )
    assert run(tmp_path, "study.py").startswith("failed unpicklable")


STARTING = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from memento import Memento

print("the script is run")

@dataclass
class Point:
    x: int

def square(x):
    return x * x

def moved(point):
    return Point(square(point.x))

def send(queue, method):  # from a process of a process
    with multiprocessing.get_context(method).Pool(1) as pool:
        queue.put(pool.map(moved, [Point(3)]))

def experiment(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        points = pool.map(moved, [Point(1), Point(2)])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        squares = list(pool.map(square, [1, 2]))
    queue = context.SimpleQueue()
    child = context.Process(target=send, args=(queue, method))
    child.start()
    further = queue.get()
    child.join()
    return points == [Point(1), Point(4)], squares, further == [Point(9)]

# Without "if __name__ == '__main__'", as workers do not run the script either.
results = Memento(experiment, num_workers=1).run(
    {"parameters": {"method": ["spawn", "forkserver", "fork"]}}, timeout=60, progress=False)
print([result.inner for result in results])
"""


def test_processes_that_an_experiment_starts_find_the_functions_and_classes_of_its_script(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(STARTING)
    each = "(True, [1, 4], True)"
    assert run(tmp_path, "study.py").splitlines() == ["the script is run", f"[{each}, {each}, {each}]"]
    # What is piped in has no file that could be run again.
    done = subprocess.run([sys.executable, "-"], cwd=tmp_path, input=STARTING, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["the script is run", f"[{each}, {each}, {each}]"], done.stderr


WRAPPED = """
import functools
from memento import Memento
from memento.executors.processes.executor import ProcessExecutor

@functools.lru_cache(maxsize=7, typed=True)
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

class Chain:
    def __init__(self, length):
        self.length = length

    @functools.cached_property
    def counted(self):
        return self.length and Chain(self.length - 1).counted + 1

    @functools.singledispatchmethod
    def told(self, value):
        return "something"

    @told.register
    def _(self, value: int):
        return "a number"

@functools.singledispatch
def flat(value):
    return [value]

@flat.register(list)
@flat.register(tuple)
def _(values):
    return [each for value in values for each in flat(value)]

@flat.register
def _(chain: Chain):
    return ["chain"]

def experiment(n):
    chain = Chain(n)
    told = [chain.told(1), chain.told("1")]
    return fibonacci(n), fibonacci.cache_parameters(), flat([1, (2, [chain])]), told, chain.counted, chain

for method in "forkserver", "spawn", "fork":
    for _ in range(2):
        memento = Memento(experiment, executor=ProcessExecutor(1, start_method=method))
        (result,) = memento.run({"parameters": {"n": [5]}}, progress=False, cache_path=method)
        *values, chain = result.inner
        print(result.was_cached, *values, isinstance(chain, Chain), vars(chain), chain.counted)
"""


def test_what_functools_makes_of_functions_of_a_script_goes_with_it(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(WRAPPED)
    each = (
        "{} 5 {{'maxsize': 7, 'typed': True}} [1, 2, 'chain'] ['a number', 'something'] 5 "
        "True {{'length': 5, 'counted': 5}} 5"
    )
    assert run(tmp_path, "study.py").splitlines() == [each.format(False), each.format(True)] * 3


LOCKED = """
import multiprocessing, threading
from memento import Memento

lock = None

def square(x):
    return x * x

def experiment(x):
    global lock
    lock = threading.Lock()  # cannot be sent to a child, which does not need it
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.map(square, [x + 2])

(result,) = Memento(experiment, num_workers=1).run({"parameters": {"x": [1]}}, timeout=60, progress=False)
print(result.inner)
"""


def test_a_global_that_cannot_be_sent_to_such_a_process_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(LOCKED)
    assert run(tmp_path, "study.py") == "[9]"


ARGUMENTS = """
import sys
from memento import Memento

def experiment(context, config):
    return sys.argv

if __name__ == "__main__":
    (result,) = Memento(experiment, executor=sys.argv[1], num_workers=1).run({"parameters": {"x": [1]}}, progress=False)
    print(result.inner)
"""


@pytest.mark.parametrize("executor", ["processes", "threads", "serial", "dask"])
def test_an_experiment_sees_the_arguments_of_its_script(executor: str, tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(ARGUMENTS)
    assert run(tmp_path, "study.py", executor, "--lr", "0.1") == f"['study.py', '{executor}', '--lr', '0.1']"


STAYING = """
import functools, threading
from memento import Memento
from memento.errors import WorkerStartError

class Model:
    lock = threading.Lock()

settings = {"guards": [threading.Lock()]}

@functools.cache
def train(x):
    return evaluate(x) if x else [Model.lock for _ in range(3)]

def evaluate(x):
    return train(x - 1)

def by_its_class(x):
    return evaluate(x)

def by_a_dict(x):
    return settings

def by_its_arguments(y, x):
    return y

class Registered(type):
    def __new__(mcs, name, bases, namespace):
        if "x" not in namespace:
            raise TypeError("no field called x")
        return super().__new__(mcs, name, bases, namespace)

class Point(metaclass=Registered):
    x = 1

def by_a_metaclass(x):
    return Point

class Sealed(type):
    def __setattr__(cls, name, value):
        pass  # what is not there when the class is made never is

class Struct(metaclass=Sealed):
    def __init__(self, x):
        self.x = x

    def __reduce__(self):
        return Struct, (self.x,)

struct = Struct(1)

def by_an_object(x):
    return struct

by_an_argument = functools.partial(by_its_arguments, [threading.Lock()])
for experiment in by_its_class, by_a_dict, by_an_argument, by_a_metaclass, by_an_object:
    try:
        Memento(experiment, num_workers=1).run({"parameters": {"x": [1]}}, progress=False)
    except WorkerStartError as error:
        print(str(error).splitlines()[0])
"""


def test_what_of_a_script_cannot_go_to_workers_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(STAYING)
    advice = (
        "keep it in a module of its own, which the script imports, or make it inside the experiment, or use "
        "executor='threads'"
    )
    lock = "of type _thread.lock (TypeError: cannot pickle '_thread.lock' object)"
    assert run(tmp_path, "study.py").splitlines() == [
        f"the experiment cannot be sent to worker processes: it uses evaluate → train → Model → lock, {lock}; {advice}",
        f"the experiment cannot be sent to worker processes: it uses settings['guards'][0], {lock}; {advice}",
        f"the experiment cannot be sent to worker processes: it uses list[0], {lock}; {advice}",
        "workers cannot load the experiment: a worker cannot make the script's class Point again, or an object of it "
        f"(TypeError: no field called x); {advice}",
        "workers cannot load the experiment: a worker cannot make the script's class Struct again, or an object of it "
        f"(TypeError: Struct() takes no arguments); {advice}",
    ]


UNNAMED = """
import dataclasses
import enum
from memento import Config, Memento, Runner

@dataclasses.dataclass(frozen=True)
class Point:
    x: int

class Colour(enum.Enum):
    RED = 1

class Model:
    def __init__(self):
        self.rate = 0.1

    def run(self, context, config):
        return key_of(self)

def key_of(value):
    return Config(value=value).key

def experiment(context, config):
    return key_of(config.value)

if __name__ == "__main__":
    values = [Point(1), Colour.RED, Model()]
    own = [key_of(value) for value in values]
    run = Memento(experiment, num_workers=1).run({"parameters": {"value": values}}, progress=False)
    print([result.inner for result in run] == own)
    bound = Memento(Model().run, num_workers=1).run({"parameters": {"x": [1]}}, progress=False)
    print([result.inner for result in bound] == own[2:])
    print(Runner("processes", 1).run(key_of, [{"value": value} for value in values], progbar=False) == own)
"""


def test_what_is_of_a_class_of_the_script_has_one_key_in_every_process_also_where_nobody_names_the_class(
    tmp_path: Path,
) -> None:
    (tmp_path / "script.py").write_text(UNNAMED)
    run = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert (run.stdout, run.stderr) == ("True\nTrue\nTrue\n", "")
