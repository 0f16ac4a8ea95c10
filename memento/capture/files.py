"""Calls remembered in a file of JSON lines, by all threads and processes that call the function."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memento.capture.append_only import Appender, line_at, new_lines
from memento.capture.call import Call, Found
from memento.capture.calling import F, decorated
from memento.capture.claims import Claims
from memento.capture.lines import NOTE, Line, key_of, read_line
from memento.errors import OptionError, UnkeyableValue


def memfile(filepath: str | os.PathLike[str], skip: bool = False) -> Callable[[F], F]:
    """Append a line of JSON for every call to the file: its arguments by name, and what the function returned.

    A line is in the file, whole, when the call returns. What JSON cannot say is noted in the line, so that
    `read_memfile` gives it back. Arguments are written as they were when the function was called. Tabs part them from
    the result, so that a line still tells which call it is of when the function has got other parameters.

    Args:
        filepath: where to; made with its folders where missing, and lines already in it count for `skip`.
        skip: do not call the function for arguments of which the file has a line, whichever process wrote it, but
            return what it returned. Use a file for one function then: a line does not name its function.

    Raises:
        OptionError: `filepath` is no path.

    Example:
        >>> @memfile("areas.jsonl")
        ... def area(width, height=2):
        ...     return {"area": width * height}
        >>> area(3)
        {'area': 6}
        >>> print(Path("areas.jsonl").read_text(), end="")
        {"width":3,"height":2,  "area":6}
    """
    if not isinstance(filepath, str | os.PathLike) or not str(filepath):
        raise OptionError(f"filepath={filepath!r} is no path of a file", option="filepath", value=filepath)
    path = Path(filepath).absolute()
    return lambda func: decorated(func, recorder=_InFile(path, skip))


def read_memfile(filepath: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the records in a file of `memfile`, with values as they were: dates, paths, arrays, NaN.

    What JSON had no form for comes back as its text. A last line that was torn by a crash is left out.

    Args:
        filepath: the file.

    Raises:
        FileNotFoundError: there is no such file.

    Example:
        >>> import math
        >>> @memfile("roots.jsonl")
        ... def root(x):
        ...     return math.nan if x < 0 else math.sqrt(x)
        >>> _ = root(4), root(-1)
        >>> read_memfile("roots.jsonl")
        [{'x': 4, 'result': 2.0}, {'x': -1, 'result': nan}]
    """
    with open(filepath, "rb") as file:
        lines = (read_line(line) for line in file)
        return [line.record for line in lines if line is not None]


class _InFile:
    at_home, writes, take = False, True, None

    def __init__(self, path: Path, skip: bool) -> None:
        self.skip = skip
        self._path = path
        self.claims = Claims(path) if skip else None
        self._appender = Appender(path)
        self._index = _Index(path) if skip else None

    def __reduce__(self) -> tuple[Any, ...]:
        return _InFile, (self._path, self.skip)

    def keep(self, call: Call) -> None:
        line = call.text.encode("ascii") + b"\n"
        try:
            offset = self._appender.append(line)
        except OSError as error:
            error.add_note(f"not recorded: {call.text[:2000]}")
            raise
        if self._index is not None:
            self._index.note(call, offset, line)

    def find(self, call: Call) -> Found | None:
        return None if self._index is None else self._index.find(call)


NOTE_IN_LINE = f'"{NOTE}":'.encode()


class _Index:
    """Where in the file the line of each combination begins; what was appended since is read before each answer.

    The file may also be edited in place, while we live: it is read anew when the last line that was read is not where
    it was, and when another line stands where the one of a combination did.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = str(path)
        self._lock = threading.RLock()
        self._forget(None)

    def _forget(self, file: tuple[int, int] | None) -> None:
        self._file = file
        self._read = 0
        self._last = 0, b""  # where the last line that was read begins, and the line
        self._places: dict[bytes, int] = {}

    def find(self, call: Call) -> Found | None:
        key = call.key
        with self._lock:
            self._catch_up(call)
            place = self._places.get(key)
            if place is None:
                return None
            line = read_line(line_at(self._path, place), call.stack.names, call.stack.measured)
            if line is not None and _key_told(line, call) == key:
                return Found(record=line.record, result=line.result)
            self._forget(None)  # the other lines may have moved as well, and this one with them
            return self.find(call)

    def note(self, call: Call, offset: int, line: bytes) -> None:
        """Take note of our own `line`, which then need not be read; one with notes is read all the same."""
        with self._lock:
            if self._read == offset and self._file is not None and NOTE_IN_LINE not in line:
                self._places.setdefault(call.key, offset)
                self._read += len(line)
                self._last = offset, line

    def _catch_up(self, call: Call) -> None:
        try:
            status = os.stat(self._text)
        except FileNotFoundError:
            self._forget(None)
            return
        file = status.st_dev, status.st_ino
        if file != self._file or status.st_size < self._read:
            self._forget(file)
        if status.st_size == self._read:
            return
        place, last = self._last
        if not line_at(self._path, place).startswith(last):
            self._forget(file)
        for offset, data in new_lines(self._path, self._read, unended=True):
            self._read = offset + len(data)
            self._last = offset, data
            line = read_line(data, call.stack.names, call.stack.measured)
            key = None if line is None else _key_told(line, call)
            if key is not None:
                self._places.setdefault(key, offset)


def _key_told(line: Line, call: Call) -> bytes | None:
    """Return the key of the call that `line` tells; None where it is no answer for any call of the function of `call`.

    That is one of which a mere text would be read back, or which says nothing of a method's instance.
    """
    if not line.exact:
        return None
    if line.key is not None or line.arguments is None or call.instance:
        return line.key
    try:
        return key_of(line.arguments)
    except UnkeyableValue:
        return None
