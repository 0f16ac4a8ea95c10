"""What Slurm costs beside worker processes: 2,000 trivial configurations, and what the cluster is asked for them.

Run it with `python -m benchmarks.slurm` where `sbatch` is found; it prints a table, and writes it to SLURM.md.
Files are counted while the run goes on, because a run that is over leaves none.
"""

from __future__ import annotations

import platform
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from memento import Memento, SlurmExecutor
from memento.executors.slurm import commands
from memento.executors.slurm.batch import Batch, batches_in

SIZE = 2_000
HERE = Path(__file__).parent
INTERVAL = 0.05


def trivial(context: Any, config: Any) -> int:
    """Do next to nothing."""
    return int(config.n) + 1


class Counting(threading.Thread):
    """Watches a store's folder: how many jobs were written down, and how many files there were at most."""

    def __init__(self, store: Path) -> None:
        super().__init__(daemon=True)
        self.jobs = self.files = 0
        self.over = False
        self._store = store

    def run(self) -> None:
        """Look until it is over."""
        while not self.over:
            for folder in self._store.glob("spool/*"):
                try:
                    self.jobs = max(self.jobs, sum(len(Batch.read(folder, one).parts) for one in batches_in(folder)))
                    files = [path for path in folder.iterdir() if path.is_file()]
                except (FileNotFoundError, ValueError):
                    continue  # it was removed while we looked
                self.files = max(self.files, len(files))
            time.sleep(INTERVAL)


def measure(executor: Any, matrix: dict[str, Any]) -> dict[str, Any]:
    """Return how long `matrix` took and what it cost the cluster."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        counting = Counting(store)
        counting.start()
        commands.calls.clear()
        begun = time.perf_counter()
        results = Memento(trivial, executor=executor).run(matrix, cache_path=store, progress=False)
        seconds = time.perf_counter() - begun
        counting.over = True
        counting.join()
        assert results is not None
        assert all(result.ok for result in results)
    calls = Counter(commands.calls)
    return {
        "seconds": f"{seconds:.1f}",
        "per configuration": f"{1000 * seconds / SIZE:.2f} ms",
        "jobs": counting.jobs,
        "files at most": counting.files,
        "sbatch": calls["sbatch"],
        "squeue": calls["squeue"],
        "sacct": calls["sacct"],
    }


def main() -> None:
    """Measure, print and write."""
    matrix = {"parameters": {"n": list(range(SIZE))}}
    measured = {
        "worker processes": measure("processes", matrix),
        "Slurm": measure("slurm", matrix),
        "Slurm, 25 to a job": measure(SlurmExecutor(pack=25), matrix),
    }
    names = list(measured["Slurm"])
    lines = [
        f"# {SIZE:,} trivial configurations, on a cluster of one machine",
        "",
        f"Python {platform.python_version()}; written by `python -m benchmarks.slurm`.",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
        *(f"| {who} | " + " | ".join(str(row[name]) for name in names) + " |" for who, row in measured.items()),
        "",
    ]
    (HERE / "SLURM.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
