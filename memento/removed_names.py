"""Names of memento-ml 1.2 that this library does not have, and what to use instead; asked when an import fails."""

from __future__ import annotations

_QUEUE = "Memento(experiment).run(matrix) runs many calls side by side; their order is that of the matrix"

INSTEAD = {
    "CacheProvider": "Cache(func, cache_provider=...) takes any object with make_key, get (raises KeyError) and set, "
    "as memento.memoizing.CacheProvider describes",
    "FileSystemCacheProvider": "Cache(func, store='folder') keeps values on the disk, and reads no files of memento-ml",
    "FileSystemCheckpointing": "an experiment calls context.checkpoint(state), checkpoint_exist() and restore()",
    "MemoryCacheProvider": "functools.cache keeps values in memory, memento.Cache(func) on the disk",
    "TASK_PRIORITY_HIGH": _QUEUE,
    "TASK_PRIORITY_LOW": _QUEUE,
    "TASK_PRIORITY_MEDIUM": _QUEUE,
    "TaskManager": _QUEUE,
    "default_key_provider": "Config.key is the key of a configuration, and Cache(func).key(*args) that of a call",
    "delayed": "functools.partial(func, *args) is a call for later",
}


def refuse(name: str) -> None:
    """Say what to use instead of `name`, one of those above.

    Raises:
        ImportError: always. An AttributeError would be told as "cannot import name", without the reason.
    """
    raise ImportError(f"memento has no {name!r}, which memento-ml 1.2 had: {INSTEAD[name]}", name=f"memento.{name}")
