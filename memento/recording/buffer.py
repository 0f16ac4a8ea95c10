"""Where records wait to become columns: the values of many records end to end in one list.

Adding is lock-free: the list is extended by a whole record at once, which is atomic. `bound` says when the adding
thread has something more to do: it is 0 while nobody knows that values are waiting, and `LIMIT` rows once somebody
does. Who takes values out sets it to 0 first and takes them then; who adds appends first and looks at `bound` then:
whatever the order, either the values are taken or the adder tells of them.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from memento.recording.chunks import Chunk
from memento.recording.columns import column_of

if TYPE_CHECKING:
    from memento.recording.keeper import RecordKeeper

LIMIT = 4096
"""So many rows become a chunk at once: enough for long columns, few enough to stay in the processor's cache."""

FILLER: Any = object()
"""Stands for the name of the only value in a buffer whose first record is empty; no record's name is equal to it."""


class Buffer:
    """Records of one keeper that have the same names, or some of them."""

    __slots__ = ("bound", "keeper", "known", "limit", "names", "row", "values", "width")

    def __init__(self, keeper: RecordKeeper, names: tuple[str, ...]) -> None:
        self.keeper = keeper
        self.names = names
        self.known = frozenset(names)
        self.width = len(names)
        self.limit = LIMIT * self.width
        self.values: list[Any] = []
        self.bound = 0
        # What returns a record's values in the order of the names, or raises KeyError.
        self.row: Callable[[dict[str, Any]], tuple[Any, ...]]
        self.row = itemgetter(*names) if len(names) > 1 else lambda record: (record[names[0]],)

    def __len__(self) -> int:
        return len(self.values) // self.width

    def take(self) -> Chunk | None:
        """Return the records that wait here, and keep none of them; None if there are none."""
        self.bound = 0
        values = self.values
        count = len(values)
        if not count:
            return None
        taken = values[:count]
        del values[:count]
        length = count // self.width
        columns = {}
        for position, name in enumerate(self.names):
            column = column_of(taken[position :: self.width])
            if column is not None:
                columns[name] = column
        return Chunk(self.keeper, length, columns)
