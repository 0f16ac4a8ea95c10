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

    def ahead(self, slots: int, done: int) -> int:
        """Return how many configurations to have out where `slots` run at once and `done` are finished."""
        if done < 2 * slots:
            return 2 * slots
        rate = done / max(time.monotonic() - self._first_at, 1e-6)
        if rate < slots:  # longer than a second each: another run may want them sooner
            return slots
        return max(2 * slots, min(int(rate * self._seconds), 4 * done))
