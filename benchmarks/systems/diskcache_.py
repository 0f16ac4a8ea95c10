"""diskcache with the standard library's pool of processes: each worker stores what it computed, in transactions."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from common import WORKERS, Figures, Reading, Timed, check, large, trivial
from diskcache import Cache

DISTRIBUTION = "diskcache"
BATCH = 500


def opened(folder: Path | str) -> Cache:
    # As it comes it holds 1 GB, and throws away what is over.
    return Cache(str(folder), size_limit=2**40, eviction_policy="none")


def chunks(items: Sequence[int], length: int) -> list[Sequence[int]]:
    return [items[begin : begin + length] for begin in range(0, len(items), length)]


def compute(folder: str, items: Sequence[int]) -> None:
    with opened(folder) as cache, cache.transact():
        for x in items:
            cache[x] = trivial(x)


def compute_large(folder: str, items: Sequence[int]) -> None:
    with opened(folder) as cache:
        for x in items:
            cache[x] = large(x)


def run(folder: Path, function: Any, items: Sequence[int], batch: int) -> list[Any]:
    with opened(folder) as cache:
        missing = [x for x in items if x not in cache]
        if missing:
            with ProcessPoolExecutor(WORKERS) as pool:
                batches = chunks(missing, batch)
                list(pool.map(function, [str(folder)] * len(batches), batches))
        return [] if missing else [cache[x] for x in items]


def cold(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        run(folder, compute, range(size), BATCH)
    check(run(folder, compute, range(size), BATCH), [trivial(x) for x in range(size)])
    return timed.figures()


def warm(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        values = run(folder, compute, range(size), BATCH)
    check(values, [trivial(x) for x in range(size)])
    return timed.figures()


def store(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        run(folder, compute_large, range(size), 1)
    return timed.figures()


def fetch(size: int, folder: Path) -> Figures:
    import numpy  # noqa: F401 - not part of what is measured

    with Reading() as timed:
        arrays = run(folder, compute_large, range(size), 1)
    return timed.of(arrays)


JOBS = {"cold": cold, "warm": warm, "store": store, "fetch": fetch}
