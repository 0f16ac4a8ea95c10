"""The limit of each job: the same work with nothing but a pipe, batches and one SQLite transaction now and then.

No retries, no timeouts, no isolation, no record of what went wrong: what is left when everything that a library is
for has been taken away.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import sqlite3
import time
from array import array
from collections.abc import Callable
from hashlib import sha256
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
    check,
    large,
    trivial,
    value_of,
)

DISTRIBUTION = None
BATCH = 1000
TRANSACTION = 50_000


def key_of(x: int) -> bytes:
    return sha256(b"experiment %d" % x).digest()[:16]


def work(pipe: Any, experiment: Callable[[int], int]) -> None:
    for batch in iter(pipe.recv, None):
        pipe.send([(key_of(x), json.dumps(experiment(x))) for x in batch])


def cold(size: int, folder: Path) -> Figures:
    return run_all(trivial, size, BATCH, folder)


def napping(x: int) -> int:
    time.sleep(NAP)
    return trivial(x)


def sleep(size: int, folder: Path) -> Figures:
    return run_all(napping, size, size // WORKERS, folder)


def run_all(experiment: Callable[[int], int], size: int, length: int, folder: Path) -> Figures:
    with Timed() as timed:
        database = opened(folder)
        forking = multiprocessing.get_context("fork")
        pipes = []
        for _ in range(WORKERS):
            ours, theirs = forking.Pipe()
            forking.Process(target=work, args=(theirs, experiment)).start()
            pipes.append(ours)
        batches = [range(begin, min(begin + length, size)) for begin in range(0, size, length)]
        for turn in range(0, len(batches), WORKERS):
            busy = list(zip(pipes, batches[turn : turn + WORKERS], strict=False))
            for pipe, batch in busy:
                pipe.send(batch)
            for pipe, _ in busy:
                database.executemany("insert into outcome values (?, ?)", pipe.recv())
            if turn * length % TRANSACTION == 0:
                database.commit()
        for pipe in pipes:
            pipe.send(None)
        for child in multiprocessing.active_children():
            child.join()
        database.commit()
        database.close()
    return timed.figures()


def opened(folder: Path) -> sqlite3.Connection:
    database = sqlite3.connect(folder / "outcomes.sqlite")
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = normal")
    database.execute("create table if not exists outcome (key blob primary key, value text) without rowid")
    return database


def warm(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        stored = dict(opened(folder).execute("select key, value from outcome"))
        values = [json.loads(stored[key_of(x)]) for x in range(size)]
    check(values, [trivial(x) for x in range(size)])
    return timed.figures()


def eager(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        excluded = {(rule["a"], rule["b"]) for rule in EXCLUDED}
        found = [point for point in itertools.product(AXIS, AXIS, AXIS) if point[:2] not in excluded]
    check(len(found), LEFT_OF_A_MILLION)
    return timed.figures()


def keys(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        digests = [[sha256(repr(value).encode()).digest()[:16] for value in axis] for axis in KEYED.values()]
        found = [sha256(b"experiment" + b"".join(point)).digest()[:16] for point in itertools.product(*digests)]
    check(len(set(found)), size)
    return timed.figures()


def store(size: int, folder: Path) -> Figures:
    import numpy  # noqa: F401 - not part of what is measured

    with Timed() as timed:
        for x in range(size):
            (folder / str(x)).write_bytes(memoryview(large(x)))
    return timed.figures()


def fetch(size: int, folder: Path) -> Figures:
    import numpy

    with Reading() as timed:
        arrays = [numpy.memmap(folder / str(x), dtype="float64", mode="r") for x in range(size)]
    return timed.of(arrays)


def metrics(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        xs, ys = array("d"), array("d")
        for step in range(size):
            xs.append(time.time())
            ys.append(value_of(step))
        (folder / "metrics").write_bytes(xs.tobytes() + ys.tobytes())
    return timed.figures()


JOBS = {
    "cold": cold,
    "warm": warm,
    "eager": eager,
    "keys": keys,
    "store": store,
    "fetch": fetch,
    "metrics": metrics,
    "sleep": sleep,
}
