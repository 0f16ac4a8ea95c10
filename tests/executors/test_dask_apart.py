"""A Dask worker that sees none of what this process sees: neither the store, nor its folder, nor a home."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

from memento import DaskExecutor, Memento
from memento.errors import StoreUnwritable
from memento.events import RunProgressed
from tests.executors.daskcluster import Cluster

# In a mount namespace of its own, under an empty folder that cannot be written; without root, as root of one of users.
APART = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--map-root-user"])]
HIDE = 'mount -t tmpfs -o ro none "$0" && cd / && HOME=/nowhere exec "$@"'


@pytest.fixture
def apart(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler whose one worker finds `tmp_path` empty."""
    if subprocess.run([*APART, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace can be made here")
    worker = subprocess.Popen(
        [
            *APART, "sh", "-c", HIDE, str(tmp_path), sys.executable, "-m", "distributed.cli.dask_worker",
            cluster.address, "--no-nanny", "--nthreads", "2", "--no-dashboard", "--local-directory", "/tmp",
        ],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with distributed.Client(cluster.address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=30)
    yield cluster.address
    worker.kill()
    worker.wait()


def test_everything_comes_home_from_a_worker_that_sees_nothing_of_the_store(
    apart: str, tmp_path: Path, store_path: Path
) -> None:
    store = str(store_path)
    assert store.startswith(str(tmp_path))

    def experiment(context: Any, config: Any) -> bytes:
        assert not os.path.exists(store)
        assert not os.path.exists(os.environ["HOME"])
        print("printed by", config.x)
        reached = context.restore(default=0)
        context.checkpoint(reached + 1)
        context.record({"loss": 0.5})
        context.progress(1, total=2)
        time.sleep(0.7)
        context.record({"loss": 0.25})
        (context.directory / "models").mkdir()
        (context.directory / "models" / "best.bin").write_bytes(b"weights")
        if config.x == 2 and reached == 0:
            raise ConnectionError("to be tried again")
        if config.x == 3:
            raise ValueError("for good")
        return bytes([reached]) * 300_000

    heard: list[tuple[float, float | None]] = []

    class Progress:
        hears = (RunProgressed,)

        def handle(self, event: Any) -> None:
            heard.extend((activity.done, activity.total) for activity in event.running if activity.done)

        def close(self) -> None: ...

    executor = DaskExecutor(apart)
    one, two, three = Memento(experiment, executor=executor, listeners=[Progress()]).run(
        {"parameters": {"x": [1, 2, 3]}}, retries={ConnectionError: 1}, on_error="return", progress=False
    )
    executor.close()
    assert (one.inner, two.inner) == (bytes(300_000), b"\1" * 300_000)  # the second went on from its checkpoint
    assert three.error.message == "for good"
    for result in (one, two, three):
        assert list(result.metric_points("loss")[1]) == [0.5, 0.25]
        assert (result.directory / "models" / "best.bin").read_bytes() == b"weights"
    assert three.log == "printed by 3\n"
    assert (1, 2) in heard


def test_where_a_store_is_said_to_be_shared_and_is_not_the_run_ends_with_what_is_wrong(apart: str) -> None:
    executor = DaskExecutor(apart, shared=True)
    with pytest.raises(StoreUnwritable):
        Memento(lambda context, config: bytes(300_000), executor=executor).run({"parameters": {"x": [1]}})
    executor.close()
