"""Measures memento, its peers and the limit of each job in one run, and writes benchmarks/RESULTS.md.

    make bench                      everything, about twenty minutes
    make bench ARGS=--quick         the short jobs, two rounds, printed and not written
    make bench ARGS="--rounds 9"    more rounds

What is timed, and what is not, is said in `HOW`, which stands on the page as well.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.environments import ENVIRONMENTS, prepare
from benchmarks.growth import describe, draw, measure_growth
from benchmarks.measuring import measure
from benchmarks.peers import OURS
from benchmarks.report import machine, report

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
PICTURE = "growth.png"
GROWTH_MINUTES = 6
HOW = """
What is timed is the call that runs the job, the start and the end of its workers included; the start of the
interpreter and the import of the library are not, for any system. Each run is a fresh process on an empty folder. The
systems take turns within each round, so that a slow minute of the machine falls on all of them, and each round begins
with another one. Each program checks that all results are there and right; where they are not, there is no figure.

Before a system stores the large arrays, 1.5 GB are written and removed outside the clock: a virtual machine gives idle
memory back to its host and gets it again slowly, which cost whoever came first up to a second.
"""


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the short jobs, two rounds, printed and not written")
    parser.add_argument("--rounds", type=int, help="how often each job is measured (5, or 2 with --quick)")
    parser.add_argument("--minutes", type=float, default=16, help="begin nothing of a further round after so long (16)")
    parser.add_argument("--output", type=Path, help=f"where to write ({RESULTS.name}; with --quick nowhere)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # so that what is being measured ends too
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    where = machine()
    interpreters, missing = prepare(ENVIRONMENTS)
    measured = measure(interpreters, missing, rounds=rounds, minutes=arguments.minutes, quick=arguments.quick)
    output = arguments.output or (None if arguments.quick else RESULTS)
    growth = _growth(interpreters, quick=arguments.quick, beside=output)
    form = "make bench ARGS=--quick" if arguments.quick else "make bench"
    text = report(measured, f"Made by `{form}`, {rounds} rounds.\n\n{where}\n\n{' '.join(HOW.split())}", growth)
    print(text)
    if output is not None:
        output.write_text(text)


def _growth(interpreters: Mapping[str, Path], *, quick: bool, beside: Path | None) -> list[str]:
    """Return the page's part on growth; its plot is written into the folder of the page."""
    if OURS not in interpreters:
        return ["Not measured."]
    print("growth", flush=True)
    curves = measure_growth(interpreters[OURS], quick=quick, minutes=GROWTH_MINUTES)
    drawn = beside is not None and draw(curves, beside.with_name(PICTURE))
    return describe(curves, PICTURE if drawn else None)


if __name__ == "__main__":
    main()
