"""exca: `MapInfra` over a list of items, in its process pool, values as JSON lines in its folder."""

import os
import typing as tp
from pathlib import Path

import exca
import numpy as np
import pydantic
from common import WORKERS, Figures, Reading, Timed, check, large, trivial

# Its pool takes one worker less than there are CPUs. Told of one more, it gets as many as everybody else.
if "AS_IT_COMES" not in os.environ:
    os.cpu_count = lambda: WORKERS + 1  # type: ignore[assignment]


class Experiment(pydantic.BaseModel):
    infra: exca.MapInfra = exca.MapInfra()

    @infra.apply(item_uid=str)
    def process(self, items: list[int]) -> tp.Iterator[int]:
        for item in items:
            yield trivial(item)


def cold(size: int, folder: Path) -> Figures:
    experiment = Experiment(infra={"folder": folder, "cluster": "processpool", "max_jobs": WORKERS})
    with Timed() as timed:
        values = experiment.process(range(size))
    check(list(values), [trivial(x) for x in range(size)])
    return timed.figures()


def warm(size: int, folder: Path) -> Figures:
    experiment = Experiment(infra={"folder": folder, "cluster": "processpool", "max_jobs": WORKERS})
    with Timed() as timed:
        values = list(experiment.process(range(size)))
    check(values, [trivial(x) for x in range(size)])
    return timed.figures()


class Arrays(pydantic.BaseModel):
    infra: exca.MapInfra = exca.MapInfra(keep_in_ram=False)

    @infra.apply(item_uid=str, cache_type="MemmapArray")
    def process(self, items: list[int]) -> tp.Iterator[np.ndarray]:
        for item in items:
            yield large(item)


def store(size: int, folder: Path) -> Figures:
    experiment = Arrays(infra={"folder": folder, "cluster": "processpool", "max_jobs": WORKERS})
    with Timed() as timed:
        experiment.process(range(size))
    return timed.figures()


def fetch(size: int, folder: Path) -> Figures:
    experiment = Arrays(infra={"folder": folder, "cluster": "processpool", "max_jobs": WORKERS, "mode": "read-only"})
    with Reading() as timed:
        arrays = list(experiment.process(range(size)))
    return timed.of(arrays)


DISTRIBUTION = "exca"
JOBS = {"cold": cold, "warm": warm, "store": store, "fetch": fetch}
