"""What a user says about how to run, checked before anything runs."""

from __future__ import annotations

import os
from dataclasses import dataclass

from memento.errors import OptionError
from memento.given import number, one_of, seconds
from memento.running.retries import Retries, RetryPolicy

ON_ERROR = ("raise", "return", "stop")
DRY_RUN = (True, False, "script")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The options of one run; see `Memento.run` for what they mean.

    Raises:
        OptionError: one cannot be meant.
    """

    dry_run: bool | str = False
    force_run: bool = False
    force_cache: bool = False
    cache_path: str | os.PathLike[str] | None = None
    notify_on_complete: bool = True
    on_error: str = "raise"
    max_failures: float | None = None
    timeout: float | None = None
    retries: Retries = 0
    progress: bool | str | None = None
    wait: bool = True

    def __post_init__(self) -> None:
        one_of("dry_run", self.dry_run, DRY_RUN)
        one_of("on_error", self.on_error, ON_ERROR)
        if self.force_run and self.force_cache:
            raise OptionError("force_run and force_cache exclude each other", option="force_run", value=True)
        if self.timeout is not None:
            object.__setattr__(self, "timeout", seconds("timeout", self.timeout))
        if self.max_failures is not None:
            object.__setattr__(self, "max_failures", number("max_failures", self.max_failures, 1, finite=False))
        RetryPolicy(self.retries)
