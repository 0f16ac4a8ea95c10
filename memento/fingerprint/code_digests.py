"""What is known of code that was looked at: the digests of its parts by name, its files, and what was not found."""

from __future__ import annotations

import ast
import hashlib

from memento.hashing import syntax


class CodeDigests:
    """Collects what changes when code does.

    Attributes:
        digests: texts, most of them digests, by the name of the function, class or value that they are of.
        notes: what could not be looked at.
        files: what was looked into.
    """

    def __init__(self) -> None:
        self.digests: dict[str, set[str]] = {}
        self.notes: list[str] = []
        self.files: set[str] = set()

    def record(self, name: str, text: str) -> None:
        """Take `text` for one more thing that is to be known of `name`."""
        self.digests.setdefault(name, set()).add(text)

    def note(self, name: str) -> None:
        """Say that there is no source of `name`."""
        self.notes.append(f"the source of {name} was not found: not every change to it will be noticed")

    def tree_of(self, file: str | None) -> ast.Module | None:
        """Return the syntax tree of `file`, which is looked into from now on; None where there is none."""
        if file is None:
            return None
        self.files.add(file)
        return syntax.tree_of(file)

    def combined(self) -> dict[str, str]:
        """Return one digest for each name, in order."""
        return {name: _combined(digests) for name, digests in sorted(self.digests.items())}


def _combined(digests: set[str]) -> str:
    if len(digests) == 1:
        return next(iter(digests))
    return hashlib.sha256(" ".join(sorted(digests)).encode()).hexdigest()[:32]
