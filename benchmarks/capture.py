"""Measures what a remembered call costs, beside memo and beside the call alone; prints JSON.

    python -m benchmarks.capture                       memo in an environment of its own, made when it is missing
    python -m benchmarks.capture --peer INTERPRETER    memo in the environment of that interpreter

The systems take turns, each time in a fresh process, so that a slow minute falls on all of them. Told are the
microseconds of one call, the best of the rounds at 100,000 calls each, and how many plain calls it costs.
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

ROOT = Path(__file__).resolve().parent.parent
CALLS = 100_000
ROUNDS = 3
MOST_SECONDS = 600

# The same program for both: they share their names.
PROGRAM = """
import importlib, json, os, sys, time

module, calls = sys.argv[1], int(sys.argv[2])
library = importlib.import_module(module)
data = []

def work(number, factor):
    return {"product": number * factor}

def timed(func):
    begun = time.perf_counter()
    for number in range(calls):
        func(number=number, factor=3)
    return (time.perf_counter() - begun) / calls * 1e6

jobs = {
    "a plain call": work,
    "memlist": library.memlist(data=data)(work),
    "memlist and time_taken": library.memlist(data=data)(library.time_taken()(work)),
    "memfile": library.memfile(filepath="results.jsonl")(work),
}
found = {}
for name, func in jobs.items():
    data.clear()
    found[name] = timed(func)
with open("results.jsonl") as file:
    assert sum(1 for _ in file) == calls
skipping = library.memfile(filepath="skipped.jsonl", skip=True)(work)
few = 200  # one that reads its whole file at each call would take hours for more
begun = time.perf_counter()
for _ in range(2):
    for number in range(few):
        skipping(number=number, factor=3)
found["memfile that skips, 2 x 200 calls"] = (time.perf_counter() - begun) / (2 * few) * 1e6
print(json.dumps(found))
"""


def measured(interpreter: Path | str, module: str, calls: int) -> Mapping[str, float]:
    """Return the microseconds of one call of each kind, measured in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(interpreter).absolute()), "-c", PROGRAM, module, str(calls)]
        environment = {"PYTHONPATH": str(ROOT)} if module == "memento" else {}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS, check=True
        )
    found: Mapping[str, float] = json.loads(done.stdout)
    return found


def compare(peer: Path | str, *, calls: int = CALLS, rounds: int = ROUNDS) -> Mapping[str, Any]:
    """Return the figures of memento, those of memo under the interpreter `peer`, and the ratio of the two."""
    systems = {"memento": sys.executable, "memo": peer}
    best: dict[str, dict[str, float]] = {module: {} for module in systems}
    for _ in range(rounds):
        for module, interpreter in systems.items():
            for name, cost in measured(interpreter, module, calls).items():
                best[module][name] = min(cost, best[module].get(name, cost))
    figures: dict[str, Any] = {
        module: {
            name: {"microseconds": round(cost, 2), "plain calls": round(cost / costs["a plain call"], 1)}
            for name, cost in costs.items()
        }
        for module, costs in best.items()
    }
    ratios = {name: round(cost / best["memento"][name], 2) for name, cost in best["memo"].items()}
    return {"calls": calls, "rounds": rounds, **figures, "memo / memento": ratios}


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="an interpreter that has memo; by default one is made")
    parser.add_argument("--calls", type=int, default=CALLS)
    arguments = parser.parse_args()
    peer = arguments.peer
    if peer is None:
        from benchmarks.environments import prepare

        ready, failed = prepare(["memo"])
        if failed:
            raise SystemExit(f"no environment for memo: {failed['memo']}")
        peer = ready["memo"]
    print(json.dumps(compare(peer, calls=arguments.calls), indent=2))


if __name__ == "__main__":
    main()
