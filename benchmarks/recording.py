"""Measures what records cost, on their way in, on the disk and asked for, beside rigorous-recorder; prints JSON.

    python -m benchmarks.recording                       the peer in an environment of its own, made when it is missing
    python -m benchmarks.recording --peer INTERPRETER    the peer in the environment of that interpreter

Records of two values under three levels of keepers. Each measurement is a fresh process, the systems take turns, and
the best of the rounds counts. `recorded` is the microseconds of a record until its experiment has ended and all is on
the disk, and beside it the CPU time of that, which a busy machine disturbs less; `bytes` its share of the disk; `asked`
the milliseconds for the mean of a column over all records: of a collection that has just been opened, and again.
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
RECORDS = 1_000_000
ROUNDS = 5
MOST_SECONDS = 900
# The peer keeps every record as an object and takes minutes and gigabytes for a million.
PEER_RECORDS = 50_000

COMMON = """
import contextlib, json, os, random, sys, time
from pathlib import Path

count, how = int(sys.argv[1]), sys.argv[2]
generator = random.Random(1)
losses = [generator.random() for _ in range(count)]

def size_of(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
"""

OURS = (
    COMMON
    + """
from memento import ExperimentCollection

begun, busy = time.perf_counter(), time.process_time()
with ExperimentCollection("study").new_experiment() as experiment:
    keeper = experiment.sub_record_keeper(model="model1").sub_record_keeper(training=True)
    if how == "add_record":
        for index, loss in enumerate(losses):
            keeper.add_record({"index": index, "loss": loss})
    elif how == "push":
        for index, loss in enumerate(losses):
            keeper.push(index=index, loss=loss)
    else:
        for index, loss in enumerate(losses):
            keeper.pending_record["index"] = index
            keeper.pending_record["loss"] = loss
            keeper.commit_record()
recorded, busy = time.perf_counter() - begun, time.process_time() - busy
asked = []
for _ in range(2):
    collection = ExperimentCollection("study")
    for _ in range(2):
        begun = time.perf_counter()
        mean = collection.where(training=True, model="model1").mean("loss")
        asked.append(time.perf_counter() - begun)
assert abs(mean - sum(losses) / count) < 1e-9
size = size_of("study")
print(json.dumps([recorded / count * 1e6, busy / count * 1e6, size / count, asked[2] * 1e3, asked[3] * 1e3]))
"""
)

PEER = (
    COMMON
    + """
from rigorous_recorder import ExperimentCollection, RecordKeeper

with contextlib.redirect_stdout(sys.stderr):
    collection = ExperimentCollection("study", quiet=True)
    begun, busy = time.perf_counter(), time.process_time()
    with collection.new_experiment() as experiment:
        model = RecordKeeper(model="model1").set_parent(experiment)
        keeper = RecordKeeper(training=True).set_parent(model)
        if how == "push":
            for index, loss in enumerate(losses):
                keeper.push(index=index, loss=loss)
        else:
            for index, loss in enumerate(losses):
                keeper.pending_record["index"] = index
                keeper.pending_record["loss"] = loss
                keeper.commit()
    recorded, busy = time.perf_counter() - begun, time.process_time() - busy
    asked = []
    for _ in range(2):
        collection = ExperimentCollection("study", quiet=True)
        for _ in range(2):
            begun = time.perf_counter()
            chosen = [each["loss"] for each in collection.records if each["training"] and each["model"] == "model1"]
            mean = sum(chosen) / len(chosen)
            asked.append(time.perf_counter() - begun)
    assert abs(mean - sum(losses) / count) < 1e-9
size = size_of(".")
print(json.dumps([recorded / count * 1e6, busy / count * 1e6, size / count, asked[2] * 1e3, asked[3] * 1e3]))
"""
)
FIGURES = ("recorded", "recorded, CPU", "bytes", "asked first", "asked again")


def measured(interpreter: Path | str, program: str, how: str, count: int) -> Mapping[str, float]:
    """Return the figures of one process that records `count` records in the way `how` and asks for their mean."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(interpreter).absolute()), "-c", program, str(count), how]
        environment = {"PYTHONPATH": str(ROOT)} if program is OURS else {}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS, check=True
        )
    return dict(zip(FIGURES, json.loads(done.stdout.splitlines()[-1]), strict=True))


def compare(
    peer: Path | str, *, count: int = RECORDS, peer_count: int = PEER_RECORDS, rounds: int = ROUNDS
) -> Mapping[str, Any]:
    """Return the best figures of memento, and of rigorous-recorder under the interpreter `peer`, for each way."""
    jobs = [
        ("memento, add_record", sys.executable, OURS, "add_record", count),
        ("memento, push", sys.executable, OURS, "push", count),
        ("memento, commit_record", sys.executable, OURS, "commit_record", count),
        ("rigorous-recorder, push", peer, PEER, "push", peer_count),
        ("rigorous-recorder, commit", peer, PEER, "commit", peer_count),
    ]
    best: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for name, interpreter, program, how, size in jobs:
            found = measured(interpreter, program, how, size)
            known = best.setdefault(name, {"records": size, **found})
            known.update({figure: round(min(known[figure], value), 3) for figure, value in found.items()})
    return best


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="an interpreter that has rigorous-recorder; by default one is made")
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    peer = arguments.peer
    if peer is None:
        from benchmarks.environments import prepare

        ready, failed = prepare(["rigorous-recorder"])
        if failed:
            raise SystemExit(f"no environment for rigorous-recorder: {failed['rigorous-recorder']}")
        peer = ready["rigorous-recorder"]
    print(json.dumps(compare(peer, count=arguments.records, rounds=arguments.rounds), indent=2))


if __name__ == "__main__":
    main()
