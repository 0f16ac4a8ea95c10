"""How much memory a job has, and how many of its processes the kernel has killed for using more."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def granted() -> int | None:
    """Return the bytes that this job has for each CPU that it asked for, None where Slurm does not say."""
    for name, parts in (
        ("SLURM_MEM_PER_CPU", 1),
        ("SLURM_MEM_PER_NODE", int(os.environ.get("SLURM_CPUS_ON_NODE", "1"))),
    ):
        megabytes = os.environ.get(name, "")
        if megabytes.isdecimal() and int(megabytes):
            return int(megabytes) * 1024 * 1024 // max(1, parts)
    return None


def of_one(together: int) -> float | None:
    """Return the bytes that each of `together` configurations has that run at once in this job, None: not known.

    Slurm gives more CPUs where the memory of one would be beyond MaxMemPerCPU, so that they do not count.
    """
    each = granted()
    return None if each is None else each * int(os.environ.get("SLURM_CPUS_ON_NODE", "1")) / together


def kills(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> int:
    """Return how often the kernel has killed a process in the control groups of this one; 0 where it does not count."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return 0
    total = 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            total += _sum(root / path.lstrip("/"), root, "memory.events")
        elif "memory" in controllers.split(","):
            total += _sum(root / "memory" / path.lstrip("/"), root / "memory", "memory.oom_control")
    return total


def _sum(folder: Path, top: Path, name: str) -> int:
    total = 0
    # The job's own groups only: a kill in a group above may be somebody else's.
    while folder != top and re.search(r"job_\d+", str(folder)):
        try:
            found = re.search(r"^oom_kill (\d+)", (folder / name).read_text(), re.MULTILINE)
        except OSError:
            found = None
        total += int(found[1]) if found else 0
        folder = folder.parent
    return total
