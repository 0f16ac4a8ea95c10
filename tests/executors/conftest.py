"""A Ray that serves all tests of a session, because one takes seconds to start, and a Dask cluster for each test."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import lasting, own_processes

GRACE = 20.0


@pytest.fixture(scope="session")
def connected_ray() -> Iterator[str]:
    """The address of a Ray with two CPUs and two devices, which this process is connected to."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    before = own_processes()
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 * 2**20,
    )
    lasting.update(pid for pid, _ in own_processes() - before)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
    lasting.clear()
    deadline = time.monotonic() + GRACE
    while (left := own_processes() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid, _ in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert not left, f"Ray left processes behind: {sorted(left)}"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    """A scheduler of Dask that has no worker yet."""
    from tests.executors.daskcluster import Cluster

    made = Cluster(tmp_path)
    yield made
    made.close()
