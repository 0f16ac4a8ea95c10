"""How jobs are made of configurations, whatever these need: one object, from the executor to the batch script."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What `SlurmExecutor` was told, under the same names; `pack` is None where it is "auto".

    `directory` is where the user's script is run, and `setup` with it.
    """

    pack: int | None = None
    workers: int = 1
    max_jobs: int | None = None
    warning: float = 60.0
    max_requeues: int = 100
    setup: tuple[str, ...] = ()
    python: str = sys.executable
    directory: str = "."
