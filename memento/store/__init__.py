"""Where outcomes are kept for ever."""

from memento.entry import Entry
from memento.store.opening import open_store
from memento.store.runs import Run
from memento.store.sqlite import SqliteStore

__all__ = ["Entry", "Run", "SqliteStore", "open_store"]
