"""A copy of the user's own modules, so that jobs run the code that was there when they were submitted.

The user's own are the modules that this process has loaded from a place on its import path that is neither Python's nor
of installed packages. A package is copied whole; beside a single module its neighbours are, because an experiment may
import them only when it runs. Folders without a module in use are not: a home directory may be on the path.
"""

from __future__ import annotations

import os
import shutil
import site
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import memento

# Left out: what is no code, and would be large.
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".git", ".memento", ".venv", "node_modules")
LARGEST = 1024 * 1024


def take_snapshot(import_path: Sequence[str], into: Path) -> tuple[str, ...]:
    """Copy the user's own modules into the folder `into`; return the import path that finds the copies first."""
    path: list[str] = []
    for number, entry in enumerate(import_path):
        packages, modules = _own(Path(entry))
        if packages or modules:
            place = into / str(number)
            place.mkdir(parents=True, mode=0o700)
            for package in packages:
                shutil.copytree(
                    package, place / package.name, ignore=_ignore, symlinks=False, ignore_dangling_symlinks=True
                )
            for module in modules:
                shutil.copy2(module, place / module.name)
            path.append(str(place))
        path.append(entry)
    return tuple(path)


def _ignore(folder: str, names: list[str]) -> set[str]:
    large = {name for name in names if not name.endswith(".py") and _size(os.path.join(folder, name)) > LARGEST}
    return set(IGNORED(folder, names)) | large


def _size(path: str) -> int:
    try:
        return os.path.getsize(path) if os.path.isfile(path) else 0
    except OSError:
        return 0


def _own(entry: Path) -> tuple[list[Path], list[Path]]:
    """Return the packages and the modules that are to be copied from `entry` of the import path."""
    if not entry.is_dir() or any(entry.is_relative_to(place) for place in _installed()):
        return [], []
    packages, alone = set(), False
    for name, file in _loaded():
        if not file.is_relative_to(entry):
            continue
        first = file.relative_to(entry).parts
        if len(first) == 1:
            alone = True
        elif name.partition(".")[0] == first[0]:
            packages.add(entry / first[0])
    return sorted(packages), sorted(entry.glob("*.py")) if alone else []


def _loaded() -> Iterator[tuple[str, Path]]:
    own = Path(memento.__file__).parent
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and not Path(file).is_relative_to(own):
            yield name, Path(file).absolute()


def _installed() -> list[Path]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = [sysconfig.get_path(name) for name in names] + [*site.getsitepackages(), site.getusersitepackages()]
    return [Path(place) for place in places if place]
