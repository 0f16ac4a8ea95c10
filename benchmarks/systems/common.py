"""What the modules of all systems share: the clock around a run, the work, and the check of what came out."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

WORKERS = 2
MEGABYTE = 1024 if sys.platform != "darwin" else 1024 * 1024  # of what getrusage counts in
ARRAY_BYTES = 10_000_000
AXIS = list(range(100))
EXCLUDED = [{"a": number, "b": 2 * number} for number in range(20)]
LEFT_OF_A_MILLION = 998_000
# A matrix as people write them: names, numbers, flags, sizes of layers.
KEYED: dict[str, list[Any]] = {
    "model": [f"model-{number}" for number in range(10)],
    "rate": [10.0**-number for number in range(10)],
    "layers": [(size, size) for size in range(10)],
    "shuffle": [True, False],
    "seed": list(range(50)),
}

Figures = Mapping[str, Any]
Job = Callable[[int, Path], Figures]


class Timed:
    """The seconds of what is done inside it, and this process's peak memory at its end.

    Left before anything is checked, so that checking costs neither time nor memory.
    """

    def __enter__(self) -> Timed:
        self._begun = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.perf_counter() - self._begun
        self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE

    def figures(self, **others: Any) -> Figures:
        """Return what was measured, and `others`."""
        return {"seconds": self.seconds, "peak": self.peak, **others}


def trivial(x: int) -> int:
    """Return what the experiment that does nothing gives for `x`, in every system."""
    return 2 * x


def check(found: Any, expected: Any) -> None:
    """End the program where a system gave another answer than it should: a wrong result has no speed."""
    if found != expected:
        sys.exit(f"expected {str(expected)[:200]}, found {str(found)[:200]}")


def private_megabytes() -> float:
    """Return the memory of this process that is no part of any file: what copies are made of."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    return int(status.read_text().split("RssAnon:", 1)[1].split(None, 1)[0]) / 1024
