"""Functions that remember: what is promised of `@memoize`, and of `Cache`, which is the same as an object."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import importlib
import inspect
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memento import Cache, CacheMiss, Memento, Named, OptionError, StoreError, UnkeyableValue, memoize
from memento.errors import UnreadableResult
from memento.experiment import Experiment
from memento.memoizing.ledger import code_id, ledger_at
from tests.store.helpers import frame, outcome_of

calls: list[Any] = []


def add(first: int, second: int = 2, *, third: int = 3) -> int:
    """Add three numbers."""
    calls.append((first, second, third))
    return first + second + third


@memoize
def double(x: int) -> int:
    calls.append(x)
    return 2 * x


@memoize
def slow(folder: str, x: int) -> int:
    """Leaves a trace of each computation; waits for `go` in that folder."""
    Path(folder, f"computed-{os.getpid()}-{time.monotonic_ns()}").touch()
    deadline = time.monotonic() + 30
    while not Path(folder, "go").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    return x + 1


@memoize
def fibonacci(n: int) -> int:
    calls.append(n)
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


def script_of(path: Path, text: str) -> list[str]:
    path.write_text(text)
    return [sys.executable, "-W", "error", str(path)]


def printed_by(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


# What is the same call


def test_a_call_is_computed_once_however_its_arguments_are_passed() -> None:
    cached = memoize(add)
    assert [cached(1), cached(1, 2), cached(first=1, second=2), cached(1, third=3)] == [6, 6, 6, 6]
    assert len(calls) == 1
    assert cached(1, 3) == 7
    assert len(calls) == 2


def test_equal_is_as_in_a_matrix() -> None:
    def kind(value: Any) -> str:
        calls.append(value)
        return type(value).__name__

    cached = memoize(kind)
    assert [cached(1), cached(1.0), cached(True), cached(1)] == ["int", "float", "bool", "int"]
    assert len(calls) == 3
    assert cached({"a": 1, "b": {2, 3}}) == cached({"b": {3, 2}, "a": 1})
    assert len(calls) == 4


def test_keys_are_the_same_for_ever() -> None:
    assert double.key(1) == double.key(x=1) == "e8a693bc30fd142869e54210c0bc00a0"
    assert memoize(version="2")(double.__wrapped__).key(1) == "2a98b8d6fa6673f6c0e1f430c687ca3f"


def test_more_arguments_by_position_and_by_name_count_too() -> None:
    @memoize
    def gather(*args: int, **kwargs: int) -> list[Any]:
        calls.append(args)
        return [args, kwargs]

    assert [gather(1, 2, a=3, b=4), gather(1, 2, b=4, a=3)] == [[(1, 2), {"a": 3, "b": 4}]] * 2
    assert len(calls) == 1
    assert gather(1, 2, a=3) == [(1, 2), {"a": 3}]


def test_what_is_ignored_does_not_count_and_is_passed_on() -> None:
    @memoize(ignore=("verbose", "depth"))
    def train(rate: float, verbose: bool = False, **more: Any) -> float:
        calls.append((verbose, more))
        return rate

    assert [train(0.5, verbose=True, depth=1), train(0.5), train(0.5, False, depth=object())] == [0.5, 0.5, 0.5]
    assert calls == [(True, {"depth": 1})]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: memoize(ignore=("deep",))(add),
            "ignore names 'deep', which is no parameter of add; it has: first,",
        ),
        (lambda: memoize(code_change="never")(add), "code_change='never' is not one of 'warn', 'rerun', 'ignore'"),
        (lambda: memoize(classmethod(add)), "a classmethod: put @memoize below @classmethod"),
        (lambda: memoize(staticmethod(add)), "a staticmethod: put @memoize below @staticmethod"),
        (lambda: memoize(3), "memoize takes a function, and not 3"),  # type: ignore[call-overload]
        (
            lambda: memoize(lambda force_run: 1),
            "has a parameter 'force_run', which memoize takes for itself; re",
        ),
    ],
    ids=["ignore", "code change", "classmethod", "staticmethod", "number", "force_run"],
)
def test_what_cannot_be_meant_is_said_where_it_is_written(make: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


def test_a_generator_function_is_refused() -> None:
    def count():
        yield 1

    with pytest.raises(OptionError, match="count yields its results, which can be read only once; return them as a"):
        memoize(count)


def test_a_wrong_call_is_said_as_python_does() -> None:
    with pytest.raises(TypeError, match=r"^double\(\) missing a required argument: 'x'"):
        double()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^double\(\) got an unexpected keyword argument 'y'"):
        double(1, y=2)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"^double\(\) multiple values for argument 'x'"):
        double(1, x=2)  # type: ignore[call-overload]
    assert double(1) == 2
    with pytest.raises(TypeError, match=r"^double\(\) too many positional arguments"):
        double(1, 2)  # type: ignore[call-arg]


def test_an_argument_without_a_key_is_named_with_what_to_do() -> None:
    with pytest.raises(UnkeyableValue, match=r"^first\.lock has no stable key: it is of type _thread\.lock") as caught:
        memoize(add)(type("Held", (), {"__init__": lambda self: setattr(self, "lock", threading.Lock())})())
    assert caught.value.__notes__ == ["It is an argument of add; what does not count is left out: ignore=('first',)"]
    assert calls == []


def test_an_argument_may_be_called_self() -> None:
    @memoize
    def me(self: int, args: int) -> int:
        return self + args

    assert me(self=1, args=2) == me(1, 2) == 3
    assert me.key(self=1, args=2) == me.key(1, 2)


# Forcing, forgetting


def test_an_argument_that_is_named_is_known_by_its_label_and_passed_bare() -> None:
    @memoize
    def kinds(*values: Any, **more: Any) -> list[Any]:
        calls.append("kinds")
        return [type(value).__name__ for value in (*values, *values[1], *more.values())]

    for _ in range(2):
        one = Named("lock", threading.RLock())
        assert kinds(one, [one], more=one) == ["RLock", "list", "RLock", "RLock"]
    assert calls == ["kinds"]


def test_force_cache_raises_and_force_run_computes() -> None:
    cached = memoize(add)
    with pytest.raises(CacheMiss, match=r"no stored result for add\(first=1, second=2, third=3\)"):
        cached(1, force_cache=True)
    with pytest.raises(KeyError):
        cached(1, force_cache=True)
    cached(1)
    assert cached(1, force_cache=True) == 6
    cached(1, force_run=True)
    assert len(calls) == 2
    with pytest.raises(OptionError, match="pass one of them"):
        cached(1, force_run=True, force_cache=True)


def test_what_was_forced_is_remembered_from_then_on() -> None:
    values = iter([1, 2, 3])

    @memoize(code_change="ignore")
    def draw() -> int:
        return next(values)

    with pytest.warns(UserWarning, match="carries values, of type list_iterator, which cannot be keyed"):
        assert draw() == 1
    assert [draw(force_run=True), draw(), draw(force_run=True), draw()] == [2, 2, 3, 3]


def test_forgetting_forgets_one_call_and_its_files(store_path: Path) -> None:
    @memoize
    def fill(size: int) -> Any:
        calls.append(size)
        return np.full(size, 1.5)

    fill(20_000)
    fill(3)
    assert len(list(store_path.rglob("*.value"))) == 1
    assert (fill.forget(20_000), fill.forget(20_000)) == (True, False)
    assert list(store_path.rglob("*.value")) == []
    with pytest.raises(CacheMiss):
        fill(20_000, force_cache=True)
    assert fill(20_000).sum() == 30_000
    assert fill(20_000, force_cache=True).sum() == 30_000
    fill(3)
    assert calls == [20_000, 3, 20_000]


def test_a_store_that_is_removed_is_forgotten(store_path: Path) -> None:
    import shutil

    double(1)
    shutil.rmtree(store_path)
    assert double(1) == 2
    assert calls == [1, 1]
    opened = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    assert [path for path in opened if str(store_path) in path and "(deleted)" in path] == []


def test_a_store_that_is_made_anew_in_the_very_file_is_another(store_path: Path, tmp_path: Path) -> None:
    double(1)
    memoize(store=tmp_path / "new")(add)(1)
    ledgers = [ledger_at(str(path)) for path in (store_path, tmp_path / "new")]
    for ledger in ledgers:
        ledger.close()  # as before a fork
    old, new = (ledger.database for ledger in ledgers)
    old.write_bytes(new.read_bytes())
    assert double(1) == 2
    assert calls == [1, (1, 2, 3), 1]


def test_another_store_and_another_version_find_nothing(tmp_path: Path) -> None:
    stores = {"store": tmp_path / "elsewhere"}, {"store": tmp_path / "one.sqlite"}
    for options in ({}, {"version": 2}, {"version": 0}, *stores):
        cached = memoize(**options)(add)
        assert [cached(1), cached(1)] == [6, 6]
    assert len(calls) == 5
    assert (tmp_path / "elsewhere" / "memoized" / "ledger.sqlite").exists()
    assert (tmp_path / "one.sqlite.files" / "memoized" / "ledger.sqlite").exists()


def test_where_another_version_is_an_argument_nothing_is_found() -> None:
    first, second = (memoize(version=version)(add) for version in (1, 2))

    @memoize
    def called(func: Cache[..., int]) -> int:
        return func(1)

    assert called.key(first) == called.key(memoize(version=1)(add)) != called.key(second)


def test_a_relative_store_lies_in_the_folder_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = memoize(store="here")(add)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert [cached(1), cached(1)] == [6, 6]
        assert (tmp_path / name / "here" / "memoized" / "ledger.sqlite").exists()
    assert len(calls) == 2


def test_a_call_whose_key_begins_as_anothers_does_not_get_its_value(tmp_path: Path) -> None:
    ledger = ledger_at(str(tmp_path / "store"))
    ledger.save([frame(b"8 bytes:of this.")])
    assert ledger.success(b"8 bytes:of that.") is None
    assert ledger.success(b"8 bytes:of this.") is not None


def test_something_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("x" * 1000)
    with pytest.raises(StoreError, match="is not a store"):
        memoize(store=notes)(add)(1)
    assert os.listdir(tmp_path) == ["notes.txt"]
    assert calls == []


# Values


def test_every_caller_has_a_value_of_its_own() -> None:
    @memoize
    def numbers() -> list[int]:
        return [1, 2]

    numbers().append(3)
    numbers().append(4)
    assert numbers() == [1, 2]


def test_large_arrays_are_mapped_and_can_be_written_to() -> None:
    cached = memoize(np.full)
    cached(200_000, 1.5)
    array = cached(200_000, 1.5)
    assert not array.flags.owndata
    array[0] = 7
    assert (cached(200_000, 1.5) == np.full(200_000, 1.5)).all()


def test_an_exception_is_not_remembered() -> None:
    def fail() -> None:
        calls.append(1)
        raise StopIteration("no")  # one that would get lost in a generator

    cached = memoize(fail)
    for _ in range(2):
        with pytest.raises(StopIteration, match="no"):
            cached()
    assert len(calls) == 2


def test_a_result_that_cannot_be_stored_is_returned_with_a_warning() -> None:
    @memoize
    def locked(x: int) -> dict[str, Any]:
        calls.append(x)
        return {"lock": threading.Lock()}

    for _ in range(2):
        with pytest.warns(RuntimeWarning, match=r"what .*locked\(x=1\) returned is not remembered.*\['lock'\]") as told:
            assert "lock" in locked(1)
        assert told[0].filename == __file__
    assert calls == [1, 1]


FULL = """
import resource, signal, warnings
import numpy
from memento import memoize

@memoize
def fill(size):
    print("computing", size)
    return numpy.ones(size)

fill(1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    total = fill(100_000).sum()
print(total, [str(each.message).split(",")[0] for each in told])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for _ in range(2):
    print(fill(100_000).sum())
"""


def test_a_result_for_which_the_disk_has_no_room_is_returned_with_a_warning(tmp_path: Path) -> None:
    assert printed_by(script_of(tmp_path / "full.py", FULL)).splitlines() == [
        "computing 1",
        *["computing 100000", "100000.0 ['what fill(size=100000) returned is not remembered']"],
        *["computing 100000", "100000.0", "100000.0"],
    ]


class Fragile:
    ok = True

    def __setstate__(self, state: Any) -> None:
        if not self.ok:
            raise ValueError("its world has changed")

    def __init__(self) -> None:
        self.x = 1


def test_a_value_that_cannot_be_read_any_more_is_an_error_that_force_run_mends(monkeypatch: Any) -> None:
    @memoize(code_change="ignore")
    def make() -> Fragile:
        return Fragile()

    make()
    monkeypatch.setattr(Fragile, "ok", False)
    with pytest.raises(UnreadableResult, match="force_run=True"):
        make()
    monkeypatch.undo()


def test_a_value_that_the_index_hides_is_not_replaced_by_an_older_one(store_path: Path) -> None:
    @memoize
    def draw() -> int:
        calls.append(1)
        return len(calls)

    assert [draw(), draw(force_run=True), draw()] == [1, 2, 2]
    with contextlib.closing(sqlite3.connect(store_path / "memoized" / "ledger.sqlite")) as ledger:
        assert ledger.execute("SELECT damaged FROM outcomes").fetchall() == [(2,), (0,)]  # the older is REPLACED
        ledger.execute("UPDATE outcomes SET prefix = 5 WHERE id = 2")
        ledger.commit()
    assert draw() == 2
    assert calls == [1, 1]


def test_a_damaged_value_is_computed_anew(store_path: Path) -> None:
    @memoize
    def fill() -> Any:
        calls.append(1)
        return np.zeros(20_000)

    fill()
    (blob,) = store_path.rglob("*.value")
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert fill().sum() == 0
    assert fill(force_cache=True).sum() == 0
    assert calls == [1, 1]


# Methods, coroutines, providers


def test_decorated_methods_of_two_instances_are_two_functions() -> None:
    class Model:
        def __init__(self, rate: int) -> None:
            self.rate = rate

        @functools.lru_cache  # noqa: B019 - as users write it
        def score(self, x: int) -> int:
            return self.rate * x

    assert [memoize(Model(rate).score)(3) for rate in (1, 2, 1)] == [3, 6, 3]


def test_methods_remember_by_their_instance() -> None:
    class Model:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        def __memento_key__(self) -> int:
            return self.factor

        @memoize
        def times(self, value: int) -> int:
            """Multiply."""
            calls.append(value)
            return self.factor * value

        @classmethod
        @memoize
        def name(cls, suffix: str) -> str:
            calls.append(suffix)
            return cls.__name__ + suffix

        @staticmethod
        @memoize
        def half(value: int) -> float:
            calls.append(value)
            return value / 2

    assert Model.times.__doc__ == Model(1).times.__doc__ == "Multiply."
    assert [Model(2).times(3), Model(2).times(value=3), Model(3).times(3)] == [6, 6, 9]
    assert Model(2).times.key(3) == Model.times.key(Model(2), 3) != Model(3).times.key(3)
    assert Model(2).times(3, force_cache=True) == 6
    assert Model(2).times.forget(3)
    with pytest.raises(CacheMiss):
        Model(2).times(3, force_cache=True)
    assert [Model.name("!"), Model(1).name("!"), Model.half(3), Model(1).half(3)] == ["Model!", "Model!", 1.5, 1.5]
    assert calls == [3, 3, "!", 3]


def test_coroutine_functions_remember_and_concurrent_tasks_compute_once() -> None:
    @memoize
    async def fetch(x: int) -> int:
        calls.append(x)
        await asyncio.sleep(0.05)
        return x + 1

    async def main() -> list[int]:
        return await asyncio.gather(*(fetch(x) for x in (1, 2, 1, 1)))

    assert asyncio.run(main()) == [2, 3, 2, 2]
    assert sorted(calls) == [1, 2]
    assert asyncio.run(fetch(1)) == 2
    with pytest.raises(CacheMiss):
        asyncio.run(fetch(5, force_cache=True))
    assert len(calls) == 2
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(fetch)


def test_a_cancelled_coroutine_gives_up_its_turn() -> None:
    @memoize
    async def fetch() -> int:
        calls.append(1)
        await asyncio.sleep(30 if len(calls) == 1 else 0)
        return 1

    async def main() -> int:
        first = asyncio.create_task(fetch())
        await asyncio.sleep(0.01)
        first.cancel()
        return await fetch()

    assert asyncio.run(main()) == 1
    assert len(calls) == 2


def test_cache_is_the_same_as_an_object() -> None:
    cached = Cache(add)
    assert isinstance(memoize(add), Cache)
    assert [cached(1), memoize(add)(1)] == [6, 6]
    assert len(calls) == 1
    assert repr(cached) == "Cache(add)"
    assert str(inspect.signature(cached)) == str(inspect.signature(add))


class Provider(dict[Any, Any]):
    def make_key(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        return args

    def get(self, key: Any) -> Any:  # type: ignore[override]
        return self[key]

    def set(self, key: Any, item: Any) -> None:
        self[key] = item


def test_a_provider_of_ones_own_is_used() -> None:
    cached = Cache(add, Provider())
    assert [cached(1), cached(1)] == [6, 6]
    assert len(calls) == 1
    with pytest.raises(KeyError):
        cached(5, force_cache=True)
    with pytest.raises(OptionError, match="they are forgotten there"):
        cached.forget(1)


# Code that changes


def test_older_code_is_told_of_once_or_computed_anew_or_ignored(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = (
        "from memento import memoize\n\ndef step():\n    return {}\n\n@memoize\ndef grow(x):\n    return x + step()\n"
    )
    (tmp_path / "growing.py").write_text(text.format(1))
    growing = importlib.import_module("growing")
    assert growing.grow(1) == 2
    importlib.reload(growing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert growing.grow(1) == 2

    (tmp_path / "growing.py").write_text(text.format(100))
    importlib.reload(growing)
    with pytest.warns(UserWarning, match=r"grow\(x=1\) was computed by older code, which differs in growing\.step; "):
        assert growing.grow(1) == 2
    assert growing.grow(1) == 2  # it is said once

    grow = growing.grow.__wrapped__
    assert memoize(code_change="ignore")(grow)(1) == 2
    assert memoize(code_change="rerun")(grow)(1) == 101
    growing.grow = memoize(grow)
    assert growing.grow(1) == 101

    (tmp_path / "growing.py").write_text(text.format(1))  # undone: what that code gave is there still
    importlib.reload(growing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert growing.grow(1) == 2
    grow = growing.grow.__wrapped__
    assert memoize(code_change="rerun")(grow)(1, force_cache=True) == 2


WATCHED = """
import types
from memento import memoize

RATE = 1
OPTIONS = {"bonus": 0}
asked = 0

class Model:
    depth = 1

settings = types.SimpleNamespace(shift=0)

def scaled(x):
    global asked
    asked += 1
    return x * RATE

@memoize(code_change="rerun")
def score(x):
    runs.append(x)
    return scaled(x) + OPTIONS["bonus"] + Model.depth + extra() + settings.shift

def extra():
    return 0

def more():
    return 1000

@memoize(code_change="rerun")
def called(function, x):
    runs.append(x)
    return function(x)

runs = []
"""


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: Any) -> Iterator[Any]:
    (tmp_path / "watched.py").write_text(WATCHED)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("watched")
    del sys.modules["watched"]


def test_what_names_have_come_to_stand_for_between_two_calls_counts(watched: Any) -> None:
    assert [watched.score(2), watched.score(2)] == [3, 3]
    watched.RATE = 10
    assert [watched.score(2), watched.score(2)] == [21, 21]
    watched.OPTIONS["bonus"] = 100
    assert [watched.score(2), watched.score(2)] == [121, 121]
    watched.Model.depth = 5
    assert [watched.score(2), watched.score(2)] == [125, 125]
    watched.settings.shift = 10000
    assert [watched.score(2), watched.score(2)] == [10125, 10125]
    watched.settings.shift = 0
    watched.extra = watched.more  # as when a cell of a notebook is run anew
    assert [watched.score(2), watched.score(2)] == [1125, 1125]
    assert watched.runs == [2] * 6
    watched.RATE = 1
    watched.OPTIONS["bonus"] = 0
    watched.Model.depth = 1
    assert watched.score(2) == 1003
    watched.RATE = 10
    watched.OPTIONS["bonus"] = 100
    watched.Model.depth = 5
    assert watched.score(2) == 1125  # what that gave is there still
    assert watched.runs == [2] * 7


def test_what_the_names_of_a_function_that_is_given_have_come_to_stand_for_counts_too(watched: Any) -> None:
    assert [watched.called(watched.scaled, 2), watched.called(watched.scaled, 2)] == [2, 2]
    watched.RATE = 10
    assert [watched.called(watched.scaled, 2), watched.called(watched.scaled, 2)] == [20, 20]
    assert watched.runs == [2, 2]


def test_each_change_between_two_calls_is_told_of_by_who_only_warns(watched: Any) -> None:
    score = memoize(watched.score.__wrapped__)
    watched.score = score
    assert score(2) == 3
    for rate in (10, 20):
        watched.RATE = rate
        with pytest.warns(UserWarning, match=r"score\(x=2\) .* older code, which differs in watched\.RATE;"):
            assert score(2) == 3


def test_the_code_of_functions_that_are_given_counts_too(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "models.py").write_text("def fit():\n    return 1\n")
    models = importlib.import_module("models")

    @memoize(code_change="rerun")
    def run(model: Any) -> Any:
        calls.append(1)
        return model()

    assert [run(models.fit), run(models.fit)] == [1, 1]
    (tmp_path / "models.py").write_text("def fit():\n    return 2 + 0\n")
    importlib.reload(models)
    assert [run(models.fit), run(models.fit)] == [2, 2]
    assert len(calls) == 2


def test_an_experiment_knows_the_code_of_remembering_functions_that_it_calls() -> None:
    from memento.fingerprint.identity import identify

    def experiment(context: Any, config: Any) -> int:
        return double(config.x) + fibonacci(1)

    assert {"tests.test_memoize.double", "tests.test_memoize.fibonacci"} <= set(identify(experiment).code)
    before = identify(experiment).code
    double(1)
    assert identify(experiment).code == before


# Many at once


def test_threads_compute_once() -> None:
    gate = threading.Barrier(8)

    def ask(_: int) -> list[int]:
        gate.wait()
        return waiting(1)

    @memoize
    def waiting(x: int) -> list[int]:
        calls.append(x)
        time.sleep(0.1)
        return [x]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(ask, range(8)))
    assert results == [[1]] * 8
    assert len({id(each) for each in results}) == 8
    assert calls == [1]


def test_when_the_one_who_computes_fails_the_next_one_tries() -> None:
    @memoize
    def shaky() -> int:
        calls.append(1)
        if len(calls) == 1:
            time.sleep(0.1)
            raise ValueError("the first")
        return 5

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(shaky)
        deadline = time.monotonic() + 20
        while not calls and time.monotonic() < deadline:
            time.sleep(0.001)
        assert pool.submit(shaky).result(20) == 5
    with pytest.raises(ValueError, match="the first"):
        first.result()


SLOW = "import sys\nfrom tests.test_memoize import slow\nprint(slow(sys.argv[1], 1))\n"


def started(tmp_path: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for_computations(folder: Path, count: int) -> None:
    deadline = time.monotonic() + 40
    while len(list(folder.glob("computed-*"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_processes_compute_once_and_one_that_is_killed_is_succeeded_by_another(tmp_path: Path) -> None:
    first = started(tmp_path)
    others: list[subprocess.Popen[str]] = []
    try:
        wait_for_computations(tmp_path, 1)
        others += [started(tmp_path) for _ in range(2)]
        time.sleep(1.0)
        assert len(list(tmp_path.glob("computed-*"))) == 1
        first.send_signal(signal.SIGKILL)
        wait_for_computations(tmp_path, 2)
        (tmp_path / "go").touch()
        assert [other.communicate(timeout=40)[0] for other in others] == ["2\n", "2\n"]
        assert slow(str(tmp_path), 1) == 2
        assert len(list(tmp_path.glob("computed-*"))) == 2
    finally:
        for process in (first, *others):
            process.kill()
            process.communicate()


def test_a_forked_child_shares_what_is_known_and_computes_for_itself() -> None:
    assert double(1) == 2
    child = os.fork()
    if not child:
        os._exit(0 if (double(1), double(7), len(calls)) == (2, 14, 2) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [double(7), double(8)] == [14, 16]
    assert calls == [1, 8]


def test_a_function_may_call_itself_more_than_250_levels_deep() -> None:
    @memoize
    def count(number: int) -> int:
        return 1 if number < 2 else count(number - 1) + 1

    assert sys.getrecursionlimit() == 1000
    with concurrent.futures.ThreadPoolExecutor() as pool:  # pytest has used some levels of this thread
        assert pool.submit(count, 270).result() == 270


def test_recursion_and_nested_calls_do_not_wait_for_themselves() -> None:
    assert fibonacci(12) == 144
    assert sorted(calls) == list(range(13))

    @memoize
    def endless(x: int) -> int:
        return endless(x)

    with pytest.raises(RecursionError):
        endless(1)


def test_threads_that_need_each_other_do_not_wait_for_ever() -> None:
    both = threading.Barrier(2)
    met = threading.local()

    def meet() -> None:  # once each has begun to compute one of the two
        if not hasattr(met, "other"):
            met.other = True
            both.wait(10)

    @memoize
    def ping() -> int:
        meet()
        return pong()

    @memoize
    def pong() -> int:
        meet()
        return ping()

    def ask(func: Any) -> None:
        try:
            func()
        except RecursionError:  # which is what they come to without memoize
            calls.append("recursion")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threads = [threading.Thread(target=ask, args=[each]) for each in (ping, pong)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert calls == ["recursion", "recursion"]


# Elsewhere


def test_another_process_finds_it(tmp_path: Path) -> None:
    command = script_of(
        tmp_path / "script.py",
        "from memento import memoize\n@memoize\ndef f(x):\n    print('called')\n    return x + 1\nprint(f(1), f(1))\n",
    )
    assert [printed_by(command), printed_by(command)] == ["called\n2 2\n", "2 2\n"]


def test_a_remembering_function_travels_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(double)) is double
    bound = pickle.loads(pickle.dumps(Fragile and double.__get__(3)))
    assert bound() == 6


EXPERIMENT = """
from dataclasses import dataclass
from multiprocessing import get_context
from memento import Memento, memoize

@dataclass
class Corpus:
    name: str

@memoize
def load(corpus, verbose=False):
    print("loading", corpus.name)
    return load_part(corpus.name, 3)

@memoize
def load_part(name, depth):
    return name if not depth else load_part(name, depth - 1) + "."

def experiment(context, config):
    return load(Corpus(config.name)) + str(config.seed)

if __name__ == "__main__":
    matrix = {"parameters": {"name": ["a", "b"], "seed": [1, 2]}}
    results = Memento(experiment, num_workers=2).run(matrix, progress=False)
    print([result.inner for result in results])
    print(sum("loading" in result.log for result in results))
    print(load(Corpus("a"), force_cache=True), load_part("b", 2, force_cache=True))
    with get_context("spawn").Pool(1) as pool:
        print(pool.map(load_part, ["c"], 1) if False else pool.starmap(load_part, [("b", 1), ("b", 2)]))
"""


def test_experiments_in_worker_processes_share_it_with_each_other_and_with_the_script(tmp_path: Path) -> None:
    printed = printed_by(script_of(tmp_path / "study.py", EXPERIMENT))
    assert printed.splitlines()[-4:] == ["['a...1', 'a...2', 'b...1', 'b...2']", "2", "a... b..", "['b.', 'b..']"]


def test_an_experiment_that_remembers_can_itself_be_run_over_a_matrix() -> None:
    results = Memento(double, executor="serial").run({"parameters": {"x": [1, 2]}}, progress=False)
    assert [result.inner for result in results] == [2, 4]
    assert double(2, force_cache=True) == 4


def test_what_took_long_is_synced_also_a_moment_after_another_thread_has_synced(store_path: Path) -> None:
    ledger, code, said = ledger_at(str(store_path)), Experiment(name="e", code={}), list[str]()
    ledger.keep_call(outcome_of(0, run=code_id(code)), code)
    with ledger._ledger.reading() as database:
        database.set_trace_callback(said.append)
    unsynced = []
    for number, runtime in enumerate([0.0, 7200.0], 1):
        said.clear()
        ledger._synced = time.monotonic() + 60
        ledger.keep_call(outcome_of(number, run=code_id(code))._replace(runtime=runtime), code)
        unsynced.append("PRAGMA synchronous = NORMAL" in said)
    assert unsynced == [True, False]


def test_a_value_in_which_a_bit_has_flipped_is_computed_anew(store_path: Path) -> None:
    @memoize
    def pair(x: int) -> tuple[int, int]:
        calls.append(x)
        return x, 2 * x

    assert pair(5) == (5, 10)
    ledger = ledger_at(None)
    ledger.close()
    with contextlib.closing(sqlite3.connect(ledger.database)) as database:
        ((value,),) = database.execute("SELECT value FROM outcomes").fetchall()
        assert value.count(b"K\x0a") == 1
        database.execute("UPDATE outcomes SET value = ?", [value.replace(b"K\x0a", b"K\x0b")])
        database.commit()
    assert [pair(5), pair(5)] == [(5, 10)] * 2
    assert calls == [5, 5]
