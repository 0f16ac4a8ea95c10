"""A function → the digests of all code of the user's project that it uses: what the stored results depend on.

From the function's syntax tree the walk goes to every function, class and module-level value that its names stand for,
in its own module or another of the project, and from there on. Installed packages and the standard library are left
out: they change by versions, not by edits.
"""

from __future__ import annotations

import ast
import sys
import types
from collections import deque
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from typing import Any

from memento.fingerprint.attributes import attributes_of, is_settled
from memento.fingerprint.classes import content_without_source, definition_of, methods_of
from memento.fingerprint.code_digests import CodeDigests
from memento.fingerprint.contents import code_in, home_of
from memento.fingerprint.effects import Effects
from memento.fingerprint.lookups import Lookups
from memento.fingerprint.module_names import ModuleNames, Scope
from memento.fingerprint.project import files_of_package, is_project, project_module
from memento.fingerprint.uses import Loaded, absolute_name, is_definition, uses_in
from memento.fingerprint.values import Values, is_digestible
from memento.hashing import syntax
from memento.hashing.callables import captured_values
from memento.hashing.keys import digest
from memento.hashing.naming import MAIN_MODULES, module_name
from memento.sources import KeptLoader

# So many names are in a note.
SHOWN = 3
# Beyond this many functions and values the rest is not looked at, and a note says so.
LARGEST = 2000

# Who calls one of these may reach whatever is defined beside it.
_REACHING = frozenset({"globals", "eval", "exec"})
_SUBCLASSES = "__subclasses__"


class Dependencies:
    """Collects the code of the project that some functions and values use.

    Attributes:
        notes: what could not be looked at.
        files: where that code stands.
        lookups: what its names stand for, once `of` has returned.
    """

    def __init__(self) -> None:
        self._digests = CodeDigests()
        self.notes, self.files = self._digests.notes, self._digests.files
        self.lookups = Lookups()
        self._waiting: deque[types.FunctionType | type] = deque()
        self._seen: set[int] = set()
        self._seen_modules: set[str] = set()
        self._homes: set[str] = set()
        self._effects = Effects()
        self._values = Values(self._effects)
        self._names = ModuleNames(self._digests, self._values, self._follow)
        self._edited: list[str] = []

    def of(self, values: Iterable[Any]) -> dict[str, str]:
        """Return the digests, by qualified name, of the functions and classes among `values` and of what they use."""
        try:
            self._look_at(values)
        except Exception as error:  # something odd that code uses must not keep anybody from running it
            self.notes.append(
                f"the code that the experiment uses could not all be looked at ({type(error).__name__}: {error}): not "
                "every change to it will be noticed"
            )
        return self._digests.combined()

    def _look_at(self, values: Iterable[Any]) -> None:
        for value in values:
            self._add(value)
        while self._waiting:
            if len(self._digests.digests) >= LARGEST:
                self._digests.notes.append(
                    f"only the first {LARGEST} functions that the experiment uses are watched for changes"
                )
                break
            thing = self._waiting.popleft()
            if isinstance(thing, types.FunctionType):
                self._visit_function(thing)
            else:
                self._visit_class(thing)
        self._values.tell(self._digests.record)
        self._values.watch(self.lookups)
        self._values.assign_where_imported()
        if self._edited:
            edited = " and ".join(self._edited[:SHOWN]) + (" and others" if len(self._edited) > SHOWN else "")
            self._digests.notes.append(
                f"{edited} changed on the disk after being imported: this process runs what was imported, worker "
                "processes may run what stands there now; what they compute counts as of neither, so restart Python"
            )

    @property
    def assigned(self) -> tuple[tuple[str, str, Any], ...]:
        """What was set on modules, which importing them again may not give: module, dotted path in it, and value."""
        return tuple(self._values.assigned)

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules in which code was found, without the program itself, in the order in which they were imported."""
        return tuple(name for name in list(sys.modules) if name in self._homes and name not in MAIN_MODULES)

    def _add(self, value: Any) -> None:
        for thing in code_in(value):
            # Two functions can share a name (lambdas, wrappers); the same one is visited once.
            identity = id(thing.__code__ if isinstance(thing, types.FunctionType) else thing)
            if identity not in self._seen and is_project(sys.modules.get(home_of(thing))):
                self._seen.add(identity)
                self._homes.add(home_of(thing))
                self._waiting.append(thing)

    def _visit_function(self, function: types.FunctionType) -> None:
        code = function.__code__
        self._digests.files.add(code.co_filename)
        name = f"{module_name(home_of(function))}.{code.co_qualname}"
        text, found = syntax.code_digest(code)
        if not found:
            self._digests.note(name)
        self._digests.record(name, text)
        self._compare(name, function)
        captured = dict(captured_values(function))
        for value in captured.values():
            self._add(value)
        local = {*code.co_varnames, *code.co_cellvars, *captured}
        node = syntax.definition_of(code)
        if node is not None:
            self._values.add_function(name, function, node)
            self._effects.add_code(node, function.__globals__, local)
            self._follow([node], function.__globals__, set(code.co_freevars), name)
        else:
            self._follow_names({(used,) for used in code.co_names}, function.__globals__, local)

    def _compare(self, name: str, function: types.FunctionType) -> None:
        """Take note of a function whose source is no longer what was loaded: neither digest alone is its code."""
        # What import hooks load they may have changed, as pytest does with its assertions.
        loader = getattr(sys.modules.get(home_of(function)), "__loader__", None)
        if type(loader) in (SourceFileLoader, KeptLoader) and not syntax.is_as_loaded(function.__code__):
            self._edited.append(name)
            self._digests.record(name, f"imported {syntax.compiled_digest(function.__code__)}")

    def _visit_class(self, kind: type) -> None:
        for base in kind.__mro__[1:]:
            self._add(base)
        name = f"{module_name(kind.__module__)}.{kind.__qualname__}"
        tree, node = definition_of(kind, self._digests)
        if tree is None or node is None:
            self._see_content(name, kind)
            return
        self._digests.record(name, syntax.digest_of([node]))
        for function in methods_of(kind):
            self._compare(name, function)
        for value in vars(kind).values():
            if isinstance(value, dict | list | tuple | set):  # such as a table that classes enter themselves
                self._add(value)
        self._see_patches(name, kind, node)
        self._effects.add_class(kind, node)
        self._values.add_class(name, kind, node, tree)
        self._follow([node], vars(sys.modules[kind.__module__]), set(), name)
        if any(isinstance(inner, ast.Attribute) and inner.attr == _SUBCLASSES for inner in ast.walk(node)):
            self._add_below(kind)

    def _see_content(self, name: str, kind: type) -> None:
        """Watch what a class holds whose source is not to be had, such as one without methods in a notebook."""
        for attribute, value in content_without_source(kind):
            self.lookups.add(vars(kind), attribute)
            if is_settled(value) and is_digestible(value):
                self._digests.record(name, digest((attribute, value)).hex())
            elif isinstance(value, types.FunctionType | type):
                self._digests.record(name, f"{attribute}: {home_of(value)}.{value.__qualname__}")
                self._add(value)
            else:
                self._add(value)
                if not any(code_in(value)):
                    self._digests.note(f"{name}.{attribute}")

    def _see_patches(self, name: str, kind: type, node: ast.ClassDef) -> None:
        """Watch the functions that the program has put in the place of methods; workers get them too."""
        inside = vars(kind)
        for one in node.body:
            if not is_definition(one) or one.decorator_list or one.name not in inside:
                continue
            self.lookups.add(inside, one.name)
            value = inside[one.name]
            meant = (kind.__module__, f"{kind.__qualname__}.{one.name}")
            if isinstance(value, types.FunctionType) and (home_of(value), value.__qualname__) != meant:
                self._add(value)
                self._digests.record(name, f"{one.name}: {home_of(value)}.{value.__qualname__}")
                self._values.assign(kind.__module__, meant[1], value)

    def _add_below(self, kind: type) -> None:
        below: type
        for below in type.__subclasses__(kind):
            self._add(below)
            self._add_below(below)

    def _follow(self, nodes: list[ast.AST], scope: Scope, local: set[str], whose: str) -> None:
        names, imports, loaded = uses_in(nodes)
        self._follow_names(names, scope, local)
        for statement in imports:
            self._follow_import(statement, scope, names)
        for one in sorted(loaded):
            self._follow_loaded(one, str(scope.get("__package__") or ""), whose)

    def _follow_names(self, names: Iterable[tuple[str, ...]], scope: Scope, local: set[str]) -> None:
        for chain in sorted(names):
            if chain[0] in local:
                continue
            if chain[0] in scope:
                self._use(chain, scope)
                continue
            self.lookups.add(scope, chain[0])
            if chain[0] in _REACHING:
                self._use_all_beside(scope)

    def _use(self, chain: tuple[str, ...], scope: Scope) -> None:
        self.lookups.add(scope, chain[0])
        value = scope[chain[0]]
        if isinstance(value, types.ModuleType):
            self._use_of_module(value, chain[1:], scope)
            if not is_project(value):
                self._names.use_library(chain[0], sys.modules.get(str(scope.get("__name__"))))
            return
        self._add(value)
        if isinstance(value, type) and _SUBCLASSES in chain:
            self._add_below(value)
        # Of a command line's options those count that are used: how many workers there are changes no result.
        option = chain[1] if len(chain) > 1 and chain[1] in attributes_of(value) else ""
        self._names.use(chain[0], str(scope.get("__name__", "__main__")), option)

    def _use_of_module(self, module: types.ModuleType, chain: tuple[str, ...], scope: Scope) -> None:
        """Watch what `chain` is in a module of the project; without a name in it, all of it."""
        if module is sys:
            if chain[:1] == ("modules",):
                self._use_all_beside(scope)
        elif is_project(module):
            inside = vars(module)
            if not chain or chain[0] == "__dict__":
                self._use_all_of(module)
            elif chain[0] in inside:
                self._use(chain, inside)
            else:
                self.lookups.add(inside, chain[0])
                if "__getattr__" in inside:
                    self._use(("__getattr__",), inside)

    def _use_all_of(self, module: types.ModuleType) -> None:
        """Watch everything in a module of the project: it is handed on, or asked for what is only known later."""
        if module.__name__ in self._seen_modules:
            return
        self._seen_modules.add(module.__name__)
        for name, value in sorted(vars(module).items(), key=lambda item: item[0]):
            is_elsewhere = isinstance(value, types.ModuleType) and not value.__name__.startswith(f"{module.__name__}.")
            if not name.startswith("__") and not is_elsewhere:
                self._use((name,), vars(module))

    def _use_all_beside(self, scope: Scope) -> None:
        """Watch the functions and classes of a module that looks for some of its own by their names."""
        for name, value in list(scope.items()):
            if isinstance(value, types.FunctionType | type) and home_of(value) == scope.get("__name__"):
                self.lookups.add(scope, name)
                self._add(value)

    def _follow_import(
        self, statement: ast.Import | ast.ImportFrom, scope: Scope, dotted: set[tuple[str, ...]]
    ) -> None:
        """Follow an import inside a function to what is used of it."""
        start: tuple[str, ...]
        package = str(scope.get("__package__") or "")
        for alias in statement.names:
            bound = tuple((alias.asname or alias.name).split("."))
            rest = sorted(chain[len(bound) :] for chain in dotted if chain[: len(bound)] == bound)
            if isinstance(statement, ast.Import):
                module, start = project_module(alias.name), ()
            else:
                source = absolute_name(statement, package)
                module, start = project_module(source), (alias.name,)
                if module is not None and alias.name not in vars(module):
                    module, start = project_module(f"{source}.{alias.name}"), ()
            for names in rest:
                if module is not None:
                    self._use_of_module(module, (*start, *names), scope)

    def _follow_loaded(self, loaded: Loaded, package: str, whose: str) -> None:
        """Follow an import by name; of one that is made while the code runs every file counts that it can name."""
        name = f"{package}{loaded.name}" if loaded.name.startswith(".") else loaded.name
        if loaded.is_whole:
            module = project_module(name)
            if module is not None:
                self._use_all_of(module)
            return
        files = files_of_package(name.rpartition(".")[0])
        for inside, file in files.items():
            tree = self._digests.tree_of(file)
            if tree is not None:
                self._digests.record(inside, syntax.digest_of([tree]))
        if not files:
            self._digests.notes.append(
                f"{whose} imports modules whose names are made while it runs: no change to them will be noticed; give "
                "Memento another version= when you have changed one"
            )
