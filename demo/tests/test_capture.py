"""The demonstration of functions that remember prints what its documentation promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[1] / "capture.py"


def run(output: Path) -> str:
    command = [sys.executable, "-W", "error", str(DEMO), "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=output, check=True).stdout


def test_the_second_run_computes_nothing_and_so_does_another_process(tmp_path):
    printed = run(tmp_path)

    assert printed.splitlines()[:2] == [
        "first run: 4 computed, 4 recorded in the list",
        "second run: 0 computed, 4 recorded in the list",
    ]
    found = re.findall(r"^(\d+) people, 2000 simulations: ([\d.]+)$", printed, re.MULTILINE)
    assert [int(size) for size, _ in found] == [10, 23, 40, 57]
    for (_, estimated), exact in zip(found, (0.117, 0.507, 0.891, 0.990), strict=True):
        assert abs(float(estimated) - exact) < 0.05

    assert run(tmp_path).startswith("first run: 0 computed, 4 recorded in the list")
