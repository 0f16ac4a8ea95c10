"""How each cost grows from a thousand configurations to a million: the fitted exponents and a plot."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.jobs import Job
from benchmarks.measuring import Failed, stages
from benchmarks.peers import GROWTH

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (1_000, 10_000)
# The small sizes are short, and noisy: they are measured more often.
TIMES = {1_000: 3, 10_000: 3, 100_000: 2}
STEPS = ("expand", "key", "plan, nothing stored", "claim, run and store", "plan, all stored", "read back")
LARGEST_EXPONENT = 1.1

Curves = Mapping[str, Mapping[int, float]]


def measure_growth(interpreter: Path, *, quick: bool, minutes: float) -> Curves:
    """Return the seconds of each step by the number of configurations.

    Sizes that failed are left out, and those for which ten times the time of the size before is not left.
    """
    found: dict[str, dict[int, list[float]]] = {step: {} for step in STEPS}
    deadline, expected = time.monotonic() + 60 * minutes, 0.0
    for size in QUICK_SIZES if quick else SIZES:
        if time.monotonic() + expected > deadline:
            print(f"  {size:,} configurations would take longer than the {minutes:g} minutes for growth", flush=True)
            break
        begun = time.monotonic()
        job = Job(name="growth", stages=STEPS, size=size, systems=(GROWTH,), limit_of_seconds=400)
        for _ in range(TIMES.get(size, 1)):
            try:
                for step, figures in stages(interpreter, GROWTH, job):
                    found[step].setdefault(size, []).append(figures["seconds"])
            except Failed as failure:
                print(f"  growth, {size:,}: {failure}", flush=True)
        expected = 10 * (time.monotonic() - begun) / TIMES.get(size, 1)
        told = ", ".join(f"{step} {found[step][size][-1]:.3f} s" for step in STEPS if size in found[step])
        print(f"  {size:,} configurations: {told}", flush=True)
    return {step: {size: statistics.median(some) for size, some in sizes.items()} for step, sizes in found.items()}


def exponent(curve: Mapping[int, float]) -> float:
    """Return the slope of the straight line that fits best on logarithmic axes: 1 is linear, 2 is quadratic.

    Raises:
        statistics.StatisticsError: fewer than two sizes were measured.
    """
    return statistics.linear_regression([math.log(size) for size in curve], [math.log(s) for s in curve.values()]).slope


def describe(curves: Curves, picture: str | None) -> list[str]:
    """Return the table of the growth as lines of Markdown."""
    sizes = sorted({size for curve in curves.values() for size in curve})
    if len(sizes) < 2:
        return ["Not measured."]
    lines = [
        "Seconds by the number of configurations, and the exponent of the line fitted to all sizes: none is to be "
        f"above {LARGEST_EXPONENT}. What does not grow, such as the start of two workers, flattens the beginning of a "
        "line; the last column is therefore the exponent between the two largest sizes alone.",
        "",
        f"| cost | {' | '.join(f'{size:,}' for size in sizes)} | exponent | reached | at the end |",
        f"|---|{'---|' * len(sizes)}---|---|---|",
    ]
    for step, curve in curves.items():
        cells = [f"{curve[size]:.4f}" if size in curve else "–" for size in sizes]
        if len(curve) < 2:
            lines.append(f"| {step} | {' | '.join(cells)} | – | no | – |")
            continue
        fitted, last = exponent(curve), exponent(_largest(curve))
        reached = "yes" if fitted <= LARGEST_EXPONENT else "**no**"
        lines.append(f"| {step} | {' | '.join(cells)} | {fitted:.2f} | {reached} | {last:.2f} |")
    return [*lines, "", f"![Seconds over configurations, both logarithmic]({picture})"] if picture else lines


def _largest(curve: Mapping[int, float]) -> Mapping[int, float]:
    chosen: Sequence[int] = sorted(curve)[-2:]
    return {size: curve[size] for size in chosen}


def draw(curves: Curves, path: Path) -> bool:
    """Draw the curves into a PNG at `path`; False if there is nothing to draw them with."""
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is not installed; run `make bench`, which installs it", flush=True)
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for step, curve in curves.items():
        axes.loglog(list(curve), list(curve.values()), marker="o", label=step)
    axes.set(xlabel="configurations", ylabel="seconds")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
    return True
