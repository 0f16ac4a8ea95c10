"""Between a script and its disk: kill at a call, fail at a call, or write every change down. See shim.c."""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).with_name("shim.c")


class Kind(IntFlag):
    """What a call does."""

    WRITE = 1
    SYNC = 2
    RENAME = 4
    TRUNCATE = 8
    REMOVE = 16
    CREATE = 32
    READ = 64
    CHANGES = 63


class Mode(IntEnum):
    """What happens at the chosen call."""

    COUNT = 0
    KILL_CALLER = 1
    FREEZE_ALL = 2
    FAIL_ONCE = 3
    FAIL_ALWAYS = 4
    RECORD = 5


class When(IntEnum):
    """Whether the chosen call has not happened, has happened in part, or has happened when all ends."""

    BEFORE = 0
    HALFWAY = 1
    AFTER = 2


class State(ctypes.Structure):
    """`struct state` of shim.c."""

    _fields_ = (
        ("count", ctypes.c_int64), ("target", ctypes.c_int64),
        ("mode", ctypes.c_int32), ("when", ctypes.c_int32), ("kinds", ctypes.c_int32), ("error", ctypes.c_int32),
        ("fired", ctypes.c_int32), ("pid", ctypes.c_int32),
        ("what", ctypes.c_char * 200), ("only", ctypes.c_char * 40),
    )  # fmt: skip


ENTRY = struct.Struct("<IIIIQq")


class Change(NamedTuple):
    """One change to the watched folder; `op` is a name of `OPS`, paths are below the folder."""

    op: str
    path: str
    other: str
    inode: int
    offset: int
    data: bytes


OPS = ("", "write", "sync", "rename", "truncate", "remove", "create", "mkdir")


@functools.cache
def library() -> Path:
    """Return the shim, compiled; the test is skipped where there is no C compiler, or no Linux."""
    if sys.platform != "linux":
        pytest.skip("the shim that watches system calls is made for Linux")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler to make the shim with (.ci/run installs gcc)")
    made = Path(tempfile.mkdtemp(prefix="memento-shim-")) / "shim.so"
    command = [compiler, "-O1", "-Wall", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run(command, check=True, timeout=60)
    return made


class Shim:
    """Watches what is done below `root`; give `env` to the script."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._path, self.trace, self.root = folder / "shim.state", folder / "shim.trace", root
        self._path.write_bytes(bytes(ctypes.sizeof(State)))
        with open(self._path, "r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), ctypes.sizeof(State))
        self.state = State.from_buffer(self._mapped)
        self.env = {
            "LD_PRELOAD": str(library()),
            "MEMENTO_SHIM_STATE": str(self._path),
            "MEMENTO_SHIM_ROOT": str(root),
            "MEMENTO_SHIM_TRACE": str(self.trace),
        }

    def arm(
        self, mode: Mode, target: int = 0, *, when: When = When.BEFORE, kinds: Kind = Kind.CHANGES,
        error: int = errno.EIO, only: str = "",
    ) -> None:  # fmt: skip
        """Have `mode` happen at call number `target` of `kinds`, counted from now on.

        With `only`, those are counted whose name and file, as in `what`, hold that text.
        """
        ctypes.memset(ctypes.addressof(self.state), 0, ctypes.sizeof(State))
        self.state.mode, self.state.target, self.state.when = mode, target, when
        self.state.kinds, self.state.error, self.state.only = kinds, error, only.encode()

    @property
    def fired(self) -> bool:
        """Whether the chosen call was met."""
        return bool(self.state.fired)

    @property
    def what(self) -> str:
        """The chosen call and its file."""
        return self.state.what.decode(errors="replace")

    def changes(self) -> Iterator[Change]:
        """Return what was recorded, in the order in which it happened."""
        data = self.trace.read_bytes()
        position, prefix = 0, len(os.fspath(self.root)) + 1
        while position < len(data):
            op, path, other, length, inode, offset = ENTRY.unpack_from(data, position)
            position += ENTRY.size
            texts = []
            for size in (path, other):
                texts.append(data[position : position + size].decode()[prefix:])
                position += size
            yield Change(OPS[op], texts[0], texts[1], inode, offset, data[position : position + length])
            position += length
