"""What a run has yet to compute, claimed a piece at a time, so that other runs over the same store find some too."""

from __future__ import annotations

from collections import deque

from memento.plan import Plan
from memento.running.circuit_breaker import IN_A_ROW
from memento.store import Run, SqliteStore

LARGEST_LOOK = 5000


class Todo:
    """The rows of `plan` that are neither claimed nor done, in the order in which they are to be computed.

    Attributes:
        others: rows that another run has claimed; who finds out what became of them takes them out, or puts them back.
    """

    def __init__(self, plan: Plan, store: SqliteStore) -> None:
        self._plan, self._store = plan, store
        self._rows: deque[int] = deque(plan.todo)
        self.others: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._rows)

    def put_back(self, row: int) -> None:
        """Have `row` computed after all others."""
        self._rows.append(row)

    def claim(self, run: Run, room: int) -> list[int]:
        """Claim the next `room` rows that are free, and remember those before them, which another run has."""
        claimed: list[int] = []
        look = room
        while self._rows and len(claimed) < room:
            rows = [self._rows.popleft() for _ in range(min(look, len(self._rows)))]
            keys = [self._plan.keys[row] for row in rows]
            most = room - len(claimed)
            granted = set(self._store.claim(run, keys, most=most, counts=self._plan.standing.counts))
            if len(granted) == len(rows):
                claimed += rows
                continue
            left: list[int] = []
            for row, key in zip(rows, keys, strict=True):
                if key in granted:
                    claimed.append(row)
                elif len(claimed) < room:
                    self.others.add(row)
                else:
                    left.append(row)
            self._rows.extendleft(reversed(left))
            # Where another run has been before, one step after the other of the same length would never catch up.
            look = min(2 * look, LARGEST_LOOK)
        return claimed

    def spread_out(self) -> set[bytes]:
        """Bring rows from all over what is left to the front, and return their keys."""
        rows = list(self._rows)
        chosen = rows[:: max(1, len(rows) // IN_A_ROW)]
        picked = set(chosen)
        self._rows = deque([*reversed(chosen), *(row for row in rows if row not in picked)])
        return {self._plan.keys[row] for row in chosen}
