"""The generators of random numbers that a forked process has from the one it was forked from."""

from __future__ import annotations

import sys
from typing import Any


def reseed() -> None:
    """Have the global generators of numpy and torch, where these are loaded, go on from seeds of the system's.

    Otherwise all workers that are forked from one process draw the same numbers. That of `random` is seeded anew by
    Python itself whenever it forks.
    """
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        try:
            numpy_random.seed()
        except TypeError:  # it has been given a bit generator which that cannot do for
            numpy_random.set_bit_generator(type(numpy_random.get_bit_generator())())
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.seed()
