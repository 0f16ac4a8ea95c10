"""How much to have out at once: enough to keep the workers busy, and little enough that other runs find some too."""

from __future__ import annotations

import time

# As much work as this many seconds take is claimed ahead, where the executor does not say otherwise.
AHEAD = 0.15


class Pace:
    """How fast a run's experiments are, from the first outcome on: the start of the workers says nothing of it."""

    def __init__(self, seconds: float = AHEAD) -> None:
        self._seconds = seconds
        self._first_at = 0.0

    def note(self) -> None:
        """Take note that an outcome has come."""
        self._first_at = self._first_at or time.monotonic()

    def room(self, slots: int, done: int, out: int) -> int:
        """Return how many more to claim now where `slots` run at once, `done` are finished and `out` are out.

        It is 0 while what is out keeps every worker busy, because to claim many at once is quicker than one by one.
        """
        ahead = self._ahead(slots, done)
        room = ahead - out
        return room if room > 0 and room >= min(ahead // 2, ahead - 2 * slots) else 0

    def _ahead(self, slots: int, done: int) -> int:
        if done < 2 * slots:
            return 2 * slots
        rate = done / max(time.monotonic() - self._first_at, 1e-6)
        if rate < slots:  # longer than a second each: another run may want them sooner
            return slots
        return max(3 * slots, min(int(rate * self._seconds), 4 * done))
