"""Which modules are the user's own project, rather than installed, built in or memento's, and where their source is."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import sysconfig
import types
from collections.abc import Iterable
from pathlib import Path

from memento.hashing.naming import MAIN_MODULES
from memento.sources import Source, read_source

# Of a package whose modules are imported by their names.
MOST_FILES = 500
# Of modules that the experiment's code does not use, as far as is seen.
MOST_BYTES = 16_000_000
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_INSTALLED = f"{os.sep}site-packages{os.sep}"
_PACKAGE = os.path.realpath(Path(__file__).parent.parent) + os.sep


def file_of_module(module: types.ModuleType) -> str | None:
    """Return the file that `module` of the project was written in."""
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) and is_project(module) else None


def with_loaded(known: Iterable[Source]) -> tuple[Source, ...]:
    """Return `known`, and the sources of the project's other modules that are loaded, up to `MOST_BYTES` of them.

    They may import one another: half of them as they were, and half as they are, do not always fit together.
    """
    sources = {source.file: source for source in known}
    left = MOST_BYTES
    for name, module in list(sys.modules.items()):
        # Nobody's `__getattr__` is asked: to do so loads modules that wait to be.
        file = vars(module).get("__file__") if type(module) is types.ModuleType else None
        # Most are libraries, which is seen from most of their paths.
        if not isinstance(file, str) or not file.endswith(".py") or file.startswith(_LIBRARY) or _INSTALLED in file:
            continue
        if name in MAIN_MODULES or not is_project(module):
            continue
        source = sources.get(os.path.abspath(file)) or read_source(file)
        if source is not None and (source.file in sources or len(source.text) <= left):
            left -= 0 if source.file in sources else len(source.text)
            sources[source.file] = source._replace(module=name)
    return tuple(sources.values())


def project_module(name: str) -> types.ModuleType | None:
    """Return the module `name` if it is the project's; the experiment is about to import it anyway."""
    module = sys.modules.get(name)
    if module is None:
        try:
            spec = importlib.util.find_spec(name)
            if spec is None or not _is_project_file(spec.origin):
                return None
            module = importlib.import_module(name)
        except Exception:
            return None  # the experiment will say so itself
    return module if is_project(module) else None


def files_of_package(name: str) -> dict[str, str]:
    """Return the files of the modules in the project's package `name`, by their full names; none are imported."""
    package = project_module(name) if name else None
    found: dict[str, str] = {}
    for folder in getattr(package, "__path__", ()):
        for path in sorted(Path(folder).rglob("*.py"))[:MOST_FILES]:
            inside = path.relative_to(folder).with_suffix("").parts
            found[".".join((name, *(part for part in inside if part != "__init__")))] = str(path)
    return found


def is_library(name: str) -> bool:
    """Return whether what is imported by a dotted `name` is neither of the project nor of this package."""
    module = sys.modules.get(name) or sys.modules.get(name.rpartition(".")[0])
    return not is_project(module) and name.partition(".")[0] != __name__.partition(".")[0]


def is_project(module: types.ModuleType | None) -> bool:
    """Return whether `module` is the user's own, rather than installed, built in, or ours."""
    if module is None:
        return False
    file = getattr(module, "__file__", None)
    if module.__name__ in MAIN_MODULES:  # a script may be called anything, and be read from a pipe
        return not file or file.startswith("<") or not is_installed(file)
    return _is_project_file(file)


def _is_project_file(file: str | None) -> bool:
    return file is not None and file.endswith(".py") and not is_installed(file)


@functools.lru_cache(maxsize=4096)
def is_installed(file: str) -> bool:
    """Return whether `file` belongs to Python, to what was installed into it, or to us."""
    path = os.path.realpath(file)
    if path.startswith(_PACKAGE) or {"site-packages", "dist-packages"} & set(path.split(os.sep)):
        return True
    paths = sysconfig.get_paths()
    return any(path.startswith(os.path.realpath(paths[name]) + os.sep) for name in ("stdlib", "platstdlib"))
