"""What the file system below a store can do."""

from __future__ import annotations

import re
from pathlib import Path

# Shared memory, which the write-ahead log needs, does not work between the hosts of these.
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|lustre|gpfs|beegfs|ceph|afs|9p|virtiofs|glusterfs|orangefs|panfs|fuse(\..*)?"
)


def is_network(folder: Path, mounts: str | None = None) -> bool:
    """Return whether `folder` lies on a file system that several hosts share, as far as Linux tells.

    `mounts` is the text of /proc/self/mountinfo; where there is no such file, the answer is no.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
        except OSError:
            return False
    place = folder.resolve()
    longest, kind = -1, ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields.split(" ")[4])
        # Of two mounts on one point the later covers the earlier.
        if len(point) >= longest and place.is_relative_to(point):
            longest, kind = len(point), rest.split(" ", 1)[0]
    return bool(_NETWORK.fullmatch(kind))
