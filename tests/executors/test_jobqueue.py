"""A cluster of dask-jobqueue is a cluster of Dask like any other: its jobs run here, started as a queue would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own, because this kind of job forgets the processes it has started, which Python warns of.
SCRIPT = """
from dask_jobqueue.local import LocalCluster
from memento import DaskExecutor, Memento

with LocalCluster(
    cores=1, processes=1, memory="1GB", interface="lo", scheduler_options={"dashboard_address": "127.0.0.1:0"}
) as cluster:
    cluster.scale(jobs=2)
    cluster.wait_for_workers(2, timeout=60)
    executor = DaskExecutor(cluster)
    print(executor.slots)
    results = Memento(lambda context, config: config.x**2, executor=executor).run(
        {"parameters": {"x": [1, 2, 3, 4]}}, progress=False
    )
    executor.close()
    print([result.inner for result in results], cluster.status.name)
"""


@pytest.mark.slow
def test_experiments_run_in_the_jobs_of_a_cluster_of_dask_jobqueue_which_stays_open(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path
    )
    assert (ended.stdout, ended.returncode) == ("2\n[1, 4, 9, 16] running\n", 0), ended.stderr
