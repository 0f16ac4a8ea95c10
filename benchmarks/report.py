"""Writes what was measured as Markdown: the rows with what they are to reach, then every figure of every system."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.environments import ROOT
from benchmarks.jobs import IMPORT, IMPORTS, JOBS
from benchmarks.measuring import Measured
from benchmarks.peers import LIMIT, OURS, SYSTEMS
from benchmarks.rows import ROWS, Row


def report(measured: Measured, about: str, growth: Sequence[str]) -> str:
    """Return the whole page."""
    return "\n".join(
        [
            "# Results",
            "",
            about,
            "",
            "## Against what is to be reached",
            "",
            *_summary(measured),
            "",
            "## Growth",
            "",
            *growth,
            "",
            "## What each keeps",
            "",
            *_durability(),
            "",
            "## Every figure",
            "",
            "The median of the rounds, and the range. The ratio is the median of the rounds' ratios: how many "
            "times better memento is; below 1 it is worse.",
            "",
            *_details(measured),
            "",
            "## What failed",
            "",
            *_failures(measured),
            "",
            "## Versions",
            "",
            *(f"- {system}: {version}" for system, version in sorted(measured.versions.items())),
            "",
        ]
    )


def machine() -> str:
    """Return what this is measured on, as it is now, and which state of the code."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line.split(":", 1)[1].strip() for line in information.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    state = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return (
        f"Machine: {os.cpu_count()} CPUs ({processor}), {platform.system()} {platform.release()}, load at "
        f"the beginning {os.getloadavg()[0]:.1f}. The code: {state or 'not from a repository'}."
    )


def values(measured: Measured, row: Row) -> dict[str, dict[int, float]]:
    """Return the row's figure by system and round."""
    found = measured.figures.get((row.job, row.stage), {})
    return {system: {turn: row.figure(figures) for turn, figures in rounds.items()} for system, rounds in found.items()}


def ratios(row: Row, found: Mapping[str, Mapping[int, float]]) -> dict[str, float]:
    """Return how many times better memento is than each system: the median over the rounds that both have."""
    ours, result = found.get(OURS, {}), {}
    for system, theirs in found.items():
        pairs = [(ours[turn], theirs[turn]) for turn in ours.keys() & theirs.keys()]
        better = [
            mine / other if row.more_is_better else other / mine for mine, other in pairs if mine > 0 and other > 0
        ]
        if better and system != OURS:
            result[system] = statistics.median(better)
    return result


def _summary(measured: Measured) -> list[str]:
    lines = [
        "| job (2 workers) | memento | memento-ml | best peer | the limit | reach | reached |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        found = values(measured, row)
        medians = {system: statistics.median(rounds.values()) for system, rounds in found.items()}
        if OURS not in medians:
            reason = measured.failures.get((row.job, OURS), ["not measured"])[-1]
            lines.append(
                f"| {row.title}; {row.unit} | {_cell(reason)} | | | | {row.reach} | {verdict(row, measured)} |"
            )
            continue
        peers = {system: value for system, value in medians.items() if system not in (OURS, LIMIT, "memento-ml")}
        best = (max if row.more_is_better else min)(peers, key=lambda system: peers[system], default=None)
        cells = [
            f"{row.title}; {row.unit}",
            f"**{told(medians[OURS])}**",
            told(medians["memento-ml"]) if "memento-ml" in medians else "–",
            f"{best} {told(peers[best])}" if best else "–",
            told(medians[LIMIT]) if LIMIT in medians else "–",
            row.reach,
            verdict(row, measured),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def verdict(row: Row, measured: Measured) -> str:
    """Return whether what `row` is to reach was reached: yes, no, or – where that was not measured."""
    found = values(measured, row)
    if OURS not in found:
        return "**no**" if (row.job, OURS) in measured.failures else "–"
    medians = {system: statistics.median(rounds.values()) for system, rounds in found.items()}
    holds = row.holds(medians, ratios(row, found))
    return "–" if holds is None else "yes" if holds else "**no**"


def _durability() -> list[str]:
    lines = [
        "How each is used here, and what of the finished work is still there.",
        "",
        "| system | as used here | after every process was killed | after the power went |",
        "|---|---|---|---|",
    ]
    for name, system in SYSTEMS.items():
        if system.used:
            lines.append(f"| {name} | {system.used} | {system.killed or '–'} | {system.power or '–'} |")
    return lines


def _details(measured: Measured) -> list[str]:
    lines = ["| job | system | median | range | rounds | ratio |", "|---|---|---|---|---|---|"]
    for row in (row for row in ROWS if row.detailed):
        found = values(measured, row)
        better = ratios(row, found)
        for system, rounds in found.items():
            figures = sorted(rounds.values())
            cells = [
                f"{row.title}; {row.unit}",
                system,
                told(statistics.median(figures)),
                f"{told(figures[0])} to {told(figures[-1])}",
                str(len(figures)),
                f"{better[system]:.2f}" if system in better else "",
            ]
            lines.append(f"| {' | '.join(cells)} |")
        for (job, system), reasons in measured.failures.items():
            if job in ("", row.job) and system not in found and system in _asked(row):
                lines.append(f"| {row.title}; {row.unit} | {system} | {_cell(reasons[-1])} | | 0 | |")
    return lines


def _failures(measured: Measured) -> list[str]:
    found = [
        f"- {system}{f', {job}' if job else ''}, {len(reasons)} ×: {reasons[-1]}"
        for (job, system), reasons in measured.failures.items()
    ]
    return found or ["Nothing."]


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _asked(row: Row) -> Iterable[str]:
    """Return the systems that were to do the job of this row."""
    if row.job == IMPORT:
        return IMPORTS[row.stage]
    return next((*job.systems, *job.slow) for job in JOBS if job.name == row.job)


def told(value: float) -> str:
    """Return a number in about three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"
