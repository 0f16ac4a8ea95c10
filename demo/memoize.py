"""A function remembers on the disk what it returned, and a property on its instance.

Run it with `python demo/memoize.py`. Sums over the prime numbers of a range are asked for by four processes at once:
each is computed by one of them, and the second run of the program computes nothing.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from memento import memoize, memoized_property

DEFAULT = Path(__file__).parent / "output" / "memoize"


@memoize(ignore=("log",))
def sum_of_primes(start: int, stop: int, log: Path | None = None) -> int:
    if log is not None:
        with log.open("a") as file:  # one line for each time that it is really computed
            file.write(f"{start}-{stop}\n")
    time.sleep(0.05)
    return sum(number for number in range(start, stop) if is_prime(number))


def is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


class Range:
    """The numbers from `start` up to `stop`."""

    def __init__(self, start: int, stop: int) -> None:
        self.start, self.stop = start, stop

    @memoized_property
    def total(self) -> int:
        """The sum of the primes in it."""
        print(f"asking for {self.start} to {self.stop}")
        return sum_of_primes(self.start, self.stop)


def main(output: Path) -> None:
    """Ask for eight sums, each by two processes, and look at what was computed."""
    output.mkdir(parents=True, exist_ok=True)
    log = output / "computed.txt"
    log.write_text("")
    starts = [1000 * place for place in range(8)] * 2
    ask = functools.partial(sum_of_primes, log=log)
    with ProcessPoolExecutor(4) as pool:
        sums = list(pool.map(ask, starts, [start + 1000 for start in starts]))
    computed = log.read_text().splitlines()
    print(f"{len(sums)} asked for, {len(computed)} computed, {len(set(computed))} of them different")
    first = Range(0, 1000)
    print(first.total, first.total)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DEFAULT)
    arguments = parser.parse_args()
    os.environ["MEMENTO_CACHE_PATH"] = str(arguments.output / "store")
    main(arguments.output)
