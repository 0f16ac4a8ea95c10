"""Whether the nodes see the store: where that is certain before anything is submitted, and then by the first job."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

from memento.errors import SlurmError
from memento.executors.slurm import commands
from memento.executors.slurm.commands import JobState
from memento.executors.slurm.script import NOT_SHARED
from memento.filesystem import is_private, kind_of

ADVICE = "put it where they do: cache_path=, or MEMENTO_CACHE_PATH"
# Of so many nodes it is asked whether they are this machine; a cluster of one machine hardly has more.
MOST = 100


def check_store(store: Path) -> None:
    """Refuse a store that no node can see.

    A disk of this machine is not refused, because it may be lent to the nodes from here.

    Raises:
        SlurmError: it lies in memory, or in a container's own layer, and no node is this machine; or Slurm cannot write
            into it, because of a backslash in its path.
    """
    if "\\" in str(store):
        raise SlurmError(
            f"the store {store} has a backslash in its path, which Slurm drops; give it another: cache_path=, or "
            "MEMENTO_CACHE_PATH",
            command="sbatch",
        )
    if is_private(store) and (nodes := commands.hosts()) and not any(map(_is_here, nodes[:MOST])):
        raise SlurmError(
            f"the store {store} is on {kind_of(store)}, which the nodes of the cluster do not see; {ADVICE}",
            command="sinfo",
        )


def _is_here(address: str) -> bool:
    """Return whether `address` is one of this machine's own."""
    try:
        found = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    return any(_can_listen(family, place) for family, _, _, _, place in found)


def _can_listen(family: int, place: tuple[object, ...]) -> bool:
    with closing(socket.socket(family, socket.SOCK_DGRAM)) as one:
        try:
            one.bind(place)
        except OSError:
            return False
        return True


def unseen(folder: Path, output: Path | None, state: JobState) -> str:
    """Return what to say of a job that began nothing because its node does not see `folder`; empty if it is not that.

    Slurm opens `output` before it runs the job's script (None: the user wanted it elsewhere): a job that failed without
    it could not. Where it could, the script itself says so by its status.
    """
    if state.state != "FAILED" or not ((output is not None and not output.exists()) or state.exit == f"{NOT_SHARED}:0"):
        return ""
    return f"the node {state.node or 'of the job'} does not see the store {folder.parents[1]}; {ADVICE}"
