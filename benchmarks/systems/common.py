"""What the modules of all systems share: the clock around a run, the work, and the check of what came out."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

WORKERS = 2
MEGABYTE = 1024 if sys.platform != "darwin" else 1024 * 1024  # of what getrusage counts in
ARRAY_BYTES = 10_000_000
NAP = 0.1
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
        self.peak = peak_megabytes()

    def figures(self, **others: Any) -> Figures:
        """Return what was measured, and `others`."""
        return {"seconds": self.seconds, "peak": self.peak, **others}


def peak_megabytes() -> float:
    """Return the most memory that this program has had.

    From /proc where there is one: what getrusage tells begins with what the process that started this one had.
    """
    return _of_status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE


def private_megabytes() -> float:
    """Return the memory of this process that is no part of any file, which is what copies are made of; 0 if unknown."""
    return _of_status("RssAnon")


def bare_megabytes() -> float:
    """Return the most memory that a Python has which does nothing but tell so; 0 where that is not to be known."""
    if not Path("/proc/self/status").exists():
        return 0.0
    code = "print(open('/proc/self/status').read())"
    import subprocess  # here, or every worker of every system would load it

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return _found(told, "VmHWM")


def _of_status(name: str) -> float:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    return _found(status.read_text(), name)


def _found(status: str, name: str) -> float:
    return int(status.split(f"{name}:", 1)[1].split(None, 1)[0]) / 1024


class Reading(Timed):
    """A clock around the reading of stored arrays, which are kept, and how much private memory each of them took."""

    def __enter__(self) -> Reading:
        self._before = private_megabytes()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.private = private_megabytes() - self._before

    def of(self, arrays: Sequence[Any]) -> Figures:
        """Check that `arrays` are what was stored, and return the figures."""
        for x, array in enumerate(arrays):
            check((float(array[0]), float(array[-1]), array.nbytes), (x, x, ARRAY_BYTES))
        return self.figures(private=self.private / len(arrays))


def trivial(x: int) -> int:
    """Return what the experiment that does nothing gives for `x`, in every system."""
    return 2 * x


def check(found: Any, expected: Any) -> None:
    """End the program where a system gave another answer than it should: a wrong result has no speed."""
    if found != expected:
        sys.exit(f"expected {str(expected)[:200]}, found {str(found)[:200]}")


def large(x: int) -> Any:
    """Return the array that the experiment with a large result gives for `x`, in every system: 10 MB of numbers."""
    import numpy

    return numpy.full(ARRAY_BYTES // 8, x, dtype="float64")


def value_of(step: int) -> float:
    """Return the point that is recorded at this step, in every system."""
    return 0.5 * step
