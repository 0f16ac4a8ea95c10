"""The library broken on purpose: each a small change to its text, and the trial that has to fail on it.

A trial that fails on nothing proves nothing. `test_breakages.py` applies each to a copy, and runs the trial there.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakage:
    """In `file` (below the project's root) `old` becomes `new`, upon which `trial` (below tests/faults) has to fail.

    `trial` is what pytest takes: a file, or ``file.py::test_name``; its short form is run. `old` occurs exactly once.
    """

    name: str
    file: str
    old: str
    new: str
    trial: str


BREAKAGES: list[Breakage] = []
