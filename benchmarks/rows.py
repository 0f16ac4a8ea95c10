"""The rows of the table: a figure of a job, and what it is to reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.jobs import IMPORT
from benchmarks.peers import OURS

Figures = Mapping[str, Any]
Holds = Callable[[Mapping[str, float], Mapping[str, float]], bool | None]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table: which figure of which stage, and what it is to reach.

    `reach` says so in words. `holds` says whether it is reached, from the medians of all systems, and from how many
    times better than each of them memento was in the median round; None where that was not measured.
    """

    title: str
    unit: str
    job: str
    stage: str
    figure: Callable[[Figures], float]
    reach: str
    holds: Holds
    more_is_better: bool = False
    detailed: bool = True


def per_second(size: int) -> Callable[[Figures], float]:
    return lambda figures: size / figures["seconds"]


def each(size: int, unit: float) -> Callable[[Figures], float]:
    return lambda figures: figures["seconds"] / size / unit


def figure(name: str, over: float = 1) -> Callable[[Figures], float]:
    return lambda figures: figures[name] / over


def times(*bounds: tuple[str, float]) -> Holds:
    """Return whether memento is so many times better than each of these; None if one of them did not run."""

    def holds(medians: Mapping[str, float], ratios: Mapping[str, float]) -> bool | None:
        if any(system not in ratios for system, _ in bounds):
            return None
        return all(ratios[system] >= bound for system, bound in bounds)

    return holds


def at_most(bound: float) -> Holds:
    return lambda medians, ratios: medians[OURS] <= bound


def nothing_asked(medians: Mapping[str, float], ratios: Mapping[str, float]) -> None:
    return None


ROWS = (
    Row(
        title="cold, 10,000 trivial experiments, stored",
        unit="tasks/s",
        job="trivial 10,000",
        stage="cold",
        figure=per_second(10_000),
        reach="≥ 2.5 × exca",
        holds=times(("exca", 2.5), ("exca, as it comes", 2.5)),
        more_is_better=True,
    ),
    Row(
        title="the same",
        unit="tasks/s",
        job="trivial 10,000",
        stage="cold",
        figure=per_second(10_000),
        reach="≥ 250 × memento-ml",
        holds=times(("memento-ml", 250)),
        more_is_better=True,
        detailed=False,
    ),
    Row(
        title="cold, 100,000",
        unit="tasks/s",
        job="trivial 100,000",
        stage="cold",
        figure=per_second(100_000),
        reach="≥ 1.5 × exca",
        holds=times(("exca", 1.5), ("exca, as it comes", 1.5)),
        more_is_better=True,
    ),
    Row(
        title="the same again, all stored, 10,000, status and value of each read",
        unit="tasks/s",
        job="trivial 10,000",
        stage="warm",
        figure=per_second(10_000),
        reach="≥ 2 × exca",
        holds=times(("exca", 2), ("exca, as it comes", 2)),
        more_is_better=True,
    ),
    Row(
        title="the same, 100,000",
        unit="tasks/s",
        job="trivial 100,000",
        stage="warm",
        figure=per_second(100_000),
        reach="≥ 1.2 × exca",
        holds=times(("exca", 1.2), ("exca, as it comes", 1.2)),
        more_is_better=True,
    ),
    Row(
        title="files after 10,000",
        unit="files",
        job="trivial 10,000",
        stage="cold",
        figure=figure("files"),
        reach="≤ 10",
        holds=at_most(10),
    ),
    Row(
        title="a million configurations, 20 exclude rules, as a list",
        unit="s",
        job="million",
        stage="eager",
        figure=figure("seconds"),
        reach="≤ 0.8",
        holds=at_most(0.8),
    ),
    Row(
        title="the same, peak memory",
        unit="MB",
        job="million",
        stage="eager",
        figure=figure("peak"),
        reach="–",
        holds=nothing_asked,
    ),
    Row(
        title="the same million lazily: counted, and one in the middle looked at",
        unit="s",
        job="million, lazily",
        stage="lazy",
        figure=figure("seconds"),
        reach="≤ 0.1",
        holds=at_most(0.1),
    ),
    Row(
        title="the same, memory over bare Python, with the library",
        unit="MB",
        job="million, lazily",
        stage="lazy",
        figure=figure("above"),
        reach="≤ 20",
        holds=at_most(20),
    ),
    Row(
        title="key of a configuration without arrays, amortised over a matrix",
        unit="µs",
        job="keys",
        stage="keys",
        figure=each(100_000, 1e-6),
        reach="≤ 2.5",
        holds=at_most(2.5),
    ),
    Row(
        title="100 results of 10 MB, stored from workers",
        unit="s",
        job="arrays",
        stage="store",
        figure=figure("seconds"),
        reach="≤ 1.5",
        holds=at_most(1.5),
    ),
    Row(
        title="the same, bytes on disk over bytes of the arrays",
        unit="×",
        job="arrays",
        stage="store",
        figure=figure("bytes", over=100 * 10_000_000),
        reach="1.0",
        holds=at_most(1.01),
    ),
    Row(
        title="the same read back, the first and last number of each looked at",
        unit="s",
        job="arrays",
        stage="fetch",
        figure=figure("seconds"),
        reach="–",
        holds=nothing_asked,
    ),
    Row(
        title="the same read back, private memory for each array of 10 MB",
        unit="MB",
        job="arrays",
        stage="fetch",
        figure=figure("private"),
        reach="without a copy: ≤ 0.1",
        holds=at_most(0.1),
    ),
    Row(
        title="a million metric points, recorded and stored",
        unit="ns each",
        job="metrics",
        stage="metrics",
        figure=each(1_000_000, 1e-9),
        reach="≤ 500",
        holds=at_most(500),
    ),
    Row(
        title="the same, on disk",
        unit="bytes each",
        job="metrics",
        stage="metrics",
        figure=figure("bytes", over=1_000_000),
        reach="≤ 20",
        holds=at_most(20),
    ),
    Row(
        title="import above bare Python",
        unit="ms",
        job=IMPORT,
        stage="package",
        figure=figure("seconds", over=1e-3),
        reach="≤ 40",
        holds=at_most(40),
    ),
    Row(
        title="the same, with `from memento import Memento`",
        unit="ms",
        job=IMPORT,
        stage="script",
        figure=figure("seconds", over=1e-3),
        reach="≤ 40",
        holds=at_most(40),
    ),
    Row(
        title="1,000 experiments of 100 ms: time over the ideal 50 s",
        unit="%",
        job="sleep",
        stage="sleep",
        figure=lambda figures: 100 * (figures["seconds"] / 50 - 1),
        reach="≤ 1",
        holds=at_most(1),
    ),
    Row(
        title="peak memory of the orchestrator, 100,000 configurations",
        unit="MB",
        job="trivial 100,000",
        stage="cold",
        figure=figure("peak"),
        reach="≤ 150",
        holds=at_most(150),
    ),
)
