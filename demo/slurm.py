"""A matrix in jobs of a Slurm cluster: submitted and left, taken up again by another run, retried with more memory.

Run it with `python demo/slurm.py` where `sbatch` is found. A cluster to try it on is started by
`slurm-docker-cluster/native/up` (Debian 12, as root), and entered by `. /tmp/memento-slurm/environment`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from pathlib import Path

from memento import Config, Context, Memento, SlurmExecutor

MATRIX = {
    "parameters": {"megabytes": [*range(1, 40), 400]},
    "runtime": {"memory": "250M", "time": "00:05:00"},
}


def experiment(context: Context, config: Config) -> dict[str, object]:
    """Take some memory and some time; say on which node that was, and how much memory (MB) the job had."""
    taken = bytearray(config.megabytes * 1024 * 1024)
    time.sleep(0.5)
    return {"node": os.environ["SLURMD_NODENAME"], "granted": os.environ["SLURM_MEM_PER_NODE"], "taken": len(taken)}


def main(output: Path) -> None:
    """Look at what would be submitted, submit it and leave, come back, and see what came out."""
    memento = Memento(experiment, executor=SlurmExecutor(pack=4))
    store = str(output / "store")

    memento.run(MATRIX, cache_path=store, dry_run=True)

    print("\nSubmitted and left; this process could end here:")
    memento.run(MATRIX, cache_path=store, wait=False)

    print("\nThe same again waits for those jobs, and submits only what needs more memory:")
    results = memento.run(MATRIX, cache_path=store, retries={"memory": 2})
    assert results is not None

    for node, count in sorted(Counter(result.inner["node"] for result in results).items()):
        print(f"{count} configurations ran on {node}")
    hungry = results.filter(megabytes=400)[0]
    print(f"{hungry.config} had {hungry.inner['granted']} MB in the end")

    again = memento.run(MATRIX, cache_path=store)
    assert again is not None
    print(f"And once more: {sum(result.was_cached for result in again)} of {len(again)} from the store, without a job")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "slurm")
    main(parser.parse_args().output)
