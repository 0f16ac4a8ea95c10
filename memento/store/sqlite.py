"""The ledger: outcomes, configurations, runs and claims in one SQLite file, large parts in files beside it.

Guarantees: what `save` returned from is synced to the disk; every row carries a checksum and every part a digest,
verified before anything in them is used; the last outcome of a configuration and the end of its claim are one
transaction.
Assumptions: the file system keeps its promises about fsync, rename and flock.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from memento.store import garbage
from memento.store.sharing import Sharer


class SqliteStore(Sharer):
    """The store whose ledger is `database` and whose files lie in `root`; made by `open_store`."""

    def collect(self, *, dry_run: bool = True, superseded_before: float | None = None) -> list[garbage.Garbage]:
        """Return what nothing asks for any more; without `dry_run` it then lies in the trash, until `purge`.

        That is: files that belong to no outcome, what processes left when they died, checkpoints of experiments that
        have succeeded since. Records always stay.

        Args:
            dry_run: only tell; what runs have left that died is taken in all the same.
            superseded_before: also large values and artifacts of results that ended before this moment (seconds since
                the epoch) and were replaced by newer ones; reading one says that it was evicted. And checkpoints from
                before it that another script of the same name has put aside, and whose own never came for them.

        Raises:
            StoreError: a run goes on, or the ledger is damaged; nothing was moved.

        Example:
            >>> from memento.store import open_store
            >>> with open_store("example") as store:
            ...     store.collect()
            []
        """
        self.take_over()
        if dry_run:
            with self._ledger.reading() as database:
                return garbage.find_garbage(self.root, database, superseded_before)
        with self._ledger.writing() as database:  # while which no run can begin
            found = garbage.find_garbage(self.root, database, superseded_before)
            garbage.record_evictions(database, found)
            # Now: a run that begins later may make a checkpoint under the name of one of these.
            garbage.move_to_trash(self.root, [item for item in found if item.entry is None])
        garbage.move_to_trash(self.root, [item for item in found if item.entry is not None])
        return found

    @property
    def trashed(self) -> int:
        """How many bytes lie in the trash."""
        return garbage.trashed(self.root)

    def purge(self) -> int:
        """Remove for good what lies in the trash; return how many bytes that were."""
        return garbage.purge(self.root)

    def close(self) -> None:
        """Close the ledger; it is opened again when something is asked. Idempotent."""
        self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return SqliteStore, (self.root, self.database), self._ledger.first

    def __setstate__(self, first: bytes) -> None:
        self._ledger.expect(first)
