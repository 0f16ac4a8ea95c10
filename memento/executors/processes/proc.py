"""Processes as Linux lists them in /proc: those below one, and the end of what is left of sessions."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from typing import NamedTuple

# What has been killed gets this long to be gone.
LAST_PATIENCE = 1.0


class Listed(NamedTuple):
    """What Linux says of a process."""

    ended: bool
    parent: int
    session: int
    started: int
    """In clock ticks since the machine's start: process ids are used again, pairs with this are not."""


def descendants(root: int) -> list[int]:
    """Return the processes below `root` that have not ended, as Linux lists them; empty elsewhere."""
    listed = _all_listed()
    found: list[int] = []
    below = {root}
    while below:
        below = {process for process, one in listed.items() if one.parent in below}
        found.extend(process for process in below if not listed[process].ended)
    return found


def end_sessions(leaders: Mapping[int, int]) -> None:
    """Kill what is left of the sessions that `leaders`, process ids and when each started, lead or have led.

    The id of a leader that has ended is given to nobody while somebody is in its session. So whoever is in the session
    of a leader that is gone belongs to it; and where another process bears the leader's id, nobody is left.
    """
    unseen = 0
    until = time.monotonic() + LAST_PATIENCE
    while unseen < 2 and time.monotonic() < until:
        listed = _all_listed()
        ours = {one for one, started in leaders.items() if one not in listed or listed[one].started == started}
        alive = [process for process, one in listed.items() if one.session in ours and not one.ended]
        unseen = 0 if alive else unseen + 1  # once is not enough: one may have been started while the list was read
        for process in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.001)


def start_of(process: int) -> int:
    """Return when `process` started, 0 if that is not known."""
    listed = _listed(process)
    return 0 if listed is None else listed.started


def _all_listed() -> dict[int, Listed]:
    try:
        processes = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return {}
    return {process: one for process in processes if (one := _listed(process)) is not None}


def _listed(process: int) -> Listed | None:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # The command may hold blanks and brackets: the fields are counted from its end.
            fields = file.read().rsplit(b")", 1)[1].split()
    except OSError:
        return None
    return Listed(ended=fields[0] == b"Z", parent=int(fields[1]), session=int(fields[3]), started=int(fields[19]))
