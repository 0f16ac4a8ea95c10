"""The Pythons of this machine on which memento has to give the same keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SUPPORTED = (11, 12, 13)


def pythons() -> list[str]:
    """Return the interpreters that there are, this one first: one of each other version, from pyenv or the PATH."""
    found = {sys.version_info.minor: sys.executable}
    for minor in SUPPORTED:
        path = _from_pyenv(minor) or shutil.which(f"python3.{minor}")
        if path is not None and _runs(path, minor):
            found.setdefault(minor, path)
    return list(found.values())


def _from_pyenv(minor: int) -> str | None:
    if shutil.which("pyenv") is None:
        return None
    root = os.environ.get("PYENV_ROOT") or subprocess.run(["pyenv", "root"], capture_output=True, text=True).stdout
    return next(map(str, sorted(Path(root.strip()).glob(f"versions/3.{minor}.*/bin/python"))), None)


def _runs(path: str, minor: int) -> bool:
    """Return whether this is what it is called: a launcher of pyenv may stand for nothing."""
    asked = [path, "-c", "import sys; print(sys.version_info.minor)"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() == str(minor)
