"""What each part of a run of memento costs by itself, to see how it grows with the number of configurations.

Its jobs are done one after another on one folder, each in a process of its own. What can be done again is, and the
shortest time counts: an exponent is the difference of two times, and would show what else the machine did.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from common import WORKERS, Figures, Timed, check, trivial

from memento import Memento, Status, generate_configurations, open_store
from memento.fingerprint.identity import identify
from memento.plan import make_plan

DISTRIBUTION = "memento"


TIMES = 3
Returned = TypeVar("Returned")


def shortest(step: Callable[[], Returned]) -> tuple[Figures, Returned]:
    """Return the figures of the shortest of several runs of `step`, and what the last one returned."""
    found: list[Timed] = []
    for _ in range(TIMES):
        with Timed() as timed:
            returned = step()
        found.append(timed)
        if len(found) < TIMES:
            del returned
    return min(found, key=lambda timed: timed.seconds).figures(), returned


def experiment(context: Any, config: Any) -> int:
    return trivial(config.x)


def matrix_of(size: int) -> dict[str, Any]:
    return {"parameters": {"x": list(range(size // 100)), "y": list(range(10)), "z": list(range(10))}}


def expand(size: int, folder: Path) -> Figures:
    figures, found = shortest(lambda: list(generate_configurations(matrix_of(size))))
    check(len(found), size)
    return figures


def key(size: int, folder: Path) -> Figures:
    figures, found = shortest(
        lambda: list(generate_configurations(matrix_of(size), experiment="bench:experiment").keys())
    )
    check(len(set(found)), size)
    return figures


def plan_against_empty(size: int, folder: Path) -> Figures:
    return planned(size, folder, to_run=size)


def plan_against_full(size: int, folder: Path) -> Figures:
    return planned(size, folder, to_run=0)


def planned(size: int, folder: Path, to_run: int) -> Figures:
    identity = identify(experiment)
    with open_store(folder) as store:
        figures, plan = shortest(
            lambda: make_plan(generate_configurations(matrix_of(size), experiment=identity.name), store, identity)
        )
    check(len(plan.todo), to_run)
    return figures


def run_and_store(size: int, folder: Path) -> Figures:
    memento = Memento(experiment, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run(matrix_of(size), cache_path=folder, progress=False)
    check(len(results or ()), size)
    return timed.figures()


def read_back(size: int, folder: Path) -> Figures:
    results = Memento(experiment, num_workers=WORKERS).run(matrix_of(size), cache_path=folder, progress=False)
    # Not kept, or the interpreter's search for garbage in a million tuples would be measured as well.
    figures, read = shortest(lambda: sum(result.inner for result in results or () if result.status is Status.SUCCEEDED))
    check(read, 100 * sum(map(trivial, range(size // 100))))
    return figures


JOBS = {
    "expand": expand,
    "key": key,
    "plan, nothing stored": plan_against_empty,
    "claim, run and store": run_and_store,
    "plan, all stored": plan_against_full,
    "read back": read_back,
}
