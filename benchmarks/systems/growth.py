"""What each part of a run of memento costs by itself, to see how it grows with the number of configurations.

Its jobs are done one after another on one folder, each in a process of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import WORKERS, Figures, Timed, check, trivial

from memento import Memento, generate_configurations, open_store
from memento.hashing.fingerprint import identify
from memento.plan import make_plan

DISTRIBUTION = "memento"


def experiment(context: Any, config: Any) -> int:
    return trivial(config.x)


def matrix_of(size: int) -> dict[str, Any]:
    return {"parameters": {"x": list(range(size // 100)), "y": list(range(10)), "z": list(range(10))}}


def expand(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        found = list(generate_configurations(matrix_of(size)))
    check(len(found), size)
    return timed.figures()


def key(size: int, folder: Path) -> Figures:
    configurations = generate_configurations(matrix_of(size), experiment="bench:experiment")
    with Timed() as timed:
        found = list(configurations.keys())
    check(len(set(found)), size)
    return timed.figures()


def plan_against_empty(size: int, folder: Path) -> Figures:
    return planned(size, folder, to_run=size)


def plan_against_full(size: int, folder: Path) -> Figures:
    return planned(size, folder, to_run=0)


def planned(size: int, folder: Path, to_run: int) -> Figures:
    identity = identify(experiment)
    configurations = generate_configurations(matrix_of(size), experiment=identity.name)
    with open_store(folder) as store:
        with Timed() as timed:
            plan = make_plan(configurations, store, identity)
        check(len(plan.todo), to_run)
    return timed.figures()


def run_and_store(size: int, folder: Path) -> Figures:
    memento = Memento(experiment, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run(matrix_of(size), cache_path=folder, progress=False)
    check(len(results or ()), size)
    return timed.figures()


def read_back(size: int, folder: Path) -> Figures:
    results = Memento(experiment, num_workers=WORKERS).run(matrix_of(size), cache_path=folder, progress=False)
    with Timed() as timed:
        read = [(result.status, result.inner) for result in results or ()]
    check((len(read), read[-1][1]), (size, trivial(size // 100 - 1)))
    return timed.figures()


JOBS = {
    "expand": expand,
    "key": key,
    "plan, nothing stored": plan_against_empty,
    "claim, run and store": run_and_store,
    "plan, all stored": plan_against_full,
    "read back": read_back,
}
