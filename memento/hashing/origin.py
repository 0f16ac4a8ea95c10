"""Functions and classes → the files they come from, which tell apart what has one name in two places."""

from __future__ import annotations

import os
import sys
from typing import Any

from memento.hashing.naming import MAIN_MODULES, is_elsewhere, module_of, script_file


def file_of(thing: Any) -> str:
    """Return the absolute path of the file that a function or class comes from, empty where that is not known.

    For what comes from a notebook whose path is not known, or was typed in, it is the folder where that is done.
    """
    module = module_of(thing)
    if module in MAIN_MODULES and not is_elsewhere(module):
        # Not what its code names: debuggers write a notebook's cells into files.
        return os.path.abspath(script_file() or _notebook() or os.getcwd())
    maker = None if is_elsewhere(module) else sys.modules.get(module)
    files = (getattr(getattr(thing, "__code__", None), "co_filename", None), getattr(maker, "__file__", None))
    return next((os.path.abspath(file) for file in files if file and os.path.isfile(file)), "")


def _notebook() -> str:
    """Return the file of the notebook that this process is the kernel of, empty where nobody says."""
    said = (
        vars(sys.modules["__main__"]).get("__vsc_ipynb_file__"),  # by VS Code
        os.environ.get("JPY_SESSION_NAME"),  # by Jupyter's server
    )
    return next((file for file in said if isinstance(file, str) and os.path.isfile(file)), "")


def as_seen_from(folder: str | os.PathLike[str], file: str) -> str:
    """Return `file` relative to a store's folder, as it is recorded there: a project may be copied with its store.

    >>> as_seen_from("/project/.memento", "/project/study.py"), as_seen_from("/project/.memento", "")
    ('../study.py', '')
    """
    return os.path.relpath(file, folder) if file else ""


def seen_from(folder: str | os.PathLike[str], recorded: object) -> str:
    """Return the absolute path of what `as_seen_from` gave; empty where nothing was recorded.

    >>> seen_from("/copy/.memento", "../study.py"), seen_from("/copy/.memento", None)
    ('/copy/study.py', '')
    """
    return os.path.normpath(os.path.join(folder, recorded)) if recorded and isinstance(recorded, str) else ""


def is_another_file(recorded: str, today: str) -> bool:
    """Return whether `recorded` and `today`, of `file_of`, exist side by side, so that one is not the other moved.

    A notebook and the folder it lies in count as one: its path is not always known.

    >>> import json
    >>> is_another_file(json.__file__, os.__file__), is_another_file("/gone/since.py", os.__file__)
    (True, False)
    """
    if recorded == today or not os.path.exists(recorded):
        return False
    try:
        if os.path.isdir(recorded) != os.path.isdir(today):
            recorded, today = (file if os.path.isdir(file) else os.path.dirname(file) for file in (recorded, today))
        return not os.path.samefile(recorded, today)
    except (OSError, ValueError):
        return False  # today's is not there: its code was loaded before it went
