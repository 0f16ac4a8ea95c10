"""Ports of loopback for servers that start a moment later."""

from __future__ import annotations

import random
import socket
from pathlib import Path

# Ray's workers listen on ports from 10002 to 19999.
_FIRST = 20_000


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has and, where there is such, that no system hands out.

    What `bind` to port 0 gives is free for this instant only: a Ray or Dask that starts before the server does may be
    given the same one. Linux hands out nothing below its range of ephemeral ports.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    below = range(_FIRST, ephemeral)
    for port in (*random.SystemRandom().sample(below, min(100, len(below))), 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("no port is free")
