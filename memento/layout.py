"""Where things lie in a store's folder.

::

    <root>/
      ledger.sqlite                        heads and small parts of every outcome
      blobs/<aa>/<key>.<run>.<attempt>.<part>   large parts, one file each, complete or absent
      checkpoints/<aa>/<key>               the state an unfinished experiment goes on from
      artifacts/<aa>/<key>/<run>.<attempt>/     what an experiment wrote into `context.directory`
      spool/<run>/                         a running run: its lock, and the files of its workers
      tracking/<run>.<number>              whom to tell of a run, and what was told; gone when all is
"""

from __future__ import annotations

from pathlib import Path

CHECKPOINTS = "checkpoints"
REMOTE = "remote"
"""In the folder of a run whose work goes on elsewhere when its process is gone; says by which engine."""


def blob_path(root: Path, key: bytes, run: bytes, attempt: int, part: str) -> Path:
    """Return where one part of an outcome lies when it is too large for the ledger."""
    return blob_folder(root, key) / f"{key.hex()}.{run.hex()}.{attempt}.{part}"


def blob_folder(root: Path, key: bytes) -> Path:
    """Return the folder in which the large parts of every outcome of `key` lie."""
    return root / "blobs" / key[:1].hex()


def checkpoint_path(root: Path, key: bytes) -> Path:
    """Return where the checkpoint of `key` lies."""
    name = key.hex()
    return root / CHECKPOINTS / name[:2] / name


def artifact_path(root: Path, key: bytes, run: bytes, attempt: int) -> Path:
    """Return the folder of what one attempt wrote; none shares it, so that none reads another's torn files."""
    name = key.hex()
    return root / "artifacts" / name[:2] / name / f"{run.hex()}.{attempt}"


def spool_path(root: Path, run: bytes) -> Path:
    """Return the folder of a run that goes on."""
    return root / "spool" / run.hex()


def tracking_path(root: Path) -> Path:
    """Return the folder of what trackers are still to be told."""
    return root / "tracking"
