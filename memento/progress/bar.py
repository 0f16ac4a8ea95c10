"""tqdm's bar with a tail of our own. Imported when the first bar is drawn."""

from __future__ import annotations

import threading
from typing import Any, TextIO

from tqdm.std import tqdm

from memento.events import Counts


class Bar(tqdm):  # type: ignore[misc]
    """Percentage, bar, and whatever `tail` says.

    It has neither tqdm's watching thread, nor its lock, the making of which would fix multiprocessing's start method.
    """

    monitor_interval = 0
    _lock = threading.RLock()

    def __init__(self, stream: TextIO) -> None:
        self.tail, self.length, self.columns = "", 20, 80
        # A delay, because tqdm otherwise draws at once, before there is anything to show.
        super().__init__(file=stream, total=1, leave=False, disable=False, delay=1, mininterval=0)
        self.delay = 0  # else tqdm leaves a bar younger than that on the screen

    def show(self, counts: Counts, tail: str, length: int, columns: int) -> None:
        """Draw a bar of `length` and `tail` after it, in at most `columns` characters together."""
        self.n, self.total = counts.done, counts.total
        self.tail, self.length, self.columns = tail.replace("{", "{{").replace("}", "}}"), length, max(columns, 1)
        self.refresh()

    @property
    def format_dict(self) -> dict[str, Any]:
        """What tqdm draws from."""
        return {
            **super().format_dict,
            "ncols": self.columns,
            "bar_format": f"{{percentage:3.0f}}%|{{bar:{self.length}}}| {self.tail}",
        }
