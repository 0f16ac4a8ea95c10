"""`memento …` and `python -m memento …`: finds the subcommand and runs it.

A subcommand is a module of this package with `add(subparsers)`, which declares it and sets `run`, a function that takes
the parsed arguments and returns the exit code.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from memento import __version__
from memento.cli import dashboard, gc, status, sync
from memento.errors import MementoError

SUBCOMMANDS = (status, dashboard, sync, gc)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (by default the program's own); return the exit code.

    0: done; 1: done in part, or not; 2: the command line could not be understood.
    """
    parser = argparse.ArgumentParser(prog="memento", description="Look after a store of results.")
    parser.add_argument("--version", action="version", version=f"memento {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in SUBCOMMANDS:
        module.add(subparsers)
    if isinstance(sys.stdout, io.TextIOWrapper):  # what the terminal or the pipe cannot show is escaped, as in errors
        sys.stdout.reconfigure(errors="backslashreplace")
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except MementoError as error:
        print(f"memento: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read it has read enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's end complains again
        return 0
    return code
