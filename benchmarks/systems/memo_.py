"""memo: its grid of settings, from which what is excluded is taken out afterwards, since it has no rules for that."""

from __future__ import annotations

from pathlib import Path

from common import AXIS, EXCLUDED, LEFT_OF_A_MILLION, Figures, Timed, check
from memo import grid

DISTRIBUTION = "memo"


def eager(size: int, folder: Path) -> Figures:
    with Timed() as timed:
        excluded = {(rule["a"], rule["b"]) for rule in EXCLUDED}
        settings = grid(a=AXIS, b=AXIS, c=AXIS, shuffle=False)
        found = [setting for setting in settings if (setting["a"], setting["b"]) not in excluded]
    check(len(found), LEFT_OF_A_MILLION)
    return timed.figures()


JOBS = {"eager": eager}
