"""The demonstration of records runs as a person would run it, and prints what its documentation promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[1] / "records.py"


def printed_by(output: Path) -> str:
    command = [sys.executable, "-W", "error", str(DEMO), "--output", str(output)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=output.parent, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_what_was_recorded_before_the_error_is_kept_and_the_next_try_has_the_same_number(tmp_path):
    printed = printed_by(tmp_path / "output")

    assert printed.splitlines()[0] == "broken off: the machine is gone"
    assert re.findall(r"experiment (\d), error (\d), had an error: (\w+): (\d+) records", printed) == [
        ("1", "1", "True", "6"),
        ("1", "0", "False", "60"),
    ]
    assert "'note': 'known only at the end, and part of every record'" in printed

    best = {
        name: float(best) for name, best in re.findall(r"^(\w+) +loss .* best accuracy (.*)$", printed, re.MULTILINE)
    }
    assert list(best) == ["slow", "steady", "hasty"]
    assert best["slow"] < best["steady"]

    printed = printed_by(tmp_path / "output")

    assert [row[0] for row in re.findall(r"experiment (\d), error (\d)", printed)] == ["1", "1", "2", "2"]
