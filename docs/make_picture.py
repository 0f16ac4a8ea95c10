"""Writes docs/images/terminal.svg: what a terminal shows of `make demo`, in the middle and at the end.

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
from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

import pyte
from pyte.screens import Char

ROOT = Path(__file__).parents[1]
COLUMNS, LINES = 118, 40
CHARACTER_WIDTH, LINE_HEIGHT, MARGIN = 8.43, 19, 16
BACKGROUND, FOREGROUND, PROMPT, RULE = "#1d2330", "#d7dce5", "#8fc98b", "#465066"
COLOURS = {"red": "#ef7d7d", "green": PROMPT, "brown": "#e5c07b", "blue": "#7fb2f0", "magenta": "#c99bd8"}
IN_THE_MIDDLE = re.compile(r"\b[67]\d%")

Line = list[Char]


def run_in_terminal(command: list[str], folder: Path) -> tuple[list[Line], list[Line]]:
    """Return the screens of `command` in the middle and at its end."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    stream.feed(b"\x1b[32m$\x1b[0m make demo\r\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execve(command[0], command, {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    middle: list[Line] = []
    try:
        while data := os.read(terminal, 65536):
            stream.feed(data)
            if not middle and any(IN_THE_MIDDLE.search(line) for line in screen.display):
                middle = lines_of(screen)
    except OSError:  # how Linux says that the other end of a pseudo-terminal is closed
        pass
    os.close(terminal)
    end = lines_of(screen)
    if os.waitpid(pid, 0)[1] != 0:
        raise SystemExit("\n".join("".join(cell.data for cell in line) for line in end))
    return middle, end


def lines_of(screen: pyte.Screen) -> list[Line]:
    """Return the lines of `screen`, down to the last one that is not empty."""
    used = max((number for number, line in enumerate(screen.display, start=1) if line.strip()), default=0)
    return [[screen.buffer[y][x] for x in range(COLUMNS)] for y in range(used)]


def as_svg(screens: Sequence[list[Line]]) -> str:
    """Return the screens as a drawing, one below the other with a rule between."""
    width = COLUMNS * CHARACTER_WIDTH + 2 * MARGIN
    parts = []
    top = float(MARGIN)
    for number, lines in enumerate(screens):
        if number:
            parts.append(f'<path d="M0 {top + MARGIN:.0f}H{width:.0f}" stroke="{RULE}"/>')
            top += 2 * MARGIN
        for line in lines:
            parts += words_of(line, top + 0.75 * LINE_HEIGHT)
            top += LINE_HEIGHT
    height = top + MARGIN
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-size="14" role="img" '
        'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" '
        'aria-label="A terminal: a bar while experiments run, then a table of their results.">',
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
    ]
    return "\n".join([*head, *parts, "</svg>\n"])


def words_of(line: Line, baseline: float) -> list[str]:
    """Return the words of `line`, each set at its own column, so that columns stay columns in any font."""
    words = []
    column = 0
    for colour, run in groupby(line, key=lambda cell: COLOURS.get(cell.fg, FOREGROUND)):
        text = "".join(cell.data for cell in run)
        for word in re.finditer(r"\S+(?: \S+)*", text):
            left = MARGIN + (column + word.start()) * CHARACTER_WIDTH
            words.append(
                f'<text x="{left:.1f}" y="{baseline:.1f}" fill="{colour}" '
                f'textLength="{len(word[0]) * CHARACTER_WIDTH:.1f}">{escape(word[0])}</text>'
            )
        column += len(text)
    return words


def main() -> None:
    """Run the main demonstration from an empty store, and draw the screens."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "demo/classifiers.py"), "--output", "output"]
        screens = run_in_terminal(command, Path(folder))
    (ROOT / "docs/images/terminal.svg").write_text(as_svg(screens))


if __name__ == "__main__":
    main()
