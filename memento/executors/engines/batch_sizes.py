"""How much to have at an engine: how many experiments make a batch, and how many batches are out.

Short experiments travel in batches, and the next batch of a worker is sent while it runs. Of long ones as many wait at
the engine as run: a cluster that grows with its queue (adaptive Dask, Ray's autoscaler) has to see one.
"""

from __future__ import annotations

# Short experiments are sent in batches worth this many seconds.
BATCH_TIME = 0.2
LARGEST_BATCH = 1000
# For each experiment that runs at once so many batches are out.
BATCHES = 2
# A cluster that grows asks for workers by the seconds of work it has been sent, by default one for every five; short
# experiments are sent to it up to so many seconds' worth for each that runs at once.
GROWING = 12.0
# What earlier batches say about how long an experiment takes, beside the latest; each says as much as it has run, so
# that a moment in which a busy machine did something else does not count for a batch of one as for hundreds.
MEMORY = 0.7


class BatchSizes:
    """Learns from batches that have come back how long an experiment takes, `pace` at first (None: not known)."""

    def __init__(self, pace: float | None) -> None:
        self._pace = pace
        self._elapsed = self._ran = 0.0

    def learn(self, elapsed: float, ran: int) -> None:
        """Take note that a batch ran `ran` experiments in `elapsed` seconds."""
        self._elapsed = MEMORY * self._elapsed + elapsed
        self._ran = MEMORY * self._ran + ran
        self._pace = self._elapsed / self._ran

    def size(self, waiting: int, slots: int) -> int:
        """Return how many experiments make a batch where `waiting` are left beside the first of it."""
        if self._pace is None:
            return 1
        fair = waiting // (BATCHES * slots) + 1
        return max(1, min(int(BATCH_TIME / max(self._pace, 1e-6)), LARGEST_BATCH, fair))

    def most(self, slots: int, *, grows: bool) -> int:
        """Return how many batches are to be out where `slots` experiments run at once."""
        if not grows or self._pace is None:
            return BATCHES * slots
        return max(BATCHES, int(GROWING / max(self._pace, BATCH_TIME))) * slots
