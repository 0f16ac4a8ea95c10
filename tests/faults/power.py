"""What a disk may hold after a power cut, from the changes that were made to it and the syncs that were asked for.

A file's bytes are safe once the file was synced, a folder's names once the folder was. Of what was not safe at the cut
each piece may be there, gone, zeroed or torn, and in any order; only what one sync made safe is certain. That is less
than most file systems give, and what their interface promises.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.shim import Change

SECTOR = 512
NAMES = ("none", "all", "a beginning", "any")
BYTES = ("none", "all", "mixed")


@dataclass(eq=False)
class File:
    """A file: what is safe of it, and what was done since."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        """Make safe what was done so far."""
        for change in self.pending:
            _apply(self.safe, change)
        self.pending = []

    def after(self, rng: random.Random, how: str) -> bytes:
        """Return what may be left of it."""
        data = bytearray(self.safe)
        for change in self.pending if how != "none" else ():
            for part in [change] if how == "all" else _remains(change, rng):
                _apply(data, part)
        return bytes(data)


@dataclass(eq=False)
class Folder:
    """A folder: the names that a running process sees in it."""

    names: dict[str, File | Folder] = field(default_factory=dict)


@dataclass(eq=False)
class Naming:
    """One change of names: `node` is from now on `name` in `folder` (if any), and no longer `old` in `old_folder`."""

    node: File | Folder
    folder: Folder | None
    name: str
    old_folder: Folder | None
    old: str
    safe: bool = False


class Disk:
    """Follows the changes to a folder, and makes what they may have left when the power was cut."""

    def __init__(self) -> None:
        self.root = Folder()
        self._files: dict[int, File] = {}
        self._namings: list[Naming] = []

    def follow(self, change: Change) -> None:
        """Take note of the next change."""
        if change.op in ("create", "mkdir"):
            node: File | Folder = Folder() if change.op == "mkdir" else File()
            if isinstance(node, File):
                self._files[change.inode] = node
            if change.path:
                self._name(Naming(node, *self._place(change.path), None, ""))
        elif change.op == "rename":
            old_folder, old = self._place(change.path)
            folder, name = self._place(change.other)
            self._name(Naming(old_folder.names[old], folder, name, old_folder, old))
        elif change.op == "remove":
            old_folder, old = self._place(change.path)
            self._name(Naming(old_folder.names[old], None, "", old_folder, old))
        elif change.op == "sync":
            self._sync(change)
        elif change.inode in self._files:
            self._files[change.inode].pending.append(change)

    def _name(self, naming: Naming) -> None:
        _do(naming)
        self._namings.append(naming)

    def _sync(self, change: Change) -> None:
        folder = self._folder(change.path)
        if folder is None:  # a file, which may have another name by now, or none
            self._files[change.inode].sync()
            return
        for naming in self._namings:
            naming.safe = naming.safe or (naming.folder or naming.old_folder) is folder

    def _place(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        folder = self._folder(above)
        assert folder is not None
        return folder, name

    def _folder(self, path: str) -> Folder | None:
        """Return the folder at `path`, or None. Its inode does not tell: a file may have had that before."""
        folder = self.root
        for name in path.split("/") if path else ():
            below = folder.names.get(name)
            if not isinstance(below, Folder):
                return None
            folder = below
        return folder

    def leave(self, target: Path, rng: random.Random) -> str:
        """Write into `target` what may be left if the power is cut now; return which of the many ways it was."""
        names, content = rng.choice(NAMES), rng.choice(BYTES)
        unsafe = [naming for naming in self._namings if not naming.safe]
        lasting = set(self._namings) - set(unsafe)
        if names == "all":
            lasting.update(unsafe)
        elif names == "a beginning":
            lasting.update(unsafe[: rng.randrange(len(unsafe) + 1)])
        elif names == "any":
            lasting.update(naming for naming in unsafe if rng.random() < 0.5)
        tree: dict[int, dict[str, File | Folder]] = {}
        for naming in self._namings:
            if naming in lasting:
                _do_in(tree, naming)
        _write(self.root, tree, target, rng, content)
        return f"names: {names}, bytes: {content}"


def _do(naming: Naming) -> None:
    if naming.old_folder is not None:
        del naming.old_folder.names[naming.old]
    if naming.folder is not None:
        naming.folder.names[naming.name] = naming.node


def _do_in(tree: dict[int, dict[str, File | Folder]], naming: Naming) -> None:
    if naming.old_folder is not None:
        names = tree.setdefault(id(naming.old_folder), {})
        if names.get(naming.old) is naming.node:
            del names[naming.old]
    if naming.folder is not None:
        tree.setdefault(id(naming.folder), {})[naming.name] = naming.node


def _write(
    folder: Folder, tree: dict[int, dict[str, File | Folder]], target: Path, rng: random.Random, how: str
) -> None:
    target.mkdir(exist_ok=True)
    for name, node in tree.get(id(folder), {}).items():
        if isinstance(node, Folder):
            _write(node, tree, target / name, rng, how)
        else:
            (target / name).write_bytes(node.after(rng, how))


def _apply(data: bytearray, change: Change) -> None:
    end = change.offset + len(change.data)
    if change.op == "truncate":
        del data[change.offset :]
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    data[change.offset : end] = change.data


def _remains(change: Change, rng: random.Random) -> Iterator[Change]:
    """Return what is left of a change that nobody synced: all, nothing, zeros, or some of its sectors."""
    fate = rng.choice(("all", "nothing", "zeros", "torn"))
    if change.op == "truncate":
        yield from [change] if fate in ("all", "torn") else []
    elif fate == "all":
        yield change
    elif fate == "zeros":
        yield change._replace(data=bytes(len(change.data)))
    elif fate == "torn":
        position = 0
        while position < len(change.data):
            end = min(len(change.data), position + SECTOR - (change.offset + position) % SECTOR)
            if rng.random() < 0.5:
                yield change._replace(offset=change.offset + position, data=change.data[position:end])
            position = end
