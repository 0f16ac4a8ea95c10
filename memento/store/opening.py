"""From what the user wrote as a path to a store."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from memento.errors import OptionError, StoreError
from memento.files import private_folder
from memento.store import schema
from memento.store.sqlite import SqliteStore

VARIABLE = "MEMENTO_CACHE_PATH"
DEFAULT = ".memento"
LEDGER = "ledger.sqlite"
FILES = ".files"


def open_store(path: str | os.PathLike[str] | None = None) -> SqliteStore:
    """Return the store at `path`, made where there is none: a folder, or a file for the ledger with a folder beside it.

    A folder that is made is private to the user and ignored by git; one that had other files in it is used as it is.

    Args:
        path: a folder; or a file that does not exist and has a suffix, is empty, or is a ledger of ours, beside which
            ``<file>.files`` holds the rest. By default ``$MEMENTO_CACHE_PATH``, else ``.memento``.

    Raises:
        StoreForeign: something else is there; it is left untouched.
        StoreTooNew: a newer memento wrote it; it is left untouched.
        StoreError: it cannot be made, read or written.

    Example:
        >>> with open_store("example") as store:
        ...     found = store.collect(dry_run=False)
        ...     store.purge()
        0
    """
    return SqliteStore(*_made(path))


def folder_of(path: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of files of the store at `path`, made where there is none; its ledger is not opened.

    Raises:
        StoreError: as `open_store` does.
    """
    return _made(path)[0]


def place_of(path: str | os.PathLike[str] | None = None) -> Path:
    """Return where the store at `path` is or would be: its folder, or the file of its ledger."""
    try:
        given = os.fspath(path) if path is not None else ""
    except TypeError:
        raise OptionError(
            f"cache_path={path!r} is no path; give a folder or a file as text or pathlib.Path, or None for .memento",
            option="cache_path",
            value=path,
        ) from None
    return Path(os.path.abspath(os.path.expanduser(given or os.environ.get(VARIABLE) or DEFAULT)))


def is_begun(path: str | os.PathLike[str] | None = None) -> bool:
    """Return whether there is anything yet where the ledger of the store at `path` is or would be; nothing is made."""
    return os.path.lexists(_meant(place_of(path))[1])


def existing(path: str | os.PathLike[str] | None = None) -> tuple[Path, Path]:
    """Return the folder and the ledger of the store at `path`, whether or not they are there; nothing is made.

    Raises:
        StoreForeign, StoreTooNew: something else is there.
        StoreError: it cannot be read.
    """
    place = place_of(path)
    try:
        root, database = _meant(place)
        schema.refuse(database)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"the store {place} cannot be read: {error.strerror or error}", path=str(place)) from error
    return root, database


def _made(path: str | os.PathLike[str] | None) -> tuple[Path, Path]:
    """Return the folder and the ledger of the store at `path`, once the folder is there."""
    place = place_of(path)
    try:
        root, database = _meant(place)
        schema.refuse(database)  # before anything is made beside it
        if not root.exists():
            root.parent.mkdir(parents=True, exist_ok=True)
        if schema.is_writable(root / LEDGER) and not any(root.iterdir() if root.exists() else ()):
            private_folder(root)
            (root / ".gitignore").write_text("*\n")
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"the store {place} cannot be made: {error.strerror or error}; give another cache_path", path=str(place)
        ) from error
    return root, database


def _meant(place: Path) -> tuple[Path, Path]:
    """Return the folder and the ledger that `place` stands for."""
    try:
        # Asked once: another process may make it between two questions.
        mode = place.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFDIR if not place.suffix or place.name.startswith(".") else stat.S_IFREG
    if place.name == LEDGER and not stat.S_ISDIR(mode):
        return place.parent, place
    if not stat.S_ISREG(mode):
        return place, place / LEDGER
    # By whichever name it is opened, the files beside it must be the same.
    place = Path(os.path.realpath(place))
    return place.with_name(place.name + FILES), place
