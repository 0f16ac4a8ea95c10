"""memento itself, as it is used: `Memento(...).run(matrix)`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from common import (
    AXIS,
    EXCLUDED,
    KEYED,
    LEFT_OF_A_MILLION,
    NAP,
    WORKERS,
    Figures,
    Reading,
    Timed,
    bare_megabytes,
    check,
    large,
    trivial,
    value_of,
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
    return timed.figures(above=timed.peak - bare_megabytes())


def keys(size: int, folder: Path) -> Figures:
    configurations = generate_configurations({"parameters": KEYED}, experiment="bench:experiment")
    with Timed() as timed:
        found = list(configurations.keys())
    check(len(set(found)), size)
    return timed.figures()


def arrays(context: Any, config: Any) -> Any:
    return large(config.x)


def store(size: int, folder: Path) -> Figures:
    memento = Memento(arrays, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run(matrix_of(size), cache_path=folder, progress=False)
    check(len(results or ()), size)
    return timed.figures()


def fetch(size: int, folder: Path) -> Figures:
    memento = Memento(arrays, num_workers=WORKERS)
    import numpy  # noqa: F401 - as a script that has arrays has done before

    with Reading() as timed:
        results = memento.run(matrix_of(size), cache_path=folder, progress=False, force_cache=True)
        read = [result.inner for result in results or ()]
    return timed.of(read)


def recording(context: Any, config: Any) -> int:
    for step in range(config.count):
        context.record({"loss": value_of(step)})
    return int(config.count)


def metrics(size: int, folder: Path) -> Figures:
    memento = Memento(recording, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run({"parameters": {"count": [size]}}, cache_path=folder, progress=False)
    _, values = (results or ())[0].metrics.points("loss")
    check((len(values), values[-1]), (size, value_of(size - 1)))
    return timed.figures()


def sleeping(context: Any, config: Any) -> int:
    time.sleep(NAP)
    return trivial(config.x)


def sleep(size: int, folder: Path) -> Figures:
    memento = Memento(sleeping, num_workers=WORKERS)
    with Timed() as timed:
        results = memento.run(matrix_of(size), cache_path=folder, progress=False)
    check([result.inner for result in results or ()], [trivial(x) for x in range(size)])
    return timed.figures()


JOBS = {
    "cold": cold,
    "warm": warm,
    "eager": eager,
    "lazy": lazy,
    "keys": keys,
    "store": store,
    "fetch": fetch,
    "metrics": metrics,
    "sleep": sleep,
}
