"""What the file system below a store can do, and who sees it."""

from __future__ import annotations

import re
from pathlib import Path

# Shared memory, which the write-ahead log needs, does not work between the hosts of these.
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|lustre|gpfs|beegfs|ceph|afs|9p|virtiofs|glusterfs|orangefs|panfs|fuse(\..*)?"
)


# Nobody else ever sees what lies on these; a disk may be lent to others by this very machine.
_PRIVATE = frozenset(["tmpfs", "ramfs", "overlay", "rootfs", "squashfs"])


def is_network(folder: Path, mounts: str | None = None) -> bool:
    """Return whether `folder` lies on a file system that several hosts share, as far as Linux tells.

    `mounts` is the text of /proc/self/mountinfo; where there is no such file, the answer is no.
    """
    return bool(_NETWORK.fullmatch(kind_of(folder, mounts)))


def is_private(folder: Path, mounts: str | None = None) -> bool:
    """Return whether `folder` lies where no other host can see it, as far as Linux tells."""
    return kind_of(folder, mounts) in _PRIVATE


def kind_of(folder: Path, mounts: str | None = None) -> str:
    """Return the type of the file system that `folder` lies on, as "ext4"; empty where Linux does not tell."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return ""
    place = folder.resolve()
    longest, kind = -1, ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields.split(" ")[4])
        # Of two mounts on one point the later covers the earlier.
        if len(point) >= longest and place.is_relative_to(point):
            longest, kind = len(point), rest.split(" ", 1)[0]
    return kind
