"""Many settings: in threads or in processes that are really some, with a bar, and every record comes home."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy
import pytest

from memento import (
    AggregateException,
    ExperimentFailed,
    OptionError,
    Runner,
    grid,
    memfile,
    memfunc,
    memlist,
    read_memfile,
    time_taken,
)

ROOT = Path(__file__).parents[2]
BACKENDS = ["serial", "threading", "processes"]

# The example, word for word.
EXAMPLE = '''\
import numpy as np
from memento import memlist, memfile, grid, time_taken, Runner

data = []

@memfile(filepath="results.jsonl")
@memlist(data=data)
@time_taken()
def birthday_experiment(class_size, n_sim):
    """Simulates the birthday paradox. Vectorized = Fast!"""
    sims = np.random.randint(1, 365 + 1, (n_sim, class_size))
    sort_sims = np.sort(sims, axis=1)
    n_uniq = (sort_sims[:, 1:] != sort_sims[:, :-1]).sum(axis=1) + 1
    return {"est_proba": np.mean(n_uniq != class_size)}

settings = list(grid(class_size=range(20, 30), n_sim=[100, 10_000, 1_000_000], progbar=False))
Runner(backend="threading", n_jobs=-1).run(func=birthday_experiment, settings=settings)
'''


def run_script(folder, code):
    (folder / "script.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "script.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=True)


@pytest.mark.slow
@pytest.mark.timeout(310)
def test_the_example_runs_word_for_word_from_an_empty_folder(tmp_path):
    done = run_script(tmp_path, EXAMPLE + "print(len(data), sorted(data[0]))\n")

    assert done.stdout == "30 ['class_size', 'est_proba', 'n_sim', 'time_taken']\n"
    assert "30/30" in done.stderr
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert sorted((r["class_size"], r["n_sim"]) for r in records) == [
        (size, count) for size in range(20, 30) for count in (100, 10_000, 1_000_000)
    ]
    (sure,) = [r for r in records if (r["class_size"], r["n_sim"]) == (23, 1_000_000)]
    assert sure["est_proba"] == pytest.approx(0.5073, abs=0.005)
    assert {entry.name for entry in tmp_path.iterdir()} == {"script.py", "results.jsonl"}


home: list = []


@memlist(home)
@time_taken()
def imported(x, y=2):
    return {"sum": x + y, "pid": os.getpid()}


@pytest.fixture(autouse=True)
def _empty():
    home.clear()


@pytest.mark.parametrize("backend", BACKENDS)
class TestEveryBackend:
    def test_records_of_each_kind_come_home_and_results_in_order(self, backend, tmp_path):
        data, seen = [], []
        here = threading.Lock()  # such as no other process could be given

        def callback(record):
            with here:
                seen.append(record)

        @memfunc(callback)
        @memfile(tmp_path / "results.jsonl")
        @memlist(data)
        def func(x, *, power=2):
            return {"y": x**power, "pid": os.getpid()}

        results = Runner(backend, 2).run(func, [{"x": x} for x in range(6)], progbar=False)

        assert [result["y"] for result in results] == [0, 1, 4, 9, 16, 25]
        for records in (data, seen, read_memfile(tmp_path / "results.jsonl")):
            assert sorted((r["x"], r["power"], r["y"]) for r in records) == [(x, 2, x * x) for x in range(6)]
        assert (os.getpid() in {r["pid"] for r in data}) == (backend != "processes")

    def test_so_do_those_of_functions_that_can_be_imported_and_of_others_that_they_call(self, backend):
        def func(x):
            imported(x)
            return imported(x, y=10)["sum"]

        assert Runner(backend, 2).run(func, grid(x=[1, 2]), progbar=False) == [11, 12]
        assert Runner(backend, 2).run(imported, grid(x=[3]), progbar=False)[0]["sum"] == 5
        assert sorted(r["sum"] for r in home) == [3, 4, 5, 11, 12]

    def test_the_others_run_when_some_fail_and_the_error_at_the_end_tells_each(self, backend):
        data = []

        @memlist(data)
        def func(x):
            if x % 2:
                raise ValueError(f"odd: {x}")
            return x

        with pytest.raises(AggregateException, match=r"^2 of 4 calls failed") as caught:
            Runner(backend, 2).run(func, grid(x=range(4)), progbar=False)

        assert [type(error) for error in caught.value.exceptions] == [ExperimentFailed] * 2
        assert [error.config for error in caught.value.exceptions] == [{"x": 1}, {"x": 3}]
        assert [error.failure.message for error in caught.value.exceptions] == ["odd: 1", "odd: 3"]
        assert sorted(r["x"] for r in data) == [0, 2]

    def test_so_they_do_when_one_exits(self, backend):
        data = []

        @memlist(data)
        def func(x):
            if x == 1:
                sys.exit("no license")
            return x

        with pytest.raises(AggregateException, match=r"^1 of 4 calls failed") as caught:
            Runner(backend, 2).run(func, grid(x=range(4)), progbar=False)

        (failed,) = caught.value.exceptions
        assert failed.config == {"x": 1}
        assert failed.failure.message == "the experiment called sys.exit('no license')"
        assert sorted(r["x"] for r in data) == [0, 2, 3]

    def test_async_functions_and_methods_are_run(self, backend):
        data = []

        class Square:
            @memlist(data)
            def of(self, x):
                return x * x

        @memlist(data)
        async def later(x):
            await asyncio.sleep(0)
            return -x

        class Tenfold:
            async def __call__(self, x):
                return 10 * x

        assert Runner(backend, 2).run(later, grid(x=[1, 2]), progbar=False) == [-1, -2]
        assert Runner(backend, 2).run(Tenfold(), grid(x=[1, 2]), progbar=False) == [10, 20]
        assert Runner(backend, 2).run(Square().of, grid(x=[1, 2]), progbar=False) == [1, 4]
        assert sorted(r["result"] for r in data) == [-2, -1, 1, 4]

    def test_what_is_recorded_is_not_run_again_and_equal_settings_once(self, backend, tmp_path):
        calls = tmp_path / "calls"

        @memlist([{"x": 1, "y": 100}], skip=True)
        @memfile(tmp_path / "results.jsonl", skip=True)
        def func(x):
            with open(calls, "a") as file:
                file.write(f"{x} ")
            time.sleep(0.05)
            return {"y": x}

        runner = Runner(backend, 2)
        settings = [{"x": x} for x in (1, 2, 2, 3, 2)]
        results = runner.run(func, settings, progbar=False)
        again = runner.run(func, settings, progbar=False)

        assert results == again == [{"y": 100}, {"y": 2}, {"y": 2}, {"y": 3}, {"y": 2}]
        assert sorted(calls.read_text().split()) == ["2", "3"]

    def test_what_changes_its_argument_is_known_by_what_it_was_given(self, backend, tmp_path):
        calls = tmp_path / "calls"

        @memlist([])
        @memlist([], skip=True)
        def func(items):
            with open(calls, "a") as file:
                file.write("called ")
            return {"popped": items.pop()}

        for _ in range(2):
            assert Runner(backend, 2).run(func, [{"items": [1, 2]}], progbar=False) == [{"popped": 2}]
        assert calls.read_text() == "called "

    def test_a_bar_counts_also_what_a_generator_gives(self, backend, capsys):
        runner = Runner(backend, 2)

        assert runner.run(abs_of, ({"x": -x} for x in range(7))) == list(range(7))
        assert "7it" in capsys.readouterr().err
        runner.run(abs_of, grid(x=range(7), progbar=True))
        shown = capsys.readouterr().err
        assert shown.count("7/7") == 1
        runner.run(abs_of, grid(x=range(7)), progbar=False)
        assert capsys.readouterr().err == ""


def abs_of(x):
    return abs(x)


class TestProcesses:
    def test_what_a_worker_finds_in_a_file_comes_home_to_the_list(self, tmp_path):
        data, path = [], tmp_path / "results.jsonl"
        path.write_text('{"x":1,"y":10}\n')

        @memlist(data)
        @memfile(path, skip=True)
        def helper(x):
            return {"y": x}

        assert Runner("processes", 1).run(lambda x: helper(x)["y"], grid(x=[1, 2]), progbar=False) == [10, 2]
        assert data == [{"x": 1, "y": 10}, {"x": 2, "y": 2}]

    def test_one_that_is_killed_costs_its_own_settings_and_hangs_nothing(self, capsys):
        data = []

        @memlist(data)
        def func(x):
            print("beginning", x)
            if x == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            if x == 4:
                os._exit(3)
            return x

        with pytest.raises(AggregateException) as caught:
            Runner("processes", 2).run(func, grid(x=range(6)), progbar=False)

        assert [(error.config, error.failure.cause) for error in caught.value.exceptions] == [
            ({"x": 2}, "killed"),
            ({"x": 4}, "exit"),
        ]
        assert sorted(r["x"] for r in data) == [0, 1, 3, 5]
        assert sorted(capsys.readouterr().out.split("\n")[:-1]) == [f"beginning {x}" for x in range(6)]

    def test_large_results_and_long_output_come_home(self, capsys):
        data = []

        @memlist(data)
        def func(x):
            print("p" * 100_000)
            return {"bytes": b"b" * 1_000_000}

        Runner("processes", 1).run(func, grid(x=[1, 2]), progbar=False)

        assert [len(r["bytes"]) for r in data] == [1_000_000, 1_000_000]
        assert len(capsys.readouterr().out) > 1000

    def test_what_is_set_on_a_module_is_set_there_too(self, tmp_path):
        (tmp_path / "conf.py").write_text("RATE = 1\n")
        (tmp_path / "work.py").write_text(
            "import conf\nfrom memento import memfile\n\n@memfile('calls.jsonl')\n"
            "def scaled(x):\n    return {'scaled': conf.RATE * x}\n"
        )
        code = (
            "import conf, work\nfrom memento import Runner, grid\nconf.RATE = 10\n"
            "print(Runner('processes', 1).run(work.scaled, grid(x=[1, 2]), progbar=False))\n"
        )
        assert run_script(tmp_path, code).stdout == "[{'scaled': 10}, {'scaled': 20}]\n"

    def test_classes_of_the_script_have_the_keys_there_that_they_have_here(self, tmp_path):
        code = (
            "import dataclasses, enum, functools\n"
            "from memento import Runner, memfile, memlist, read_memfile\n"
            "calls = []\n"
            "class Colour(enum.Enum):\n    RED = 1\n"
            "@dataclasses.dataclass\nclass Point:\n    x: int\n"
            "@memfile('calls.jsonl', skip=True)\n"
            "def inner(value):\n    return str(value)\n"
            "@memlist(calls)\n"
            "def func(name):\n    return inner({'colour': Colour.RED, 'point': Point(1), 'class': Point}[name])\n"
            "names = ['colour', 'point', 'class']\n"
            "settings = [{'name': name} for name in names]\n"
            "Runner('processes', 2).run(func, settings, progbar=False)\n"
            "Runner('processes', 2).run(functools.partial(func), settings, progbar=False)\n"
            "Runner('serial').run(func, settings, progbar=False)\n"
            "print(len(calls), len(read_memfile('calls.jsonl')))\n"
        )
        assert run_script(tmp_path, code).stdout == "9 3\n"

    def test_a_script_needs_no_guard_and_runs_once(self, tmp_path):
        code = EXAMPLE.replace("1_000_000", "1000").replace("threading", "processes").replace("n_jobs=-1", "n_jobs=2")
        done = run_script(tmp_path, code + "import os; print(len(data), os.getpid() > 0)\n")

        assert done.stdout == "30 True\n"
        assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 30


class TestThreads:
    def test_so_many_run_at_once_and_a_generator_is_read_as_they_go(self):
        read, running, most = [], [], []
        both = threading.Barrier(2, timeout=20)

        def func(x):
            running.append(x)
            most.append(len(running))
            both.wait()
            running.remove(x)

        def settings():
            for x in range(10):
                read.append(x)
                assert len(read) <= len(most) + 5
                yield {"x": x}

        Runner("threading", n_jobs=2).run(func, settings(), progbar=False)

        assert len(most) == 10

    def test_an_error_of_the_generator_itself_ends_the_run(self):
        def settings():
            yield {"x": 1}
            raise LookupError("no more")

        for backend in BACKENDS:
            with pytest.raises(LookupError, match="no more"):
                Runner(backend, 2).run(abs_of, settings(), progbar=False)


def test_what_cannot_be_sent_home_takes_no_other_record_with_it():
    inner, outer = [], []
    step = memlist(inner)(lambda i: i)

    @memlist(outer)
    def func(x):
        for i in range(3):
            step(i)
        return (i for i in range(3)) if x == 1 else x

    with pytest.raises(AggregateException, match=r"^1 of 3 calls failed") as caught:
        Runner("processes", 2).run(func, grid(x=range(3)), progbar=False)

    (failed,) = caught.value.exceptions
    assert failed.config == {"x": 1}
    assert failed.failure.message == (
        "the result cannot be stored: it is of type generator, which cannot be pickled (TypeError: cannot pickle "
        "'generator' object); return it without that part, or as plain data"
    )
    assert sorted(record["i"] for record in inner) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert sorted(record["x"] for record in outer) == [0, 2]


def test_a_record_that_cannot_be_sent_home_is_told_of():
    data = []
    made = memlist(data)(lambda i: (i for _ in range(3)) if i == 1 else i)

    with pytest.raises(AggregateException, match=r"^1 of 1 calls failed") as caught:
        Runner("processes", 1).run(lambda x: [made(i) for i in range(3)] and x, grid(x=[5]), progbar=False)

    assert caught.value.exceptions[0].failure.traceback.startswith(
        "What could not be sent was recorded of a call of tests.capture.test_runner."
        "test_a_record_that_cannot_be_sent_home_is_told_of.<locals>.<lambda>\n"
    )
    assert data == [{"i": 0, "result": 0}, {"i": 2, "result": 2}]


class OnlyAway:
    """What a worker returns and this process cannot unpickle."""

    def __reduce__(self):
        return made_away_from, (os.getpid(),)


def made_away_from(process):
    if os.getpid() != process:
        raise ValueError("not here")
    return OnlyAway()


def test_a_result_that_cannot_be_unpickled_here_is_one_failure_among_the_others():
    data = []
    func = memlist(data)(lambda x: OnlyAway() if x == 1 else {"y": x})

    with pytest.raises(AggregateException) as caught:
        Runner("processes", 2).run(func, grid(x=range(4)), progbar=False)

    (failure,) = caught.value.exceptions
    assert str(caught.value).startswith("1 of 4 calls failed")
    assert isinstance(failure, ExperimentFailed)
    assert failure.config == {"x": 1}
    assert (
        "what the call returned cannot be unpickled: it holds tests.capture.test_runner.made_away_from, and loading it "
        "raised ValueError: not here; have it return what can be loaded here as well as in a worker process, such as "
        "plain data"
    ) in str(failure)
    assert "force_run" not in str(failure)
    assert sorted(record["x"] for record in data) == [0, 2, 3]


def test_nor_does_one_take_the_records_of_the_calls_in_it_with_it():
    inner, outer = [], []
    step = memlist(inner)(lambda i: i / 2)

    @memlist(outer)
    def func(x):
        step(x)
        return OnlyAway() if x == 1 else x

    with pytest.raises(AggregateException, match=r"^1 of 3 calls failed"):
        Runner("processes", 1).run(func, grid(x=range(3)), progbar=False)

    assert inner == [{"i": 0, "result": 0.0}, {"i": 1, "result": 0.5}, {"i": 2, "result": 1.0}]
    assert outer == [{"x": 0, "result": 0}, {"x": 2, "result": 2}]


def test_records_that_cannot_be_unpickled_here_are_told_of_as_such():
    outer = []
    step = memlist([])(lambda i: OnlyAway())

    @memlist(outer)
    def func(x):
        step(x)
        return [x]

    with pytest.raises(AggregateException) as caught:
        Runner("processes", 1).run(func, [{"x": 1}], progbar=False)

    message = caught.value.exceptions[0].failure.message
    assert message.startswith("what was recorded of the calls in it cannot be unpickled: it holds ")
    assert outer == [{"x": 1, "result": [1]}]


def test_a_callback_that_raises_keeps_no_other_record_from_coming_home():
    data = []

    def refuse(record):
        raise LookupError("no room")

    step = memfunc(refuse)(lambda i: i / 2)

    @memlist(data)
    def func(x):
        return [step(x)]

    with pytest.raises(AggregateException, match=r"^1 of 1 calls failed") as caught:
        Runner("processes", 1).run(func, [{"x": 1}], progbar=False)

    assert caught.value.exceptions[0].failure.message == "no room"
    assert data == [{"x": 1, "result": [0.5]}]


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(OptionError, match=r"^backend='cloud' is not one of 'threading', 'processes', 'serial'$"):
        Runner("cloud")
    with pytest.raises(OptionError, match=r"^n_jobs=0: give how many to run at once"):
        Runner(n_jobs=0)
    with pytest.raises(OptionError, match=r"^n_jobs=1.5: give how many to run at once"):
        Runner(n_jobs=1.5)
    with pytest.raises(OptionError, match=r"^settings: number 0 is 'x'; give dicts"):
        Runner("serial").run(abs_of, {"x": [1, 2]}, progbar=False)
    with pytest.raises(OptionError, match=r"^func=3 cannot be called"):
        Runner().run(3, [])


def test_names_of_joblib_are_understood_and_negative_jobs_leave_cpus_free():
    assert [Runner(name).backend for name in ("loky", "multiprocessing", "sequential")] == [
        "processes",
        "processes",
        "serial",
    ]
    assert Runner(n_jobs=-10_000).n_jobs == 1
    assert Runner(n_jobs=numpy.int64(2)).n_jobs == 2
    assert Runner(n_jobs=-1).n_jobs == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else True
