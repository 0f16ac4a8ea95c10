"""A cluster to test against, checked before and cleared after each test.

These tests run where `sinfo` answers: `slurm-docker-cluster/native/up` brings such a cluster up. With
MEMENTO_SLURM=required a missing cluster is a failure; without, the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import jobs, restore, slurm, until

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cluster() -> str | None:
    """Why there is no cluster to test against, None if there is one."""
    if shutil.which("sinfo") is None:
        return "no Slurm is installed here; slurm-docker-cluster/native/up starts one"
    answer = subprocess.run(["timeout", "15", "sinfo", "--noheader"], capture_output=True, text=True, check=False)
    return None if answer.returncode == 0 else "no Slurm answers here; slurm-docker-cluster/native/up starts one"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slurm)
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(autouse=True)
def _clear_cluster(cluster: str | None) -> Iterator[None]:
    """The test begins and ends with an empty queue, and with all nodes up."""
    if cluster is not None:
        (pytest.fail if os.environ.get("MEMENTO_SLURM") == "required" else pytest.skip)(cluster)
    yield
    mine = sorted({job.job for job in jobs()})
    if mine:
        slurm("scancel", "--quiet", *mine)
        slurm("scancel", "--quiet", "--signal=KILL", "--full", *mine)
    until(lambda: not jobs(), 60)
    states = slurm("sinfo", "--noheader", "--Node", "--format=%t").split()
    if "CLUSTER" in os.environ and not set(states) <= {"idle", "comp"}:
        restore()
