"""What the dashboard is shown in its tests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from memento import Memento
from memento.results import Results

MATRIX = {"parameters": {"lr": [0.1, 0.2, 0.3], "model": ["svm", "tree<b>"]}, "settings": {"epochs": 4}}


class Opened:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


def train(context: Any, config: Any) -> Any:
    """Fails for one of six configurations."""
    print(f"training {config.model} <script>alert(1)</script>")
    for epoch in range(config.settings["epochs"]):
        context.record({"loss": (epoch, 1 / (epoch + 1 + config.lr)), "accuracy": 0.5 + epoch / 10})
    if config.lr == 0.3 and config.model == "svm":
        raise ValueError("it <b>diverged</b>")
    if config.lr == 0.1:
        (context.directory / "notes").mkdir()
        (context.directory / "notes" / "model 1.html").write_text("<script>alert(2)</script>")
    return {"score": config.lr * 2, "kind": config.model}


def trained(store: Path) -> Results:
    """Run them all into `store`."""
    results = Memento(train, executor="serial").run(MATRIX, cache_path=store, on_error="return", progress=False)
    assert results is not None
    return results


def waits(context: Any, config: Any) -> int:
    """Goes on until a file named as its number is there."""
    while not (Path(config.settings["gate"]) / str(config.number)).exists():
        time.sleep(0.02)
    return int(config.number) * 10


def main() -> None:
    """Run what waits, as a script: `python -m tests.dashboard.experiments STORE GATE`."""
    import sys

    matrix = {"parameters": {"number": [1, 2, 3]}, "settings": {"gate": sys.argv[2]}}
    Memento(waits, num_workers=1).run(matrix, cache_path=sys.argv[1], progress=False)


if __name__ == "__main__":
    main()
