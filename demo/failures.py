"""What happens when experiments fail: one raises, one crashes its process, one hangs, one recovers when tried again.

Run it with `python demo/failures.py`. The others are not disturbed, and each failure says where, why
and for which configuration.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

from memento import AggregateException, Config, Context, Memento

MATRIX = {"parameters": {"case": ["works", "raises", "crashes", "hangs", "flaky", "works too"]}}


def experiment(context: Context, config: Config) -> str:
    """Behave as the configuration says."""
    print("this is", config.case)
    if config.case == "raises":
        raise ValueError("a learning rate below zero")
    if config.case == "crashes":
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    if config.case == "hangs":
        time.sleep(3600)
    if config.case == "flaky" and context.attempt == 1:
        raise ConnectionError("the licence server did not answer")
    return f"{config.case}, at attempt {context.attempt}"


def main(output: Path) -> None:
    """Run all cases; print what each of them came to."""
    memento = Memento(experiment, num_workers=2)
    store = str(output / "store")

    results = memento.run(
        MATRIX, cache_path=store, on_error="return", timeout=3, retries={ConnectionError: 2, "killed": 1}
    )
    for result in results:
        attempts = f"{len(result.attempts)} attempt{'s' if len(result.attempts) > 1 else ''}"
        said = result.inner if result.ok else f"{result.error.type}: {result.error.message}"
        print(f"{result.config.case:10} {result.status.value:10} {attempts:11} {said}")

    (failed,) = results.filter(case="raises")
    print(f"\nThe output of {failed.config} was kept: {failed.log.strip()!r}")
    print("and the last line of its traceback:", failed.traceback.strip().splitlines()[-1])

    print("\nRun again, with on_error='raise' as it is by default; only what failed is tried again:")
    try:
        memento.run(MATRIX, cache_path=store, timeout=3)
    except AggregateException as group:
        print(f"{len(group.exceptions)} exceptions in one; its .results has all {len(group.results)} results")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "failures")
    main(parser.parse_args().output)
