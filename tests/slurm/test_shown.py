"""What the page and the demonstration show is true of a real cluster."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from memento import Memento, SlurmExecutor
from tests.slurm.cluster import jobs, running, until

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


def waits_or_dies(context: Any, config: Any) -> int:
    Path(config.folder, f"{config.n}.begun").touch()
    while not Path(config.folder, "go").exists():
        time.sleep(0.1)
    if config.n == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(config.n)


def test_status_names_the_jobs_that_run_and_afterwards_where_and_how_one_failed(tmp_path: Path) -> None:
    asked = {"parameters": {"n": [0, 1], "folder": [str(tmp_path)]}}
    memento = Memento(waits_or_dies, executor=SlurmExecutor(pack=1))
    memento.run(asked, wait=False)
    until(lambda: len(list(tmp_path.glob("*.begun"))) == 2)

    said = run("-m", "memento", "status", folder=tmp_path)

    for job in running():
        assert re.search(rf"^{job.job}_{job.index} +{job.node} +RUNNING +- +0 +1 +0 +\{{.*\"{job.index}\"", said, re.M)
    assert " left in slurm " in said
    (tmp_path / "go").touch()
    failing = next(job for job in running() if job.index == 1)
    until(lambda: not jobs())
    said = run("-m", "memento", "status", folder=tmp_path)  # nobody has taken in what was delivered
    assert re.search(rf"^killed +killed +signal 9 +{failing.node} +{failing.job}_1 +1 ", said, re.M)
    assert re.search(r"^tests\S+:waits_or_dies +1 +1 +0 +0 +0 +killed 1$", said, re.M)

    memento.run(asked, on_error="return")  # takes it in, and tries the failure once more

    said = run("-m", "memento", "status", folder=tmp_path)
    assert re.search(r"^killed +killed +signal 9 +\w+ +\d+_0 +1 ", said, re.M)
    assert f" {failing.job}_1 " not in said
