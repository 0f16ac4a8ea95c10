"""Functions that remember work inside an experiment of Memento, and as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memento import Memento, memfile, memlist, read_memfile, time_taken

ROOT = Path(__file__).parents[2]

SCRIPT = """
from memento import Memento, memfile, memlist, time_taken

data = []

@memfile("calls.jsonl")
@memlist(data)
@time_taken()
def helper(x, power=2):
    return {"y": x ** power}

def experiment(x):
    return helper(x)["y"] + helper(x, power=3)["y"]

print([result.inner for result in Memento(experiment, num_workers=2).run({"parameters": {"x": [1, 2, 3]}})])

@memfile("experiments.jsonl")
def recorded(context, config):
    return {"y": config.x}

print([result.inner for result in Memento(recorded, num_workers=2).run({"parameters": {"x": [1, 2, 3]}})])
"""


def test_calls_in_worker_processes_are_in_the_file(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MEMENTO_CACHE_PATH": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == "[2, 12, 36]\n[{'y': 1}, {'y': 2}, {'y': 3}]\n"
    records = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    assert sorted((r["x"], r["power"], r["y"]) for r in records) == [
        (1, 2, 1), (1, 3, 1), (2, 2, 4), (2, 3, 8), (3, 2, 9), (3, 3, 27),
    ]  # fmt: skip
    assert all(record["time_taken"] == 0.0 for record in records)
    assert sorted(record["y"] for record in read_memfile(tmp_path / "experiments.jsonl")) == [1, 2, 3]


@pytest.mark.parametrize("executor", ["serial", "threads"])
def test_in_this_process_lists_are_filled_too(executor, tmp_path):
    data = []

    @memfile(tmp_path / "calls.jsonl", skip=True)
    @memlist(data)
    @time_taken()
    def fit(x, depth=1):
        return {"score": x * depth}

    results = Memento(fit, executor=executor).run({"parameters": {"x": [1, 2], "depth": [3]}}, progress=False)

    assert [result.inner for result in results] == [{"score": 3}, {"score": 6}]
    assert sorted((r["x"], r["depth"], r["score"]) for r in data) == [(1, 3, 3), (2, 3, 6)]
    assert len(read_memfile(tmp_path / "calls.jsonl")) == 2


def test_the_code_of_the_function_itself_is_what_a_change_is_found_in():
    from memento.fingerprint.identity import identify

    def plain(x):
        return x + 1

    assert identify(memlist([])(plain)).code == identify(plain).code
