"""memento-ml, the library of the same name: `Memento(...).run(matrix)`, with its files in the working folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from common import (
    AXIS,
    EXCLUDED,
    KEYED,
    LEFT_OF_A_MILLION,
    WORKERS,
    Figures,
    Reading,
    Timed,
    check,
    large,
    trivial,
    value_of,
)
from memento.memento import _key_provider

from memento import Memento, generate_configurations

DISTRIBUTION = "memento-ml"
MILLION = {"parameters": {"a": AXIS, "b": AXIS, "c": AXIS}, "exclude": EXCLUDED}


def experiment(context: Any, config: Any) -> int:
    return trivial(config.x)


def cold(size: int, folder: Path) -> Figures:
    os.chdir(folder)  # where it puts the files of its cache, whatever the path of its database
    memento = Memento(experiment, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run({"parameters": {"x": list(range(size))}}, cache_path="memento.sqlite")
    check([result.inner for result in results], [trivial(x) for x in range(size)])
    return timed.figures()


def warm(size: int, folder: Path) -> Figures:
    os.chdir(folder)
    memento = Memento(experiment, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run({"parameters": {"x": list(range(size))}}, cache_path="memento.sqlite")
        read = [(result.was_cached, result.inner) for result in results]
    check(read, [(True, trivial(x)) for x in range(size)])
    return timed.figures()


def eager(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        found = list(generate_configurations(MILLION))
    check(len(found), LEFT_OF_A_MILLION)
    return timed.figures()


def keys(size: int, folder: Path) -> Figures:
    configurations = generate_configurations({"parameters": KEYED})
    with Timed() as timed:
        found = [_key_provider(experiment, config) for config in configurations]
    check(len(set(found)), size)
    return timed.figures()


def arrays(context: Any, config: Any) -> Any:
    return large(config.x)


def store(size: int, folder: Path) -> Figures:
    os.chdir(folder)
    memento = Memento(arrays, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run({"parameters": {"x": list(range(size))}}, cache_path="memento.sqlite")
    check(len(results), size)
    return timed.figures()


def fetch(size: int, folder: Path) -> Figures:
    os.chdir(folder)
    memento = Memento(arrays, num_workers=WORKERS)
    with Reading() as timed:
        results = memento.run({"parameters": {"x": list(range(size))}}, cache_path="memento.sqlite", force_cache=True)
        read = [result.inner for result in results]
    return timed.of(read)


def recording(context: Any, config: Any) -> int:
    for step in range(config.count):
        context.record({"loss": value_of(step)})
    return int(config.count)


def metrics(size: int, folder: Path) -> Figures:
    os.chdir(folder)
    memento = Memento(recording, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run({"parameters": {"count": [size]}}, cache_path="memento.sqlite")
    check(len(results[0].metrics["loss"]), size)
    return timed.figures()


JOBS = {
    "cold": cold,
    "warm": warm,
    "eager": eager,
    "keys": keys,
    "store": store,
    "fetch": fetch,
    "metrics": metrics,
}
