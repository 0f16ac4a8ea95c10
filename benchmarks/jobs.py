"""What is measured: the systems, the jobs that each can do, and the rows of the table with what they are to reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Figures = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class System:
    """One library in one way of using it, or the limit.

    `heavy` systems are so slow that they run once where others run in every round.
    """

    module: str
    environment: str
    variables: Mapping[str, str] = field(default_factory=dict)
    heavy: bool = False


OURS, LIMIT = "memento", "limit"
SYSTEMS: Mapping[str, System] = {
    OURS: System(module="ours", environment="memento"),
    LIMIT: System(module="limit", environment="memento"),
    "exca": System(module="exca_", environment="exca"),
    "exca, as it comes": System(module="exca_", environment="exca", variables={"AS_IT_COMES": "1"}),
    "redun": System(module="redun_", environment="redun"),
    "memento-ml": System(module="memento_ml", environment="memento-ml", heavy=True),
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """Something that several systems do in turn: its stages one after another on one folder, each a fresh process."""

    name: str
    stages: tuple[str, ...]
    size: int
    systems: tuple[str, ...]
    limit_of_seconds: float = 120.0
    quick: bool = True


JOBS = (
    Job(
        name="trivial 10,000",
        stages=("cold", "warm"),
        size=10_000,
        systems=(OURS, "exca", "exca, as it comes", "memento-ml", LIMIT),
        limit_of_seconds=240,
    ),
    Job(
        name="trivial 100,000",
        stages=("cold", "warm"),
        size=100_000,
        systems=(OURS, "exca", "exca, as it comes", LIMIT),
        quick=False,
    ),
    Job(name="keys", stages=("keys",), size=100_000, systems=(OURS, "memento-ml", "redun", LIMIT)),
)

IMPORT = "import"
# Timed as whole processes, and bare Python's subtracted: the package, and then what a script begins with.
IMPORTS: Mapping[str, Mapping[str, str]] = {
    "package": {
        OURS: "import memento",
        "memento-ml": "import memento",
        "exca": "import exca",
        "redun": "import redun",
    },
    "script": {
        OURS: "from memento import Memento",
        "memento-ml": "from memento import Memento",
        "exca": "from exca import MapInfra",
        "redun": "from redun import Scheduler, task",
    },
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table: which figure of which stage, and what it is to reach.

    `reach` says so in words; `holds` gets the medians by system, and the median of the ratios of each round to ours.
    """

    title: str
    unit: str
    job: str
    stage: str
    figure: Callable[[Figures], float]
    reach: str
    holds: Callable[[Mapping[str, float], Mapping[str, float]], bool]
    more_is_better: bool = False


def per_second(size: int) -> Callable[[Figures], float]:
    return lambda figures: size / figures["seconds"]


def each(size: int, unit: float) -> Callable[[Figures], float]:
    return lambda figures: figures["seconds"] / size / unit


def times_exca(least: float) -> Callable[[Mapping[str, float], Mapping[str, float]], bool]:
    return lambda medians, ratios: ratios.get("exca", 0) >= least


def at_most(bound: float) -> Callable[[Mapping[str, float], Mapping[str, float]], bool]:
    return lambda medians, ratios: medians[OURS] <= bound


ROWS = (
    Row(
        title="cold, 10,000 trivial experiments, stored",
        unit="tasks/s",
        job="trivial 10,000",
        stage="cold",
        figure=per_second(10_000),
        reach="≥ 2.5 × exca and ≥ 250 × memento-ml",
        holds=lambda medians, ratios: ratios.get("exca", 0) >= 2.5 and ratios.get("memento-ml", 250) >= 250,
        more_is_better=True,
    ),
    Row(
        title="cold, 100,000",
        unit="tasks/s",
        job="trivial 100,000",
        stage="cold",
        figure=per_second(100_000),
        reach="≥ 1.5 × exca",
        holds=times_exca(1.5),
        more_is_better=True,
    ),
    Row(
        title="the same again, all stored, 10,000, status and value of each read",
        unit="tasks/s",
        job="trivial 10,000",
        stage="warm",
        figure=per_second(10_000),
        reach="≥ 2 × exca",
        holds=times_exca(2),
        more_is_better=True,
    ),
    Row(
        title="the same, 100,000",
        unit="tasks/s",
        job="trivial 100,000",
        stage="warm",
        figure=per_second(100_000),
        reach="≥ 1.2 × exca",
        holds=times_exca(1.2),
        more_is_better=True,
    ),
    Row(
        title="files after 10,000",
        unit="files",
        job="trivial 10,000",
        stage="cold",
        figure=lambda figures: figures["files"],
        reach="≤ 10",
        holds=at_most(10),
    ),
    Row(
        title="peak memory of the orchestrator, 100,000",
        unit="MB",
        job="trivial 100,000",
        stage="cold",
        figure=lambda figures: figures["peak"],
        reach="≤ 150",
        holds=at_most(150),
    ),
    Row(
        title="key of a configuration, amortised over a matrix",
        unit="µs",
        job="keys",
        stage="keys",
        figure=each(100_000, 1e-6),
        reach="≤ 2.5",
        holds=at_most(2.5),
    ),
    Row(
        title="import above bare Python",
        unit="ms",
        job=IMPORT,
        stage="package",
        figure=lambda figures: figures["seconds"] * 1000,
        reach="≤ 40",
        holds=at_most(40),
    ),
    Row(
        title="the same, with `from memento import Memento`",
        unit="ms",
        job=IMPORT,
        stage="script",
        figure=lambda figures: figures["seconds"] * 1000,
        reach="≤ 40",
        holds=at_most(40),
    ),
)
