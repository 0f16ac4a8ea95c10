"""Which progress to show: asked for, or found from where the output goes."""

from __future__ import annotations

import math
import os
import sys
from typing import Any, TextIO

from memento.errors import OptionError
from memento.progress.lines import Printer
from memento.progress.notebook import NotebookProgress
from memento.progress.plain import PlainProgress
from memento.progress.terminal import TerminalProgress
from memento.protocols import Listener

KINDS = ("bar", "plain", "notebook")
_NO = ("", "0", "false", "no")


def make_progress(progress: bool | str | None = None, *, stream: TextIO | None = None) -> Listener | None:
    """Return the listener that shows a run's progress, or None where nothing is to be shown.

    Args:
        progress: False shows nothing at all. True and None choose by where the output goes: a bar on a terminal,
            HTML in a notebook, plain lines elsewhere. "bar", "plain" and "notebook" insist.
        stream: Where to write, standard error by default.

    `NO_COLOR` in the environment takes the colours away; `TQDM_DISABLE` leaves only failures and the closing
    lines, as plain text, in a notebook too.

    Raises:
        OptionError: `progress` is something else.

    Example:
        >>> make_progress(False) is None
        True
    """
    if progress is False:
        return None
    if progress not in (True, None, *KINDS):
        raise OptionError(
            f"progress={progress!r}: give True, False, or one of 'bar', 'plain', 'notebook'",
            option="progress",
            value=progress,
        )
    target = sys.stderr if stream is None else stream
    printer = Printer(target, colours=_is_terminal(target) and not os.environ.get("NO_COLOR"))
    if os.environ.get("TQDM_DISABLE", "").lower() not in _NO:
        return PlainProgress(printer, first=math.inf)
    kind = progress if isinstance(progress, str) else _kind(stream)
    if kind == "notebook":
        return NotebookProgress()
    return TerminalProgress(printer) if kind == "bar" else PlainProgress(printer)


def _kind(stream: TextIO | None) -> str:
    if stream is None and _in_notebook():
        return "notebook"
    return "bar" if _is_terminal(sys.stderr if stream is None else stream) else "plain"


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")  # no kernel has forgotten to import it
    shell: Any = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"
    except (AttributeError, OSError, ValueError):  # no stream at all, or a closed one
        return False
