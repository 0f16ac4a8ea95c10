"""Functions → who they are (part of every key) and what their code is (kept beside every result).

The code of an experiment is its own and that of whatever it calls in the user's own project: functions, classes, and
the assignments that make module-level values. Installed packages and the standard library do not count.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import types
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from memento import syntax
from memento.errors import UnkeyableValue
from memento.hashing import digest
from memento.naming import module_name, module_of
from memento.task import Experiment

# Beyond this many functions and values the rest is not looked at, and a note says so.
LARGEST = 500
PACKAGE = str(Path(__file__).parent) + os.sep


def identify(func: Callable[..., Any], *, version: str | None = None) -> Experiment:
    """Return who `func` is and what its code is.

    The name is the module and the qualified name, never a path or a line; for a lambda also its code, since two of them
    share a name; for closures, partials, bound methods and callable objects also what they carry.

    Example:
        >>> import json
        >>> identify(json.dumps).name
        'json:dumps'
    """
    notes: list[str] = []
    name = _identity(func, notes)
    if version is not None:
        name = f"{name}@{version}"
    return Experiment(name=name, version=version, code=_Code(notes).of(func), notes=tuple(notes))


def _identity(func: Any, notes: list[str]) -> str:
    if isinstance(func, functools.partial):
        carried = {"args": func.args, "keywords": func.keywords}
        return _identity(func.func, notes) + _carried(carried, notes, "the partial")
    if isinstance(func, types.MethodType):
        if isinstance(func.__self__, type):
            return f"{_module(func.__self__)}:{func.__self__.__qualname__}.{func.__name__}"
        owner = type(func.__self__)
        return f"{_module(owner)}:{owner.__qualname__}.{func.__name__}" + _carried(
            {"self": func.__self__}, notes, f"the method {func.__name__}"
        )
    if isinstance(func, type | types.BuiltinFunctionType):
        return f"{_module(func)}:{func.__qualname__}"
    function = inspect.unwrap(func)
    if not isinstance(function, types.FunctionType):
        return f"{_module(type(func))}:{type(func).__qualname__}" + _carried({"self": func}, notes, "the object")
    name = f"{_module(function)}:{function.__qualname__}"
    if function.__name__ == "<lambda>":
        name += "#" + syntax.code_digest(function.__code__)[0][:16]
    return name + _carried(_captured(function), notes, f"the function {function.__qualname__}")


def _module(thing: Any) -> str:
    return module_name(module_of(thing))


def _captured(function: types.FunctionType) -> dict[str, Any]:
    captured = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            captured[name] = cell.cell_contents
        except ValueError:
            continue  # not bound yet
    captured.pop("__class__", None)
    return {name: value for name, value in captured.items() if value is not function}


def _carried(values: dict[str, Any], notes: list[str], whose: str) -> str:
    """Return the digests of what a callable carries; what has none is noted, because a change to it is not seen."""
    texts = []
    for name, value in sorted(values.items()):
        try:
            texts.append(f"{name}={digest(value, path=name).hex()[:16]}")
        except UnkeyableValue:
            notes.append(
                f"{whose} carries {name}, of type {type(value).__qualname__}, which cannot be keyed: a change to it "
                "will not be noticed; pass it through the matrix, or give Memento another version= when it changes"
            )
    return f"[{','.join(texts)}]" if texts else ""


class _Code:
    """Walks from one function through everything of the project that it uses."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes
        self._found: dict[str, str] = {}
        self._waiting: deque[tuple[str, Any]] = deque()

    def of(self, func: Any) -> dict[str, str]:
        """Return the digests of `func` and what it uses, by qualified name."""
        self._add_value(func)
        while self._waiting:
            if len(self._found) >= LARGEST:
                self._notes.append(
                    f"only the first {LARGEST} functions that the experiment uses are watched for changes"
                )
                break
            name, thing = self._waiting.popleft()
            if name not in self._found:
                self._visit(name, thing)
        return dict(sorted(self._found.items()))

    def _add_value(self, value: Any) -> None:
        if isinstance(value, functools.partial):
            self._add_value(value.func)
            return
        if isinstance(value, types.MethodType):
            value = value.__func__
        if callable(value) and not isinstance(value, type):
            value = inspect.unwrap(value)
        if not isinstance(value, type | types.FunctionType):
            value = type(value)
        if is_project(sys.modules.get(value.__module__)):
            self._waiting.append((f"{_module(value)}.{value.__qualname__}", value))

    def _visit(self, name: str, thing: Any) -> None:
        if isinstance(thing, types.FunctionType):
            text, found = syntax.code_digest(thing.__code__)
            if not found:
                self._notes.append(f"the source of {name} was not found: not every change to it will be noticed")
            self._found[name] = text
            node = syntax.definition_of(thing.__code__)
            self._follow([node] if node else [], thing.__globals__, _captured(thing))
        else:
            self._visit_class(name, thing)

    def _visit_class(self, name: str, kind: type) -> None:
        for base in kind.__mro__[1:]:
            if is_project(sys.modules.get(base.__module__)):
                self._waiting.append((f"{_module(base)}.{base.__qualname__}", base))
        module = sys.modules[kind.__module__]
        file = getattr(module, "__file__", None) or next(_files_of(kind), None)
        tree = syntax.tree_of(file) if file else None
        node = syntax.class_of(tree, kind.__qualname__) if tree else None
        if node is None:
            self._notes.append(f"the source of {name} was not found: a change to it will not be noticed")
            self._found[name] = "unknown"
            return
        self._found[name] = syntax.digest_of([node])
        self._follow([node], vars(module), {})

    def _follow(self, nodes: list[ast.AST], scope: dict[str, Any], captured: dict[str, Any]) -> None:
        dotted, imports = syntax.names_in(nodes)
        for value in captured.values():
            if isinstance(value, types.FunctionType | type):
                self._add_value(value)
        for chain in dotted:
            if chain[0] in scope and chain[0] not in captured:
                self._use(chain, scope, scope.get("__name__", "__main__"))
        for statement in imports:
            self._use_imported(statement, scope, dotted)

    def _use(self, chain: tuple[str, ...], scope: dict[str, Any], module: str) -> None:
        value = scope[chain[0]]
        if isinstance(value, types.ModuleType):
            if is_project(value) and len(chain) > 1 and chain[1] in vars(value):
                self._use(chain[1:], vars(value), value.__name__)
        elif isinstance(value, type | types.FunctionType | functools.partial | types.MethodType) or (
            callable(value) and hasattr(value, "__wrapped__")
        ):
            self._add_value(value)
            self._use_assigned(chain[0], module)
        else:
            self._use_assigned(chain[0], module)
            self._add_value(value)

    def _use_assigned(self, name: str, module: str) -> None:
        """Watch the statements of the project that make a module-level value."""
        owner = sys.modules.get(module)
        if not is_project(owner):
            return
        file = getattr(owner, "__file__", None)
        tree = syntax.tree_of(file) if file else None
        if owner is None or tree is None:
            return
        full = f"{'.'.join(filter(None, [_name_of_main(module)]))}.{name}"
        nodes = syntax.assignments_of(tree, name)
        if nodes and full not in self._found:
            self._found[full] = syntax.digest_of(nodes)
            self._follow(nodes, vars(owner), {})
        for origin in _origins(tree, name):
            self._use_origin(origin, name, owner)

    def _use_origin(self, origin: ast.ImportFrom, name: str, owner: types.ModuleType) -> None:
        """Follow a value to the module of the project that it was imported from."""
        source = _resolved(origin, getattr(owner, "__package__", "") or "")
        original = next(alias.name for alias in origin.names if (alias.asname or alias.name) == name)
        if source in sys.modules:
            self._use_assigned(original, source)

    def _use_imported(
        self, statement: ast.Import | ast.ImportFrom, scope: dict[str, Any], dotted: set[tuple[str, ...]]
    ) -> None:
        """Follow an import inside a function."""
        package = scope.get("__package__") or ""
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                module = _project_module(alias.name)
                bound = alias.asname or alias.name
                for chain in dotted:
                    names = chain[len(bound.split(".")) :]
                    if module and ".".join(chain).startswith(bound + ".") and names[0] in vars(module):
                        self._use(names, vars(module), module.__name__)
            return
        module = _project_module(_resolved(statement, package))
        for alias in statement.names:
            if module and alias.name in vars(module):
                self._use((alias.name,), vars(module), module.__name__)


def _files_of(kind: type) -> Iterator[str]:
    for value in vars(kind).values():
        if isinstance(value, types.FunctionType):
            yield value.__code__.co_filename


def _origins(tree: ast.Module, name: str) -> list[ast.ImportFrom]:
    return [
        statement
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom)
        and any((alias.asname or alias.name) == name for alias in statement.names)
    ]


def _resolved(statement: ast.ImportFrom, package: str) -> str:
    module = statement.module or ""
    if not statement.level:
        return module
    base = package.rsplit(".", statement.level - 1)[0] if statement.level > 1 else package
    return f"{base}.{module}" if module else base


def _project_module(name: str) -> types.ModuleType | None:
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


def _name_of_main(module: str) -> str:
    return module_name(module)


def is_project(module: types.ModuleType | None) -> bool:
    """Return whether `module` is the user's own, rather than installed, built in, or ours."""
    if module is None:
        return False
    if module.__name__ == "__main__":
        return True
    return _is_project_file(getattr(module, "__file__", None))


@functools.lru_cache(maxsize=4096)
def _is_project_file(file: str | None) -> bool:
    if not file or not file.endswith(".py"):
        return False
    path = os.path.realpath(file)
    if path.startswith(PACKAGE) or "site-packages" in path or "dist-packages" in path:
        return False
    paths = sysconfig.get_paths()
    return not any(path.startswith(os.path.realpath(paths[name]) + os.sep) for name in ("stdlib", "platstdlib"))
