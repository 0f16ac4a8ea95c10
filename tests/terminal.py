"""A real terminal for tests, without a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import threading
import time


class Terminal:
    """A real pseudo-terminal of a given width, and what is on its screen."""

    def __init__(self, columns=100, encoding="utf-8"):
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream = os.fdopen(slave, "w", encoding=encoding)
        self.raw = ""
        self._encoding = encoding
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the other end was closed
                return
            if not data:
                return
            self.raw += data.decode(self._encoding)

    @property
    def screen(self):
        """The lines that a reader sees: a return goes to the front of the line, what follows overwrites it."""
        mark = f"<{time.monotonic()}>"
        self.stream.write(mark)
        self.stream.flush()
        deadline = time.monotonic() + 10
        while mark not in self.raw and time.monotonic() < deadline:
            time.sleep(0.002)
        self.raw = self.raw.replace(mark, "")
        lines = []
        for line in re.sub(r"\x1b\[[0-9;]*m", "", self.raw).split("\r\n"):
            shown = ""
            for piece in line.split("\r"):
                shown = piece + shown[len(piece) :]
            lines.append(shown.rstrip())
        return lines

    def close(self):
        self.stream.close()
        self._reader.join(5)
        os.close(self._master)
