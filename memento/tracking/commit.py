"""Which git commit the program that runs was at, read from git's files: starting git takes too long."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def script() -> str:
    """Return the path of the program that runs, "" in a notebook or at a prompt."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return str(Path(path).absolute()) if path else ""


def commit_of(folder: Path) -> str:
    """Return the commit that is checked out at or above `folder`, "" where there is no repository or no commit."""
    try:
        for place in (folder, *folder.parents):
            git = place / ".git"
            if git.exists():
                return _commit_in(git)
    except (OSError, UnicodeDecodeError, IndexError):
        pass  # half a repository is none
    return ""


def _commit_in(git: Path) -> str:
    if git.is_file():  # a worktree or a submodule: "gitdir: <path>"
        git = (git.parent / git.read_text().split(":", 1)[1].strip()).resolve()
    head = (git / "HEAD").read_text().strip()
    if head.startswith("ref:"):
        name = head.split(":", 1)[1].strip()
        common = git / "commondir"
        folders = [git, (git / common.read_text().strip()).resolve()] if common.exists() else [git]
        head = next((found for folder in folders if (found := _reference(folder, name))), "")
    return head if _COMMIT.fullmatch(head) else ""


def _reference(git: Path, name: str) -> str:
    loose = git / name
    if loose.is_file():
        return loose.read_text().strip()
    packed = git / "packed-refs"
    if packed.is_file():
        for line in packed.read_text().splitlines():
            if line.endswith(f" {name}"):
                return line.split(" ", 1)[0]
    return ""
