"""`sync`: deliver what could not be delivered while a run went on, or after its process was killed."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from memento.errors import StoreError
from memento.store import open_store
from memento.store.opening import place_of
from memento.tracking.courier_process import CourierProcess
from memento.tracking.journal import journals_in


@dataclass(frozen=True, kw_only=True, slots=True)
class Synced:
    """What a `sync` came to.

    `delivered` counts configurations, `left` the runs of which not everything is told yet (they are kept, and may still
    be going on), `waiting` the configurations that are known to be missing, and `problems` says why.
    """

    delivered: int = 0
    left: int = 0
    waiting: int = 0
    problems: tuple[str, ...] = ()


def sync(cache_path: str | os.PathLike[str] | None = None) -> Synced:
    """Deliver to their trackers the runs in a store that were not delivered completely, each thing once.

    Runs at a tracker whose program was killed are ended there as killed. It may be called at any time, also twice at
    once or while runs go on, and may itself be killed: the next call goes on from there.

    Args:
        cache_path: the store, as in `Memento.run`; by default ``$MEMENTO_CACHE_PATH`` or ``.memento``.

    Raises:
        StoreError: there is no store, or it cannot be read.

    Example:
        >>> from memento import open_store
        >>> open_store("a store").close()
        >>> sync("a store")
        Synced(delivered=0, left=0, waiting=0, problems=())
    """
    place = place_of(cache_path)
    if not place.exists():
        raise StoreError(f"there is no store at {place}; say where it is, as in run(cache_path=...)", path=str(place))
    with open_store(cache_path) as store:
        if not journals_in(store.root):
            return Synced()
        root, ledger = store.root, store.database
    errand = CourierProcess(ledger)
    problem = errand.finish(math.inf)
    said = errand.summary()
    problems = tuple(said.get("problems", ())) or ((problem,) if problem else ())
    left = said.get("left", len(journals_in(root)) if problem else 0)
    return Synced(delivered=said.get("delivered", 0), left=left, waiting=said.get("waiting", 0), problems=problems)
