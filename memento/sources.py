"""The project's source files as they are when a run begins: what its workers load, whatever is saved meanwhile.

A worker may begin hours after its run: in the place of one that died, or because its job had to wait. It imports the
project's modules by their names, as every process does, and what it computes is stored as of the code with which the
run began. So that this is true, sources travel with the job; an import whose file is no longer the same is served from
them, and so is one whose file is gone.

What an experiment itself starts, other than by `fork`, imports what stands there then.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import NamedTuple


class Source(NamedTuple):
    """A source file as it was: its absolute path, when it was written (ns since the epoch), and what stood there."""

    file: str
    changed: int
    text: bytes
    module: str = ""
    """The name under which it was imported; empty where it was not."""

    def is_as_it_was(self) -> bool:
        """Return whether the file is there still, and the same as far as its time and length tell."""
        try:
            facts = os.stat(self.file)
        except OSError:
            return False
        return (facts.st_mtime_ns, facts.st_size) == (self.changed, len(self.text))

    def has_left(self) -> bool:
        """Return whether the file is gone, though the folder is there that it was imported from."""
        parts = self.module.count(".") + (2 if os.path.basename(self.file) == "__init__.py" else 1)
        return not os.path.exists(self.file) and os.path.isdir(self.file.rsplit(os.sep, parts)[0])


class KeptLoader(SourceFileLoader):
    """Loads a module as its file was, without Python's cache of compiled files, which belongs to the new one."""

    def path_stats(self, path: str) -> dict[str, float]:
        """Refuse: this is what has no cache read or written.

        Raises:
            OSError: always.
        """
        raise OSError(f"{path!r} is not what is loaded")

    def get_data(self, path: str) -> bytes:
        """Return the source as it was, and other files as they are."""
        known = of_the_run(path)
        return super().get_data(path) if known is None else known.text


class _Finder:
    """Finds what the other finders find, and has it loaded as it was."""

    def __init__(self) -> None:
        self.by_file: dict[str, Source] = {}
        self.by_module: dict[str, Source] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what is to be imported under `fullname`; the import system calls this, before all other finders."""
        found = self._found_by_others(fullname, path, target)
        source = None if found is None else self.by_file.get(found.origin or "")
        if source is None:
            known = self.by_module.get(fullname)
            if known is not None:
                return _spec_of(fullname, known) if _is_instead(found, known) else found
            inside = f"{fullname}."
            if found is None and any(name.startswith(inside) for name in self.by_module):
                return ModuleSpec(fullname, None, is_package=True)  # a package without a file, whose folder is gone
            return found
        if found is None or type(found.loader) is not SourceFileLoader or _stands_there(source):
            return found
        return _spec_of(fullname, source)

    def _found_by_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):  # the import system leaves out others, too
                found: ModuleSpec | None = finder.find_spec(fullname, path, target)
                if found is not None:
                    return found
        return None


_finder = _Finder()


def load_from(sources: Iterable[Source]) -> None:
    """Have imports of this process, a worker, load `sources`, whatever stands in their files by then."""
    for source in sources:
        _finder.by_file[source.file] = source
        if source.module:
            _finder.by_module[source.module] = source
    if _finder.by_file and _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def of_the_run(file: str) -> Source | None:
    """Return what stood in `file` when the run began that this process works for; None where it is no worker."""
    return _finder.by_file.get(os.path.abspath(file)) if _finder.by_file else None


def read_source(file: str, module: str = "") -> Source | None:
    """Return what stands in `file`, in a worker what stood there when the run began; None where there is none."""
    known = of_the_run(file)
    if known is not None:
        return known
    try:
        with open(file, "rb") as opened:
            return Source(os.path.abspath(file), os.fstat(opened.fileno()).st_mtime_ns, opened.read(), module)
    except OSError:
        return None


def _is_instead(found: ModuleSpec | None, known: Source) -> bool:
    """Return whether `found` is there only because `known` is no longer: nothing, a module that became a package."""
    if found is None:
        return True
    is_source = found.origin is None or type(found.loader) is SourceFileLoader  # what has no origin is a namespace
    return is_source and known.has_left()  # else this machine has the project in another place


def _stands_there(source: Source) -> bool:
    if source.is_as_it_was():
        return True
    try:
        with open(source.file, "rb") as file:  # it was touched, or this is another machine
            return file.read() == source.text
    except OSError:
        return False


def _spec_of(name: str, source: Source) -> ModuleSpec | None:
    # Seldom needed, and workers are to begin quickly.
    import linecache
    from importlib.util import spec_from_file_location

    lines = source.text.decode(errors="replace").splitlines(keepends=True)
    # Tracebacks show these lines: what has no time in this cache is not looked for on the disk.
    linecache.cache[source.file] = (len(source.text), None, lines, source.file)
    is_package = os.path.basename(source.file) == "__init__.py"
    return spec_from_file_location(
        name,
        source.file,
        loader=KeptLoader(name, source.file),
        submodule_search_locations=[os.path.dirname(source.file)] if is_package else None,
    )
