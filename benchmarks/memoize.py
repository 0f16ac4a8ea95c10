"""Measures what a call costs that is remembered on the disk, beside joblib's and diskcache's; prints JSON.

    python -m benchmarks.memoize              the peers in environments of their own, made when they are missing

The systems take turns, each time in a fresh process on an empty folder, so that a slow minute falls on all of them.
Told are the microseconds of one call, the best of the rounds: computed and stored (miss), and found (hit), first in the
process that computed it, then in another one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT, prepare

CALLS = 500
ROUNDS = 3
MOST_SECONDS = 300
PEERS = ("joblib", "diskcache")

PROGRAM = """
import json, os, sys, time
import numpy

system, calls, stage = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if system == "memento":
    from memento import memoize
    remember = memoize(store="kept")
elif system == "joblib":
    import joblib
    remember = joblib.Memory("kept", verbose=0).cache
else:
    import diskcache
    remember = diskcache.Cache("kept", size_limit=2**40, eviction_policy="none").memoize()

def number(x, y=2):
    return x * y

def record(x, y=2):
    return {"name": [x, y], "values": (1.5, None)}

def array(x, size=100_000):
    return numpy.full(size, float(x))

def timed(func, count):
    begun = time.perf_counter()
    for x in range(count):
        func(x)
    return (time.perf_counter() - begun) / count * 1e6

found = {}
for func, count in ((number, calls), (record, calls), (array, calls // 10)):
    remembering = remember(func)
    remembering(-1)  # opens what is to be opened
    if stage == "first":
        found[f"{func.__name__}, miss"] = timed(remembering, count)
        found[f"{func.__name__}, hit"] = min(timed(remembering, count) for _ in range(3))
    else:
        found[f"{func.__name__}, hit in another process"] = timed(remembering, count)
print(json.dumps(found))
"""


def measured(system: str, interpreter: Path | str, calls: int) -> Mapping[str, float]:
    """Return the microseconds of one call of each kind."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.py")  # joblib finds the functions' code in a file
        program.write_text(PROGRAM)
        for stage in ("first", "second"):
            done = subprocess.run(
                [str(interpreter), str(program), system, str(calls), stage],
                cwd=folder,
                env={"PYTHONPATH": str(ROOT)} if system == "memento" else {},
                capture_output=True,
                text=True,
                timeout=MOST_SECONDS,
                check=True,
            )
            found.update(json.loads(done.stdout))
    return found


def compare(interpreters: Mapping[str, Path | str], *, calls: int, rounds: int) -> Mapping[str, Any]:
    """Return the microseconds of each kind of call with each system."""
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for system, interpreter in interpreters.items():
            for name, cost in measured(system, interpreter, calls).items():
                costs = best.setdefault(name, {})
                costs[system] = min(cost, costs.get(system, cost))
    told = {name: {system: round(cost, 1) for system, cost in costs.items()} for name, costs in best.items()}
    return {"calls": calls, "rounds": rounds, "microseconds": told}


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    ready, failed = prepare(PEERS)
    for system, reason in failed.items():
        print(f"no environment for {system}: {reason}", file=sys.stderr)
    interpreters = {"memento": sys.executable, **ready}
    print(json.dumps(compare(interpreters, calls=arguments.calls, rounds=arguments.rounds), indent=2))


if __name__ == "__main__":
    main()
