"""What all experiments of one run have in common, which each worker is told once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from memento.sources import Source


class Call(NamedTuple):
    """How an experiment is called: with (context, config), or by the names of its parameters.

    `names` are the parameters and settings it takes by keyword (None: it is called positionally).
    """

    names: tuple[str, ...] | None = None
    context: bool = True
    config: bool = True
    replicate: bool = False


class Job(NamedTuple):
    """What all tasks of one run have in common; made once, sent to each worker once.

    `experiment` is the callable, and `configurations` gives `private(index)`, a configuration of the worker's own;
    `call` says how the one is called with the other. `store` and `spool` are absolute paths of folders.
    """

    run: bytes
    experiment: Callable[..., Any]
    configurations: Any
    call: Call
    store: str
    spool: str
    main: str = ""
    """What `__main__` is called where the experiment comes from."""
    classes: tuple[str, ...] = ()
    """The names of the classes that it defines."""
    working_directory: str = ""
    import_path: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    """The `sys.argv` of the script."""
    deadline: float | None = None
    """When the place it runs in ends (seconds since the epoch), as a batch job does; None: not known."""
    pace: float | None = None
    """How many seconds experiments took that are stored already; None: none are."""
    origin: str = ""
    """Which file the experiment comes from, as seen from the store's folder; empty where that is not known."""
    assigned: tuple[tuple[str, str, Any], ...] = ()
    """What was set on modules of the project: the module, a dotted path in it, and the value."""
    modules: tuple[str, ...] = ()
    """The modules of the project that the experiment's code is in: to import one may enter it in a table of another."""
    sources: tuple[Source, ...] = ()
    """The project's source files as they were when the run began."""
    code_change: str = "warn"
    """What becomes of values that older code gave, where a function that remembers is called."""
    synced: bool = True
    """Whether large parts are on the disk when a worker tells of them; else the store sees to that, on its machine."""
