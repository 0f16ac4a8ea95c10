"""What MLflow costs: plain `log_metric` calls beside the tracker, and a run with a tracker beside one without.

Run it as `python benchmarks/tracking.py [--configurations N] [--points N] [--trivial N]`. It starts a server on
loopback, and needs the whole of mlflow. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memento import Config, Context, Memento, MlflowTracker


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=1"]
    command += [f"--backend-store-uri=sqlite:///{folder}/server.db", f"--artifacts-destination={folder}/artifacts"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def curve(context: Context, config: Config) -> float:
    for step in range(config.settings.points):
        context.record({"loss": (step, 1 / (step + 1 + config.n))})
    return 1.0


def trivial(context: Context, config: Config) -> int:
    return int(config.n)


def plainly(url: str, configurations: int, points: int) -> float:
    """Return the seconds that MLflow's own client takes, one call for each value."""
    tracker = MlflowTracker("plainly", url)
    client, experiment = tracker.mlflow_client, tracker.mlflow_experiment_id
    begun = time.perf_counter()
    for n in range(configurations):
        run = client.create_run(experiment).info.run_id
        client.log_param(run, "n", n)
        for step in range(points):
            client.log_metric(run, "loss", 1 / (step + 1 + n), step=step)
        client.update_run(run, status="FINISHED")
    return time.perf_counter() - begun


def run(function: Any, matrix: dict[str, Any], store: Path, *trackers: MlflowTracker) -> tuple[float, float]:
    """Return the seconds until the last experiment had ended, and those until the run returned."""
    wall, begun = time.time(), time.perf_counter()
    results = Memento(function, num_workers=2, trackers=trackers).run(matrix, cache_path=store, progress=False)
    whole = time.perf_counter() - begun
    assert results is not None
    ended = max(result.start_time.timestamp() + result.runtime.total_seconds() for result in results)
    return ended - wall, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=20)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--trivial", type=int, default=5000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as url:
        folder = Path(name)
        values = options.configurations * options.points
        print(f"{options.configurations} configurations with {options.points} points each, over HTTP:\n")
        print("| how | seconds | a value, ms | the experiments alone |\n|---|---|---|---|")
        seconds = plainly(url, options.configurations, options.points)
        print(f"| MLflow's own `log_metric` for each value | {seconds:.1f} | {1000 * seconds / values:.2f} | |")
        matrix = {"parameters": {"n": list(range(options.configurations))}, "settings": {"points": options.points}}
        tracker = MlflowTracker("tracked", url, patience=600)
        ended, seconds = run(curve, matrix, folder / "store", tracker)
        print(f"| `trackers=[MlflowTracker(...)]` | {seconds:.1f} | {1000 * seconds / values:.2f} | {ended:.2f} s |")
        ended, seconds = run(curve, matrix, folder / "store 2")
        print(f"| no tracker | {seconds:.1f} | | {ended:.2f} s |")
        print(f"\n{options.trivial:,} trivial experiments, seconds until the last had ended:\n")
        print("| tracker | seconds |\n|---|---|")
        many = {"parameters": {"n": list(range(options.trivial))}}
        for title, trackers in (
            ("none", ()),
            ("a server", (MlflowTracker("trivial", url, patience=0),)),
            ("a server that is down", (MlflowTracker("trivial", "http://127.0.0.1:9", patience=0),)),
        ):
            taken = sorted(run(trivial, many, folder / f"{title} {number}", *trackers)[0] for number in range(3))
            print(f"| {title} | {taken[1]:.2f} ({taken[0]:.2f} to {taken[2]:.2f}) |", flush=True)


if __name__ == "__main__":
    main()
