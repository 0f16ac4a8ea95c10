"""A long experiment is killed in the middle and goes on where it was: checkpoint and restore.

Run it with `python demo/checkpoints.py`. Gradient descent is killed after 60 of its 100 steps, as a cluster might
do it, and tried again; the second attempt begins at the last checkpoint, not at the first step.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

from memento import Config, Context, Memento

STEPS = 100
MATRIX = {"parameters": {"rate": [0.1, 0.02]}}


def descend(context: Context, config: Config) -> dict[str, float]:
    """Minimise (x - 3)² from 0, keeping the state after every tenth step."""
    state = context.restore(default={"step": 0, "x": 0.0})
    first = state["step"]
    print(f"attempt {context.attempt} begins at step {first}")
    for step in range(first, STEPS):
        if step == 60 and context.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        state = {"step": step + 1, "x": state["x"] - config.rate * 2 * (state["x"] - 3)}
        context.record({"loss": (step, (state["x"] - 3) ** 2)})
        context.progress(1, total=STEPS - first)
        if state["step"] % 10 == 0:
            context.checkpoint(state)
    return {"x": state["x"], "first_step": first}


def main(output: Path) -> None:
    """Run it, and print where each attempt began."""
    results = Memento(descend, num_workers=2).run(
        MATRIX, cache_path=str(output / "store"), retries={"killed": 1}, force_run=True
    )
    for result in results:
        print(f"rate {result.config.rate}: x = {result.inner['x']:.4f}, status {result.status.value}")
        for attempt in result.attempts:
            print(f"  attempt {attempt.attempt}: {attempt.status.value:9} {attempt.log.strip()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "checkpoints")
    main(parser.parse_args().output)
