"""What the page and the demonstration show is true of a real cluster."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*command: str, folder: Path) -> str:
    finished = subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_the_programs_of_the_page_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "slurm.md").read_text()
    (tmp_path / "page.py").write_text("\n".join(re.findall(r"^```py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)))

    assert run("page.py", folder=tmp_path).splitlines()[0] == "[0.3487, 0.1074, 0.0282]"


def test_the_demonstration_ends_as_it_says(tmp_path: Path) -> None:
    printed = run(str(ROOT / "demo" / "slurm.py"), "--output", str(tmp_path), folder=tmp_path)

    assert "10 Slurm jobs would be submitted by 1 sbatch:" in printed
    assert "{'megabytes': 400} had 500 MB in the end" in printed
    assert "And once more: 40 of 40 from the store, without a job" in printed
