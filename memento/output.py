"""What experiments print, kept per attempt: head and tail, never more than `HEAD_KEPT + TAIL_KEPT` bytes."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from pathlib import Path
from typing import Protocol, TextIO, cast

HEAD_KEPT = 16 * 1024
TAIL_KEPT = 40 * 1024
# A file that grows beyond this while its experiment runs is cut to head and tail.
LARGEST_FILE = 64 * 1024 * 1024


class Output(Protocol):
    """Where the output of the experiment that runs now is kept."""

    def take(self) -> bytes:
        """Return what was printed since the last call, capped, and forget it."""
        ...

    def close(self) -> None:
        """Give the streams back."""
        ...


def cap(head: bytes, tail: bytes, left_out: int) -> bytes:
    """Join what was kept of a long output, saying how much is missing."""
    if left_out <= 0:
        return head + tail
    return head + f"\n… {left_out:,} bytes left out …\n".encode() + tail


class FileOutput:
    """Standard output and error of this process, C libraries' included, go to a file.

    The file descriptors themselves are redirected; the file is the same for the worker's whole life, so what an
    experiment had printed when its worker was killed can be read by the parent.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        _unbuffer_c_stdout()
        self._redirect()

    def _redirect(self) -> None:
        self._point_here()
        self._stdout = sys.stdout = _stream(1)
        self._stderr = sys.stderr = _stream(2)

    def _point_here(self) -> None:
        os.dup2(self._file, 1)
        os.dup2(self._file, 2)

    def take(self) -> bytes:
        """Return what was printed since the last call, capped, and forget it."""
        self._repair()
        self._point_here()  # always: to ask where an experiment that closed or redirected them left them takes longer
        # Asked by lseek, which is several times quicker than fstat; what is written is appended wherever this leads.
        if os.lseek(self._file, 0, os.SEEK_END) == 0:
            return b""
        data = read_capped(self._file)
        os.ftruncate(self._file, 0)
        return data

    def _repair(self) -> None:
        # An experiment may have replaced or closed the streams; the next one is to have its own again.
        usable = _flushes(self._stdout)
        usable = _flushes(self._stderr) and usable
        if not usable or sys.stdout is not self._stdout or sys.stderr is not self._stderr:
            self._redirect()

    def close(self) -> None:
        """Close the file; the descriptors 1 and 2 keep pointing to it."""
        os.close(self._file)


def _flushes(stream: TextIO) -> bool:
    """Flush `stream`; return False if it can be written to no more."""
    try:
        stream.flush()
    except ValueError:  # it was closed, or its buffer was taken away
        return False
    except OSError:  # the disk is full: what is printed is lost, and the stream goes on
        return True
    return True


def _stream(descriptor: int) -> TextIO:
    """Return a text stream over `descriptor`, which stays open when the stream is closed."""
    raw = io.FileIO(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)


def read_capped(descriptor: int) -> bytes:
    """Return head and tail of the open file `descriptor`."""
    size = os.fstat(descriptor).st_size
    if size <= HEAD_KEPT + TAIL_KEPT:
        return os.pread(descriptor, size, 0)
    head = os.pread(descriptor, HEAD_KEPT, 0)
    return cap(head, os.pread(descriptor, TAIL_KEPT, size - TAIL_KEPT), size - HEAD_KEPT - TAIL_KEPT)


def shorten(path: Path) -> None:
    """Cut the file at `path`, which its writer goes on appending to, where it has outgrown `LARGEST_FILE`."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_size > LARGEST_FILE:
                kept = read_capped(descriptor)
                os.ftruncate(descriptor, 0)
                os.write(descriptor, kept)
        finally:
            os.close(descriptor)


def _unbuffer_c_stdout() -> None:
    # It is fully buffered when it is a file: a printf would come out with a later experiment, or never.
    with contextlib.suppress(OSError, ValueError, AttributeError, ImportError):
        import ctypes

        libc = ctypes.CDLL(None)
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, 2, 0)  # 2: _IONBF


class StreamOutput:
    """What a thread prints through `sys.stdout` and `sys.stderr`; other threads' output goes where it went before.

    With `echo` it is shown as well, as it should be where the experiment runs before the user's eyes.
    """

    def __init__(self, *, echo: bool) -> None:
        _Splitter.install()
        _kept.buffer = io.StringIO()
        _kept.echo = echo

    def take(self) -> bytes:
        """Return what this thread printed since the last call, capped, and forget it."""
        text: str = _kept.buffer.getvalue()
        if not text:
            return b""
        _kept.buffer = io.StringIO()
        data = text.encode("utf-8", "backslashreplace")
        if len(data) <= HEAD_KEPT + TAIL_KEPT:
            return data
        return cap(data[:HEAD_KEPT], data[-TAIL_KEPT:], len(data) - HEAD_KEPT - TAIL_KEPT)

    def close(self) -> None:
        """Let this thread print as before."""
        _kept.buffer = None
        _Splitter.uninstall()


_kept = threading.local()


class _Splitter(io.TextIOBase):
    """Stands for `sys.stdout` or `sys.stderr` while threads run experiments."""

    _users = 0
    _lock = threading.Lock()
    _originals: tuple[TextIO, TextIO] | None = None

    def __init__(self, original: TextIO) -> None:
        self._original = original

    @classmethod
    def install(cls) -> None:
        with cls._lock:
            if cls._users == 0:
                cls._originals = (sys.stdout, sys.stderr)
                sys.stdout = cast(TextIO, cls(sys.stdout))
                sys.stderr = cast(TextIO, cls(sys.stderr))
            cls._users += 1

    @classmethod
    def uninstall(cls) -> None:
        with cls._lock:
            cls._users -= 1
            if cls._users == 0 and cls._originals is not None:
                # Whoever replaced them meanwhile (a test runner, a notebook) keeps what it set.
                if isinstance(sys.stdout, cls):
                    sys.stdout = cls._originals[0]
                if isinstance(sys.stderr, cls):
                    sys.stderr = cls._originals[1]
                cls._originals = None

    def write(self, text: str) -> int:
        buffer = getattr(_kept, "buffer", None)
        if buffer is None:
            return self._original.write(text)
        if buffer.tell() < LARGEST_FILE:
            buffer.write(text)
        if _kept.echo:
            self._original.write(text)
        return len(text)

    def flush(self) -> None:
        self._original.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._original.isatty()

    def fileno(self) -> int:
        return self._original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._original.encoding or "utf-8"
