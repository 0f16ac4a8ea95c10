"""The sources of the user's own modules that an experiment may import only when it runs, which may be tomorrow.

What is loaded travels with every job. Beside it are the other modules of the packages in use, and the neighbours of
single modules in use. Folders without a module in use are not looked into: a home directory may be on the import path.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from memento.fingerprint.project import MOST_BYTES, is_installed
from memento.sources import Source, read_source


def with_unloaded(known: Sequence[Source], import_path: Sequence[str], store: Path) -> tuple[Source, ...]:
    """Return `known`, which are loaded, and the sources beside them that are not, up to `MOST_BYTES` of these.

    Nothing in the folder `store` is one, which may lie in a package.
    """
    have, left, found = {source.file for source in known}, MOST_BYTES, list(known)
    for name, file in (*_in_packages(known, os.path.realpath(store)), *_beside_single_ones(known, import_path)):
        source = None if file in have else read_source(file, name)
        if source is not None and len(source.text) <= left:
            left -= len(source.text)
            have.add(file)
            found.append(source)
    return tuple(found)


def _in_packages(known: Iterable[Source], store: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the file of each module of the packages that some of `known` are in."""
    for first in sorted({source.module.partition(".")[0] for source in known} - {""}):
        for folder in getattr(sys.modules.get(first), "__path__", ()):
            if not is_installed(folder):  # a namespace may have parts there
                yield from _modules_of(first, os.path.abspath(folder), store)


def _beside_single_ones(known: Iterable[Source], import_path: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the file of each module beside those of `known` in no package, and beside the script."""
    files = [source.file for source in known if "." not in source.module]
    files.append(getattr(sys.modules["__main__"], "__file__", None) or "")
    for folder in sorted({os.path.dirname(os.path.abspath(file)) for file in files} & set(import_path)):
        for name in sorted(file.removesuffix(".py") for file in os.listdir(folder) if file.endswith(".py")):
            file = os.path.join(folder, f"{name}.py")
            found = PathFinder.find_spec(name, import_path)
            if found is not None and found.origin == file:  # not behind another of that name, as one of Python's
                yield name, file


def _modules_of(package: str, top: str, store: str) -> Iterator[tuple[str, str]]:
    # Links are not followed: they may lead upwards.
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if _may_be_package(os.path.join(folder, name), store))
        inside = Path(folder).relative_to(top).parts
        for file in sorted(files):
            if file.endswith(".py"):
                parts = (package, *inside, *(() if file == "__init__.py" else (file.removesuffix(".py"),)))
                yield ".".join(parts), os.path.join(folder, file)


def _may_be_package(folder: str, store: str) -> bool:
    """Return whether `folder` is to be looked into: neither the store nor, as ".git", "node_modules", no package."""
    name = os.path.basename(folder)
    return name.isidentifier() and name not in ("__pycache__", "node_modules") and os.path.realpath(folder) != store
