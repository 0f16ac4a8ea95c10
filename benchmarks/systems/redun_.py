"""redun: the hash of a configuration given to a task as one dict, its cheapest way; several arguments cost more."""

from __future__ import annotations

import itertools
from pathlib import Path

from common import KEYED, Figures, Timed, check
from redun.value import get_type_registry

DISTRIBUTION = "redun"


def keys(size: int, folder: Path) -> Figures:
    registry = get_type_registry()
    configurations = [dict(zip(KEYED, values, strict=True)) for values in itertools.product(*KEYED.values())]
    with Timed() as timed:
        found = [registry.get_hash(configuration) for configuration in configurations]
    check(len(set(found)), size)
    return timed.figures()


JOBS = {"keys": keys}
