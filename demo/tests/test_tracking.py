"""The demonstration of tracking runs as a person would run it, and prints what its documentation promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_the_matrix_is_in_mlflow_once_also_where_it_could_not_be_reached_at_first(tmp_path):
    command = [sys.executable, str(Path(__file__).parents[1] / "tracking.py"), "--output", str(tmp_path / "output")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    assert re.findall(
        r"^  (rate=\S+ start=\S+) +(\w+) +(\d+) (\w*)", done.stdout.replace(", ", " "), re.MULTILINE
    ) == 2 * [
        ("rate=0.05 start=0.0", "FINISHED", "20", ""),
        ("rate=0.05 start=10.0", "FINISHED", "20", ""),
        ("rate=0.3 start=0.0", "FINISHED", "20", ""),
        ("rate=0.3 start=10.0", "FINISHED", "20", ""),
        ("rate=1.1 start=0.0", "FAILED", "20", "ArithmeticError"),
        ("rate=1.1 start=10.0", "FAILED", "20", "ArithmeticError"),
    ]
    assert "8 nested runs" in done.stdout
    assert "With a database that cannot be reached: 1 warning" in done.stdout
    assert "sync delivered 6, 0 left" in done.stdout
