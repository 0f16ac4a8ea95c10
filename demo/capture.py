"""A function remembers what it was given and what it gave, and is not computed again for what it has remembered.

Run it with `python demo/capture.py`. How likely is it that two people of a class share their birthday? Simulated for
classes of several sizes in threads; the second run takes everything from the file that the first one wrote.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from memento import Runner, grid, memfile, memlist, read_memfile, time_taken


def main(output: Path) -> None:
    """Run the simulation twice, and print what was recorded."""
    file = output / "birthdays.jsonl"
    data: list[dict[str, float]] = []
    computed: list[int] = []

    @memfile(file, skip=True)
    @memlist(data)
    @time_taken()
    def shared_birthday(class_size: int, n_sim: int = 2000) -> dict[str, float]:
        computed.append(class_size)
        chance = random.Random(class_size)
        shared = sum(len({chance.randrange(365) for _ in range(class_size)}) < class_size for _ in range(n_sim))
        return {"est_proba": shared / n_sim}

    settings = grid(class_size=[10, 23, 40, 57])
    for name in ("first", "second"):
        computed.clear()
        data.clear()
        Runner(backend="threading", n_jobs=2).run(shared_birthday, settings, progbar=False)
        print(f"{name} run: {len(computed)} computed, {len(data)} recorded in the list")
    for record in sorted(read_memfile(file), key=lambda record: record["class_size"]):
        print(f"{record['class_size']} people, {record['n_sim']} simulations: {record['est_proba']:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "capture")
    main(parser.parse_args().output)
