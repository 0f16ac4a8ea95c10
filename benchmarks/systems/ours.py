"""memento itself, as it is used: `Memento(...).run(matrix)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common import (
    AXIS,
    EXCLUDED,
    KEYED,
    LEFT_OF_A_MILLION,
    WORKERS,
    Figures,
    Timed,
    check,
    trivial,
)

from memento import Memento, generate_configurations

DISTRIBUTION = "memento"
MILLION = {"parameters": {"a": AXIS, "b": AXIS, "c": AXIS}, "exclude": EXCLUDED}


def experiment(context: Any, config: Any) -> int:
    return trivial(config.x)


def matrix_of(size: int) -> dict[str, Any]:
    return {"parameters": {"x": list(range(size))}}


def cold(size: int, folder: Path) -> Figures:
    memento = Memento(experiment, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run(matrix_of(size), cache_path=folder, progress=False)
    check([result.inner for result in results or ()], [trivial(x) for x in range(size)])
    return timed.figures()


def warm(size: int, folder: Path) -> Figures:
    memento = Memento(experiment, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run(matrix_of(size), cache_path=folder, progress=False)
        read = [(result.status, result.inner) for result in results or ()]
    check([value for _, value in read], [trivial(x) for x in range(size)])
    check({status.name for status, _ in read}, {"SUCCEEDED"})
    check(all(result.was_cached for result in results or ()), True)
    return timed.figures()


def eager(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        found = list(generate_configurations(MILLION))
    check((len(found), found[-1].asdict()), (LEFT_OF_A_MILLION, {"a": 99, "b": 99, "c": 99}))
    return timed.figures()


def lazy(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        found = generate_configurations(MILLION)
        count, middle = len(found), found[len(found) // 2]
    check((count, middle.a), (LEFT_OF_A_MILLION, 50))
    return timed.figures()


def keys(size: int, folder: Path) -> Figures:
    configurations = generate_configurations({"parameters": KEYED}, experiment="bench:experiment")
    with Timed() as timed:
        found = list(configurations.keys())
    check(len(set(found)), size)
    return timed.figures()


JOBS = {"cold": cold, "warm": warm, "eager": eager, "lazy": lazy, "keys": keys}
