"""A matrix in MLflow: the runs that it makes, what a server that is down costs, and how it comes to know later.

Run it with `python demo/tracking.py`. It needs the extra `mlflow`. Look at the result with
`mlflow ui --backend-store-uri sqlite:///demo/output/tracking/mlflow.db`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import warnings
from pathlib import Path

from memento import Config, Context, Memento, MlflowTracker, sync

MATRIX = {"parameters": {"rate": [0.05, 0.3, 1.1], "start": [0.0, 10.0]}, "settings": {"steps": 20}}


def descend(context: Context, config: Config) -> dict[str, float]:
    """Minimise (x - 3)², which a rate above 1 cannot."""
    x = config.start
    for step in range(config.settings.steps):
        x -= config.rate * 2 * (x - 3)
        context.record({"loss": (step, (x - 3) ** 2)})
    (context.directory / "x.txt").write_text(f"{x}\n")
    if abs(x) > 100:
        raise ArithmeticError(f"x left for {x:.0f}")
    return {"x": x}


def main(output: Path) -> None:
    """Run it with a database of MLflow's, and again with one that cannot be reached at first."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    os.chdir(output)  # MLflow puts the artifacts of a database that has no server below the working directory
    tracker = MlflowTracker("descent", f"sqlite:///{output}/mlflow.db", patience=60)
    memento = Memento(descend, num_workers=2, trackers=[tracker])

    memento.run(MATRIX, cache_path=output / "store", on_error="return", progress=False)
    show(tracker, "After a run")

    memento.run(MATRIX, cache_path=output / "store", on_error="return", progress=False)
    print("Again: what is stored makes no new runs, what had failed was tried once more")
    print(f"{len(nested_in(tracker))} nested runs\n")

    in_the_way = output / "later"
    in_the_way.write_text("a file where a folder is to be")
    later = MlflowTracker("descent", f"sqlite:///{in_the_way}/mlflow.db")
    with warnings.catch_warnings(record=True) as reported:
        warnings.simplefilter("always")
        Memento(descend, trackers=[later]).run(
            MATRIX, cache_path=output / "another store", on_error="return", progress=False
        )
    print(f"With a database that cannot be reached: {len(reported)} warning, and every result is stored")
    in_the_way.unlink()
    done = sync(output / "another store")
    print(f"It can be reached now; sync delivered {done.delivered}, {done.left} left")
    show(later, "After sync")


def nested_in(tracker: MlflowTracker) -> list:
    """Return the runs of configurations, by name."""
    runs = tracker.mlflow_client.search_runs([tracker.mlflow_experiment_id], order_by=["attributes.run_name"])
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def show(tracker: MlflowTracker, title: str) -> None:
    """Print the nested runs."""
    print(f"{title}: run, status, points of loss, error")
    for run in nested_in(tracker):
        points = tracker.mlflow_client.get_metric_history(run.info.run_id, "loss")
        print(f"  {run.info.run_name:22} {run.info.status:9} {len(points)} {run.data.tags.get('memento.error', '')}")
    print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "tracking")
    main(parser.parse_args().output.absolute())
