"""The points of metrics while an experiment records them: cheap to add to, small to keep.

    record ──▶ recent: x, y, x, y, … (a list) ──settle──▶ settled: all x, all y (two arrays, 16 bytes a point)

A list takes two numbers in half the time that an array does, in four times the memory; so only the latest lie in one.
"""

from __future__ import annotations

import struct
import threading
from array import array
from collections.abc import Mapping
from typing import Any

from memento.payload import Points

# So many numbers of a metric may stay in a list for long.
MOST_RECENT = 4096


class Series:
    """The points of each named metric of one experiment.

    Attributes:
        recent: by the names, the numbers that are not settled, x before y. Whoever adds to one adds both numbers by one
            operation of the list, which no other thread can come between. It is the same dict always.
    """

    __slots__ = ("_lock", "_settled", "recent")

    def __init__(self) -> None:
        self.recent: dict[str, list[float]] = {}
        self._settled: dict[str, Points] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many points there are in all."""
        with self._lock:
            waiting = sum(map(len, list(self.recent.values()))) // 2
            return waiting + sum(len(xs) for xs, _ in self._settled.values())

    def begin(self, name: str) -> list[float]:
        """Return the list that points of `name` are added to, which is made if there is none.

        Raises:
            TypeError: `name` is not a string.
        """
        if not isinstance(name, str):
            raise TypeError(f"a metric's name is a string, not {name!r}; write context.record({{'name': value}})")
        return self.recent.setdefault(name, [])

    def settle(self) -> None:
        """Move what is more than the `MOST_RECENT` numbers of a metric out of its list; to be called now and then."""
        for name, points in list(self.recent.items()):
            if len(points) > MOST_RECENT:
                with self._lock:
                    if name in self.recent:  # another thread may have begun with other metrics meanwhile
                        self._settle(name)

    def _settle(self, name: str) -> None:
        points = self.recent[name]
        xs, ys = self._settled.setdefault(name, (array("d"), array("d")))
        count = len(points)  # others may add more meanwhile, and no one else takes any away
        packed = array("d")
        packed.frombytes(struct.pack(f"{count}d", *points[:count]))  # half as long as by `fromlist`
        xs.extend(packed[0::2])
        ys.extend(packed[1::2])
        del points[:count]

    def columns(self) -> dict[str, Points]:
        """Return all x and all y of each metric, as they are now."""
        with self._lock:
            names = list(self.recent)
            for name in names:
                self._settle(name)
            return {name: (self._settled[name][0][:], self._settled[name][1][:]) for name in names}

    def begin_with(self, columns: Mapping[str, Points]) -> None:
        """Have the metrics in `columns` and no others; points recorded from now on come after theirs."""
        with self._lock:
            self.recent.clear()
            self.recent.update({name: [] for name in columns})
            self._settled = {name: (xs[:], ys[:]) for name, (xs, ys) in columns.items()}


def point_of(name: str, value: Any, now: float) -> tuple[float, float]:
    """Return the point that `value` is: itself where it is a pair (x, y), else at `now`.

    Raises:
        TypeError: what should be a real number is none.
    """
    x, y = value if type(value) is tuple and len(value) == 2 else (now, value)
    return _number(name, x), _number(name, y)


def _number(name: str, value: Any) -> float:
    try:
        number: float = array("d", (value,))[0]  # as `float` does, but a string is none
    except TypeError:
        raise _not_a_number(name, value) from None
    return number


def _not_a_number(name: str, value: Any) -> TypeError:
    return TypeError(
        f"metric {name!r} was given {value!r} of type {type(value).__name__}, which is not a real number; "
        f"write context.record({{{name!r}: float(value)}}) or ({{{name!r}: (x, y)}})"
    )
