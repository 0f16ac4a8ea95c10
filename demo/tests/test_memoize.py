"""The demonstration of functions that remember prints what its documentation promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[1] / "memoize.py"


def run(output: Path) -> str:
    command = [sys.executable, "-W", "error", str(DEMO), "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=output, check=True).stdout


def test_each_sum_is_computed_by_one_process_and_by_none_the_second_time(tmp_path):
    assert run(tmp_path) == "16 asked for, 8 computed, 8 of them different\nasking for 0 to 1000\n76127 76127\n"
    assert run(tmp_path) == "16 asked for, 0 computed, 0 of them different\nasking for 0 to 1000\n76127 76127\n"
