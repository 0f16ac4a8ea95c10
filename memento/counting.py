"""A bar that counts what a loop has done: tqdm's, without what it does to a process beside drawing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tqdm.std import tqdm

T = TypeVar("T")
# tqdm writes a line for each refresh into a file that is no terminal.
SECONDS_ON_TERMINAL, SECONDS_IN_FILE = 0.1, 10.0


def counting_bar(total: int | None, what: str = "") -> tqdm[Any]:
    """Return a bar on standard error that counts to `total` (None: not known, it counts all the same).

    It has neither tqdm's watching thread, nor its lock, the making of which would fix multiprocessing's start method.
    """
    from tqdm.std import tqdm

    class Bar(tqdm):  # type: ignore[misc,type-arg,unused-ignore]
        monitor_interval = 0
        _lock = threading.RLock()

    terminal = hasattr(sys.stderr, "isatty") and sys.stderr.isatty()
    interval = SECONDS_ON_TERMINAL if terminal else SECONDS_IN_FILE
    return Bar(total=total, desc=what or None, file=sys.stderr, mininterval=interval, disable=sys.stderr is None)


def total_of(items: Iterable[object]) -> int | None:
    """Return how many `items` there are, None where that is not known before they were read."""
    return len(items) if isinstance(items, Sized) else None


class Counted(list[T]):
    """A list that shows a bar whenever it is iterated over."""

    def __iter__(self) -> Iterator[T]:
        with counting_bar(len(self)) as bar:
            for item in super().__iter__():
                yield item
                bar.update()

    def quietly(self) -> Iterator[T]:
        """Iterate without a bar."""
        return super().__iter__()
