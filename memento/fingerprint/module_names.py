"""Names of the project's modules → what they stand for: the statements that say it, and values where none does."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable
from typing import Any

from memento.errors import UnkeyableValue
from memento.fingerprint.assignments import asks_where, assignments_of, setters_of
from memento.fingerprint.attributes import attributes_of, is_settled
from memento.fingerprint.bindings import is_computed, is_given_in
from memento.fingerprint.code_digests import CodeDigests
from memento.fingerprint.contents import home_of, is_plain
from memento.fingerprint.project import file_of_module, is_library, is_project
from memento.fingerprint.uses import absolute_name, imported_as, is_definition, origins_of
from memento.fingerprint.values import Values
from memento.hashing import syntax
from memento.hashing.keys import digest
from memento.hashing.naming import is_importable, module_name

# What no call can change that is given one.
_UNCHANGING = (types.FunctionType, type, types.ModuleType, int, float, complex, str, bytes, tuple, frozenset, range)

_COMPOUND = (ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.If)

Scope = dict[str, Any]


class ModuleNames:
    """Watches what gives names their values; `follow` goes on with what the statements use that do."""

    def __init__(
        self, digests: CodeDigests, values: Values, follow: Callable[[list[ast.AST], Scope, set[str], str], None]
    ) -> None:
        self._digests, self._values, self._follow = digests, values, follow
        self._seen: set[tuple[str, str, str]] = set()

    def use(self, name: str, module: str, option: str = "") -> None:
        """Watch the statements of the project that give a module-level name its value."""
        owner = sys.modules.get(module)
        of_python = name.startswith("__") and name.endswith("__")
        if (
            not isinstance(owner, types.ModuleType)
            or not is_project(owner)
            or (name, module, option) in self._seen
            or of_python
        ):
            return
        self._seen.add((name, module, option))
        tree = self._digests.tree_of(file_of_module(owner))
        if tree is None:
            self._use_value(name, owner)
            return
        value = vars(owner).get(name)
        setters = setters_of(tree, name)
        nodes = assignments_of(tree, name, mutable=not isinstance(value, _UNCHANGING))
        nodes += [] if is_plain(value) else setters  # else what they have made of it is enough to know
        record = f"{module_name(module)}.{name}"
        # Of a value that a loop or the like gives its name what it is says enough: that may run the experiment, too.
        enough = is_settled(value) or attributes_of(value)
        around = [node for node in nodes if isinstance(node, _COMPOUND)] if enough else []
        telling = [node for node in nodes if node not in around]
        if telling:
            self._digests.record(record, syntax.digest_of(telling))
            self._follow(telling, vars(owner), {name}, record)
        origins = origins_of(tree, name)
        if is_computed(telling, vars(owner)) or is_given_in(around, name, vars(owner)):
            self._values.add_computed(record, name, owner, option, is_placed=asks_where(nodes, tree))
        elif nodes or setters or (name in vars(owner) and not origins):
            self._values.add_name(record, name, owner, nodes, setters)
        if isinstance(value, types.FunctionType | type) and (nodes or setters):
            self._use_chosen(record, name, owner)
        is_own = not origins
        for origin in origins:
            # The value came from another module of the project, perhaps under another name.
            source = absolute_name(origin, getattr(owner, "__package__", "") or "")
            alias = next(alias for alias in origin.names if alias.name == "*" or (alias.asname or alias.name) == name)
            there = name if alias.name == "*" else alias.name
            self.use(there, source, option)
            module_there = sys.modules.get(source)
            given_there = vars(module_there).get(there, value) if isinstance(module_there, types.ModuleType) else value
            is_own = is_own or given_there is value
            if given_there is value:
                self._values.add_alias(owner.__name__, name, source, there)
        if not nodes and not setters and not (is_own and (origins or _is_defined_as(tree, name, value, module))):
            self._use_put_there(record, name, owner)
        self.use_library(name, owner)

    def use_library(self, name: str, owner: types.ModuleType | None) -> None:
        """Watch which thing of a library a name of `owner` stands for: what that does changes by versions alone."""
        tree = self._digests.tree_of(file_of_module(owner) if owner is not None else None)
        if owner is None or tree is None:
            return
        package = getattr(owner, "__package__", "") or ""
        meant = sorted(one for one in imported_as(tree, name, package) if is_library(one))
        if meant:
            self._digests.record(f"{module_name(owner.__name__)}.{name}", " ".join(meant))

    def _use_chosen(self, record: str, name: str, owner: types.ModuleType) -> None:
        """Watch which function or class a name stands for that is given one of several."""
        value = vars(owner)[name]
        self._digests.record(record, f"is {module_name(home_of(value))}.{value.__qualname__}")
        if is_importable(value):
            self._values.assign(owner.__name__, name, value)

    def _use_put_there(self, record: str, name: str, owner: types.ModuleType) -> None:
        """Watch what the program has put in the place of what a module itself has under a name; workers get it too."""
        value = vars(owner).get(name)
        if not isinstance(value, types.FunctionType | type):
            self._values.add_name(record, name, owner, [], [])
        elif is_project(sys.modules.get(home_of(value))):  # its code is watched anyway
            self._values.assign(owner.__name__, name, value)

    def _use_value(self, name: str, owner: types.ModuleType) -> None:
        """Watch a value itself where its module has no source, as in a notebook."""
        value = vars(owner).get(name)
        if value is None or isinstance(value, types.FunctionType | type):
            return
        try:
            self._digests.record(f"{module_name(owner.__name__)}.{name}", digest(value).hex())
        except UnkeyableValue:
            self._digests.note(f"{module_name(owner.__name__)}.{name}")


def _is_defined_as(tree: ast.Module, name: str, value: Any, module: str) -> bool:
    """Return whether `value` may be what the source of `module` defines as `name`; a decorator may make anything."""
    if not isinstance(value, types.FunctionType | type):
        return True
    decorated = (one.decorator_list for one in syntax.statements_of(tree) if is_definition(one) and one.name == name)
    return (home_of(value), value.__qualname__) == (module, name) or any(decorated)
