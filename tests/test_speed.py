"""Costs as ratios to plain Python doing something alike in the same run: machines differ and are noisy, ratios less so.

The figures themselves are in benchmarks/RESULTS.md. Each bound is several times what was measured: it is there for what
became quadratic, or is done once per configuration where once per run would do.
"""

from __future__ import annotations

import hashlib
import itertools
import pickle
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from memento import Memento, generate_configurations

AXIS = list(range(100))
MILLION = {
    "parameters": {"a": AXIS, "b": AXIS, "c": AXIS},
    "exclude": [{"a": number, "b": 2 * number} for number in range(20)],
}


def seconds(job: Callable[[], Any], times: int = 3) -> float:
    """Return the shortest of some runs, which noise has touched least."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        job()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def program(code: str) -> float:
    """Return the median seconds of a fresh Python that runs `code`."""
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def hashing(count: int) -> float:
    """Return the seconds of pickling and hashing `count` small things, as the measure of this machine's speed."""
    return seconds(lambda: [hashlib.sha256(pickle.dumps((number, "x"))).digest() for number in range(count)])


def experiment(context: Any, config: Any) -> int:
    """Do nothing that takes time."""
    return int(config.x)


def test_ten_thousand_trivial_experiments_cost_a_small_multiple_of_hashing_them() -> None:
    run = Memento(experiment, num_workers=2).run
    what = {"parameters": {"x": list(range(10_000))}}
    unit = hashing(10_000)
    cold = seconds(lambda: run(what, progress=False), times=1)
    stored = seconds(lambda: run(what, progress=False))
    assert cold < 1200 * unit
    assert stored < 120 * unit
    assert stored < cold / 2


def test_ten_times_the_configurations_cost_about_ten_times_the_time() -> None:
    run = Memento(experiment, num_workers=2).run
    small = seconds(lambda: run({"parameters": {"x": list(range(3_000))}}, progress=False), times=1)
    large = seconds(lambda: run({"parameters": {"x": list(range(-30_000, 0))}}, progress=False), times=1)
    assert large < 40 * small


def test_a_million_configurations_cost_little_more_than_their_product() -> None:
    unit = seconds(lambda: list(itertools.product(AXIS, AXIS, AXIS)))
    assert seconds(lambda: list(generate_configurations(MILLION)), times=2) < 60 * unit
    assert seconds(lambda: len(generate_configurations(MILLION))) < unit


def test_a_million_configurations_take_no_memory_until_they_are_used() -> None:
    code = (
        "import resource\nfrom memento import generate_configurations\n"
        f"before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nfound = generate_configurations({MILLION!r})\n"
        "assert found[len(found) // 2]\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20


def test_importing_memento_costs_less_than_starting_python_a_few_times() -> None:
    bare = program("pass")
    assert program("import memento") < 12 * bare
    assert program("from memento import Memento") < 60 * bare


def test_the_store_of_ten_thousand_results_is_a_handful_of_files(store_path: Any) -> None:
    Memento(experiment, num_workers=2).run({"parameters": {"x": list(range(10_000))}}, progress=False)
    assert len([path for path in store_path.rglob("*") if path.is_file()]) <= 10
