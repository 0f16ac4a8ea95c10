"""MLflow's limits, kept before a request is made: names, lengths, sizes of batches, and what a metric's point can be.

The numbers are those of `mlflow.utils.validation` in 3.x; a server enforces its own, whatever the client's.
"""

from __future__ import annotations

import hashlib
import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from memento.payload import Points

LONGEST_NAME = 250
LONGEST_EXPERIMENT = 500
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
METRICS_AT_ONCE = 1000
PARAMS_AT_ONCE = 100
# A request may have 1,000,000 bytes, and a character can become 12 of them in JSON (two escaped surrogates).
CHARACTERS_AT_ONCE = 60_000
_SPARE = 8  # digits that tell shortened or cleaned names apart
_REFUSED = re.compile(r"[^\w/.\- ]")  # a colon is refused too, as it is by servers on Windows
_LARGEST_STEP = 2**63 - 1
_SLACK = 1.0  # seconds by which the clock of `record` may lie outside of the experiment's time


class Point(NamedTuple):
    """One value of one metric; `timestamp` is milliseconds since the epoch."""

    name: str
    value: float
    timestamp: int
    step: int


def text_within(text: str, longest: int) -> str:
    r"""Return `text` with at most `longest` characters, all of which every database takes.

    >>> text_within("abcdef", 4), text_within("a\x00b", 10)
    ('abc…', 'a�b')
    """
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return writable(text.replace("\0", "\ufffd"))


def writable(text: str) -> str:
    r"""Return `text` without what UTF-8 has no bytes for.

    >>> writable("half of a pair: \ud800")
    'half of a pair: ?'
    """
    return text.encode("utf-8", "replace").decode()


class Names:
    """What names are called in MLflow: the same where it can be, never one for two, and always what it was first.

    >>> names = Names()
    >>> names.within("acc@5"), names.within("loss"), names.within("acc@5")
    ('acc_5', 'loss', 'acc_5')
    """

    def __init__(self) -> None:
        self._chosen: dict[str, str] = {}
        self._taken: set[str] = set()

    def within(self, name: str) -> str:
        """Return what `name` is called."""
        if name not in self._chosen:
            clean = _cleaned(name)
            if clean in self._taken:
                clean = f"{clean[: LONGEST_NAME - _SPARE - 1]}-{_digits(name)}"
            self._chosen[name] = clean
            self._taken.add(clean)
        return self._chosen[name]


def names_within(names: Iterable[str]) -> dict[str, str]:
    """Return what each of `names` is called, where all are known: those that MLflow takes stay as they are.

    >>> names_within(["loss", "acc@5", "../up"])
    {'loss': 'loss', 'acc@5': 'acc_5', '../up': '_./up'}
    """
    given, chosen = list(dict.fromkeys(names)), Names()
    for name in sorted(given, key=lambda name: _cleaned(name) != name):
        chosen.within(name)
    return {name: chosen.within(name) for name in given}


def _cleaned(name: str) -> str:
    clean = _REFUSED.sub("_", name) or "_"
    if posixpath.normpath(clean) != clean or clean.startswith("/"):
        clean = clean.replace("/", "_")
    if clean.startswith("..") or clean == ".":
        clean = f"_{clean[1:]}"
    if len(clean) > LONGEST_NAME:
        clean = f"{clean[: LONGEST_NAME - _SPARE - 1]}-{_digits(name)}"
    return clean


def _digits(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_SPARE]


def points_of(series: Mapping[str, Points], started: float, runtime: float) -> Iterator[Point]:
    """Yield the points of metrics as MLflow knows them.

    Where the x of a series are times within the experiment, they become timestamps, and the steps count. Where they are
    whole numbers, they become the steps. Other x would be lost, so they are a series of their own, `<name>.x`. No two
    points of a series are equal, because MLflow drops one of them.
    """
    taken = set(series)
    begun = max(0, int(started * 1000))
    for name, (xs, ys) in series.items():
        if all(started - _SLACK <= x <= started + runtime + _SLACK for x in xs):
            for step, (x, y) in enumerate(zip(xs, ys, strict=True)):
                yield Point(name, y, max(0, int(x * 1000)), step)
        elif all(_is_step(x) for x in xs):
            for number, (x, y) in enumerate(zip(xs, ys, strict=True)):
                yield Point(name, y, begun + number, int(x))
        else:
            beside = _free(f"{name}.x", taken)
            for step, (x, y) in enumerate(zip(xs, ys, strict=True)):
                yield Point(name, y, begun + step, step)
                yield Point(beside, x, begun + step, step)


def points_of_result(result: Mapping[str, float], points: Iterable[Point], ended: float) -> Iterator[Point]:
    """Yield the numbers that an experiment returned, beside the `points` of its metrics.

    One that has the name of a metric would be taken for the last of its points, so it is `<name>.result`.
    """
    told = {point.name for point in points}
    taken = told.union(result)
    for name, number in result.items():
        yield Point(_free(f"{name}.result", taken) if name in told else name, number, int(ended * 1000), 0)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _is_step(x: float) -> bool:
    return math.isfinite(x) and x == int(x) and abs(x) < _LARGEST_STEP


def batches(points: Sequence[Point]) -> Iterator[Sequence[Point]]:
    """Yield `points` in requests of as many as MLflow takes."""
    for start in range(0, len(points), METRICS_AT_ONCE):
        yield points[start : start + METRICS_AT_ONCE]


def text_batches(texts: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Yield params or tags, names and values, in requests of as many as MLflow takes."""
    batch: list[tuple[str, str]] = []
    size = 0
    for name, value in texts:
        length = len(name) + len(value)
        if batch and (len(batch) >= PARAMS_AT_ONCE or size + length > CHARACTERS_AT_ONCE):
            yield batch
            batch, size = [], 0
        batch.append((name, value))
        size += length
    if batch:
        yield batch
