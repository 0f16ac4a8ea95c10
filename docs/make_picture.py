"""Writes docs/images/terminal.svg: what a terminal shows when the README's example is run twice.

Run it as `python docs/make_picture.py` when that has changed. The program runs in a real pseudo-terminal, and an
emulator (pyte, in the dependency group docs) makes out what ends up on the screen.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import tempfile
import termios
from html import escape
from itertools import groupby
from pathlib import Path

import pyte

ROOT = Path(__file__).parents[1]
COLUMNS, LINES = 112, 60
CHARACTER_WIDTH, LINE_HEIGHT, MARGIN = 8.4, 19, 16
BACKGROUND, FOREGROUND, PROMPT = "#1d2330", "#d7dce5", "#8fc98b"
COLOURS = {
    "red": "#ef7d7d",
    "green": PROMPT,
    "brown": "#e5c07b",
    "blue": "#7fb2f0",
    "magenta": "#c99bd8",
    "cyan": "#74c7c7",
}


def run_in_terminal(command: list[str], folder: Path) -> bytes:
    """Return everything that `command` writes to a terminal of its own."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(command[0], command, {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    written = b""
    try:
        while data := os.read(terminal, 65536):
            written += data
    except OSError:  # how Linux says that the other end of a pseudo-terminal is closed
        pass
    os.close(terminal)
    if os.waitpid(pid, 0)[1] != 0:
        raise SystemExit(written.decode())
    return written


def as_svg(screen: pyte.Screen) -> str:
    """Return the lines of `screen`, down to the last one that is not empty, as a drawing."""
    shown = [[screen.buffer[y][x] for x in range(COLUMNS)] for y in range(LINES)]
    while shown and not "".join(cell.data for cell in shown[-1]).strip():
        shown.pop()
    width = COLUMNS * CHARACTER_WIDTH + 2 * MARGIN
    height = len(shown) * LINE_HEIGHT + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" '
        f'width="{width:.0f}" height="{height}" '
        'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="14" role="img" '
        'aria-label="The README&apos;s example run twice in a terminal: the second time all comes from the store.">',
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
    ]
    for row, cells in enumerate(shown):
        x = 0
        for colour, run in groupby(cells, key=lambda cell: COLOURS.get(cell.fg, FOREGROUND)):
            text = "".join(cell.data for cell in run)
            if shown_text := text.rstrip():
                left, top = MARGIN + x * CHARACTER_WIDTH, MARGIN + (row + 0.75) * LINE_HEIGHT
                length = len(shown_text) * CHARACTER_WIDTH
                parts.append(
                    f'<text x="{left:.1f}" y="{top:.1f}" fill="{colour}" xml:space="preserve" '
                    f'textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs">{escape(shown_text)}</text>'
                )
            x += len(text)
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    """Run the first program of README.md twice, and draw the screen."""
    fence = re.search(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert fence, "README.md has no program"
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "birthday.py").write_text(fence[1])
        for _ in range(2):
            stream.feed(b"\x1b[32m$\x1b[0m python birthday.py\r\n")
            stream.feed(run_in_terminal([sys.executable, "birthday.py"], Path(folder)))
    (ROOT / "docs/images/terminal.svg").write_text(as_svg(screen))


if __name__ == "__main__":
    main()
