"""Events as a run would make them, for the tests of who is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from memento import generate_configurations
from memento.events import Counts, Failed, RunFinished, RunStarted, Succeeded
from memento.notifications import ProviderListener
from memento.task import Failure, Status

CONFIGURATIONS = generate_configurations({"parameters": {"model": ["svm", "tree"], "lr": [0.1, 0.2]}})

TRACEBACK = 'Traceback (most recent call last):\n  File "train.py", line 7, in fit\nValueError: singular matrix\n'


def started(**fields: Any) -> RunStarted:
    return RunStarted(**{"name": "train", "workers": 2, "counts": Counts(total=4), **fields})


def succeeded(place: int = 0, **fields: Any) -> Succeeded:
    config = CONFIGURATIONS[place % 4]
    fields = {"duration": 3.21, "elapsed": 4.0, "left": 9.0, "counts": Counts(total=4, succeeded=1), **fields}
    return Succeeded(config=config, key=config.key, **fields)


def failed(place: int = 0, message: str = "singular matrix", kind: str = "ValueError", **fields: Any) -> Failed:
    config = CONFIGURATIONS[place % 4]
    failure = Failure(type=kind, message=message, traceback=fields.pop("traceback", TRACEBACK))
    fields = {"duration": 3.21, "elapsed": 4.0, "left": 130.0, "status": Status.FAILED, **fields}
    fields = {"counts": Counts(total=4, stored=1, failed=1), **fields}
    return Failed(config=config, key=config.key, failure=failure, **fields)


def finished(**fields: Any) -> RunFinished:
    counts = Counts(total=12, stored=4, succeeded=7, failed=1)
    return RunFinished(**{"name": "train", "elapsed": 3.21, "counts": counts, **fields})


def tell(provider: Any, *events: Any, **options: Any) -> ProviderListener:
    """Tell a provider of a whole run, as a run would: only what it hears."""
    listener = ProviderListener(provider, **options)
    for event in events:
        if isinstance(event, listener.hears):
            listener.handle(event)
    listener.close()
    return listener


def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
