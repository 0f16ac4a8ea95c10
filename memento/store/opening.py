"""From what the user wrote as a path to a store."""

from __future__ import annotations

import os
from pathlib import Path

from memento.errors import StoreError
from memento.files import private_folder
from memento.store.schema import MAGIC
from memento.store.sqlite import SqliteStore

VARIABLE = "MEMENTO_CACHE_PATH"
DEFAULT = ".memento"
LEDGER = "ledger.sqlite"


def open_store(path: str | os.PathLike[str] | None = None) -> SqliteStore:
    """Return the store at `path`, made where there is none: a folder, or a file for the ledger with a folder beside it.

    Args:
        path: a folder; or a file that does not exist and has a suffix, is empty, or is a ledger of ours, beside which
            ``<file>.files`` holds the rest. By default ``$MEMENTO_CACHE_PATH``, else ``.memento``.

    Raises:
        StoreForeign: something else is there; it is left untouched.
        StoreTooNew: a newer memento wrote it; it is left untouched.
        StoreError: it cannot be made, read or written.
    """
    place = Path(path if path is not None else os.environ.get(VARIABLE) or DEFAULT).expanduser().absolute()
    is_file = place.is_file() or (not place.exists() and bool(place.suffix) and not place.name.startswith("."))
    root, database = (place.with_name(f"{place.name}.files"), place) if is_file else (place, place / LEDGER)
    try:
        if is_file and place.exists() and place.stat().st_size:
            with open(place, "rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    return SqliteStore(root, database)  # which refuses it before anything is made beside it
        if not (root / ".gitignore").exists():
            new = not root.exists()
            private_folder(root)
            if new:
                root.chmod(0o700)  # whatever the umask
            (root / ".gitignore").write_text("*\n")
    except OSError as error:
        if not database.exists():
            raise StoreError(
                f"the store {place} cannot be made: {error.strerror or error}; give another cache_path", path=str(place)
            ) from error
    return SqliteStore(root, database)
