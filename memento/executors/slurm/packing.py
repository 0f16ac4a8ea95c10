"""How many configurations share a job, and how jobs share arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice

from memento.task import Task

# Work for so many seconds makes a job worth its start and its place in the queue.
WORTH = 300.0
# Experiments shorter than this share jobs by the hundred; longer ones are spread over at least `SIDE_BY_SIDE` jobs.
SHORT = 3.0
SIDE_BY_SIDE = 16
SHARED = 100
# A job is planned to be over after this share of its time, because durations vary.
PLANNED = 0.5


def per_job(count: int, *, pack: int | None, pace: float | None, together: int, time: float | None) -> int:
    """Return how many of `count` configurations share a job.

    Args:
        count: how many are to be submitted.
        pack: what the user said, None: to be found here.
        pace: how many seconds one takes, None: nothing was measured yet.
        together: how many run at once in a job.
        time: the seconds that a job may run, None: not known.

    Example:
        >>> per_job(2000, pack=None, pace=None, together=1, time=None)
        100
        >>> per_job(2000, pack=None, pace=60.0, together=4, time=3600.0)
        20
    """
    if pack is not None:
        return min(pack, max(1, count))
    spread = math.ceil(count / SIDE_BY_SIDE)
    if pace is None:
        return min(count, max(together, min(spread, SHARED)))
    fitting = WORTH if time is None else min(WORTH, PLANNED * time)
    size = int(fitting * together / max(pace, 1e-3))
    if pace > SHORT:
        size = min(size, spread)
    return min(count, max(together, size))


def parts_of(tasks: Sequence[Task], size: int) -> list[list[Task]]:
    """Return `tasks` in parts of at most `size`; neighbours, which often take equally long, are in different parts."""
    number = math.ceil(len(tasks) / size)
    return [list(islice(tasks, start, None, number)) for start in range(number)]


def arrays_of(parts: Sequence[list[Task]], largest: int) -> Iterator[Sequence[list[Task]]]:
    """Yield `parts` in pieces of at most `largest`, each for a job array of its own."""
    for start in range(0, len(parts), largest):
        yield parts[start : start + largest]


def throttles(arrays: int, most: int | None) -> tuple[int | None, int]:
    """Return how many jobs of each of so many arrays may run at once, and after how many arrays one has to wait."""
    if most is None:
        return None, arrays
    return max(1, most // max(1, arrays)), min(arrays, most)
