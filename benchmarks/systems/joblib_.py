"""joblib: a function cached by `Memory`, called through `Parallel`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from common import KEYED, WORKERS, Figures, Reading, Timed, check, large, trivial
from joblib import Memory, Parallel, delayed, hash

DISTRIBUTION = "joblib"


def experiment(x: int) -> int:
    return trivial(x)


def arrays(x: int) -> Any:
    return large(x)


def cold(size: int, folder: Path) -> Figures:
    cached = Memory(folder, verbose=0).cache(experiment)
    with Timed() as timed:
        values = Parallel(n_jobs=WORKERS)(delayed(cached)(x) for x in range(size))
    check(values, [trivial(x) for x in range(size)])
    return timed.figures()


def warm(size: int, folder: Path) -> Figures:
    """Read in this process: quicker than to have workers read, and send, what is as small as this."""
    cached = Memory(folder, verbose=0).cache(experiment)
    with Timed() as timed:
        values = [cached(x) for x in range(size)]
    check(values, [trivial(x) for x in range(size)])
    return timed.figures()


def keys(size: int, folder: Path) -> Figures:
    configurations = [dict(zip(KEYED, values, strict=True)) for values in itertools.product(*KEYED.values())]
    with Timed() as timed:
        found = [hash(configuration) for configuration in configurations]
    check(len(set(found)), size)
    return timed.figures()


def store(size: int, folder: Path) -> Figures:
    """Have the workers hand back where the arrays are, as its manual advises for large ones, and not the arrays."""
    cached = Memory(folder, mmap_mode="r", verbose=0).cache(arrays)
    with Timed() as timed:
        shelved = Parallel(n_jobs=WORKERS)(delayed(cached.call_and_shelve)(x) for x in range(size))
    check(len(shelved), size)
    return timed.figures()


def fetch(size: int, folder: Path) -> Figures:
    cached = Memory(folder, mmap_mode="r", verbose=0).cache(arrays)
    with Reading() as timed:
        read = [cached(x) for x in range(size)]
    return timed.of(read)


JOBS = {"cold": cold, "warm": warm, "keys": keys, "store": store, "fetch": fetch}
