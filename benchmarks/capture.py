"""Measures what a remembered call costs, beside memo and beside the call alone; prints JSON.

    python -m benchmarks.capture                       memo in an environment of its own, made when it is missing
    python -m benchmarks.capture --peer INTERPRETER    memo in the environment of that interpreter

Each system is a fresh process, and does the jobs in turn, so that a slow minute falls on all of them. Told are the
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

module, calls, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
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
best = {}
for _ in range(rounds):
    for name, func in jobs.items():
        data.clear()
        best[name] = min(best.get(name, float("inf")), timed(func))
with open("results.jsonl") as file:
    assert sum(1 for _ in file) == calls * rounds
skipping = library.memfile(filepath="skipped.jsonl", skip=True)(work)
few = 200  # one that reads its whole file at each call would take hours for more
begun = time.perf_counter()
for _ in range(2):
    for number in range(few):
        skipping(number=number, factor=3)
best["memfile that skips, 2 x 200 calls"] = (time.perf_counter() - begun) / (2 * few) * 1e6
print(json.dumps(best))
"""


def measured(interpreter: Path | str, module: str, *, calls: int = CALLS, rounds: int = ROUNDS) -> Mapping[str, Any]:
    """Return the microseconds of one call of each kind, and how many plain calls that is."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(interpreter), "-c", PROGRAM, module, str(calls), str(rounds)]
        environment = {"PYTHONPATH": str(ROOT)} if module == "memento" else {}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS, check=True
        )
    found: dict[str, float] = json.loads(done.stdout)
    plain = found["a plain call"]
    return {
        name: {"microseconds": round(cost, 3), "plain calls": round(cost / plain, 1)} for name, cost in found.items()
    }


def compare(peer: Path | str, *, calls: int = CALLS, rounds: int = ROUNDS) -> Mapping[str, Any]:
    """Return the figures of memento, those of memo under the interpreter `peer`, and the ratio of the two."""
    ours = measured(sys.executable, "memento", calls=calls, rounds=rounds)
    theirs = measured(peer, "memo", calls=calls, rounds=rounds)
    ratios = {name: round(theirs[name]["microseconds"] / ours[name]["microseconds"], 2) for name in ours}
    return {"calls": calls, "rounds": rounds, "memento": ours, "memo": theirs, "memo / memento": ratios}


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
