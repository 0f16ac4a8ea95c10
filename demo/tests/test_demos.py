"""Each demonstration runs as a person would run it, and prints what its documentation promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DEMOS = Path(__file__).parents[1]
PNG = b"\x89PNG\r\n\x1a\n"


def run(name: str, output: Path) -> str:
    command = [sys.executable, "-W", "error", str(DEMOS / name), "--output", str(output)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=output.parent, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_the_second_run_of_the_classifiers_takes_everything_from_the_store(tmp_path):
    printed = run("classifiers.py", tmp_path / "output")

    assert re.findall(r"(\d+) computed, (\d+) from the store", printed) == [("57", "0"), ("0", "57")]

    printed = run("classifiers.py", tmp_path / "output")

    assert re.findall(r"(\d+) computed, (\d+) from the store", printed) == [("0", "57"), ("0", "57")]


def test_the_classifiers_end_in_a_table_a_plot_and_a_csv_file(tmp_path):
    printed = run("classifiers.py", tmp_path)

    (header,) = re.findall(r"^dataset.*$", printed, re.MULTILINE)
    assert header.split() == ["dataset", "breast_cancer", "digits", "iris", "wine"]
    (boosting,) = re.findall(r"^.*GradientBoostingClassifier .*$", printed, re.MULTILINE)
    cells = boosting.split()
    assert cells[2] == "–"
    assert all(0.9 < float(cell) <= 1.0 for cell in (cells[1], cells[3], cells[4]))
    assert (tmp_path / "classifiers.png").read_bytes().startswith(PNG)
    assert len((tmp_path / "classifiers.csv").read_text().splitlines()) == 1 + 57


def test_each_failure_is_told_apart_and_only_failures_are_tried_again(tmp_path):
    printed = run("failures.py", tmp_path)

    rows = [re.split(r" {2,}", line)[:3] for line in printed.splitlines() if " attempt" in line][:6]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["works", "succeeded", "1 attempt"],
        ["raises", "failed", "1 attempt"],
        ["crashes", "killed", "2 attempts"],
        ["hangs", "timed out", "1 attempt"],
        ["flaky", "succeeded", "2 attempts"],
        ["works too", "succeeded", "1 attempt"],
    ]
    assert "was kept: 'this is raises'" in printed
    assert "ValueError: a learning rate below zero" in printed
    assert "3 exceptions in one; its .results has all 6 results" in printed


def test_a_killed_experiment_goes_on_at_its_last_checkpoint(tmp_path):
    printed = run("checkpoints.py", tmp_path)

    assert [line.strip() for line in printed.splitlines() if line.startswith(("rate", "  attempt"))] == [
        "rate 0.1: x = 3.0000, status succeeded",
        "attempt 1: killed    attempt 1 begins at step 0",
        "attempt 2: succeeded attempt 2 begins at step 60",
        "rate 0.02: x = 2.9494, status succeeded",
        "attempt 1: killed    attempt 1 begins at step 0",
        "attempt 2: succeeded attempt 2 begins at step 60",
    ]
