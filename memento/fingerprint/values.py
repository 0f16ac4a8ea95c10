"""Values that code uses and that its source does not tell: what a name was given while the program ran.

A number that a loop or `main` gives to a name of the module counts as code does, as one from the command line does. Of
what the code itself fills or counts up while it runs, a cache or a counter, the value says nothing.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from memento.errors import UnkeyableValue
from memento.fingerprint.assignments import asks_where
from memento.fingerprint.attributes import held_in, is_settled
from memento.fingerprint.bindings import (
    UNTOLD,
    defaults_of,
    given_in,
    is_computed,
    literal,
    makes_nondeterministic,
    targets_of,
    told_by,
)
from memento.fingerprint.contents import is_plain
from memento.fingerprint.effects import Effects, scope_of
from memento.fingerprint.lookups import Lookups
from memento.fingerprint.nondeterminism import has_path, is_nondeterministic
from memento.hashing.keys import digest
from memento.hashing.naming import MAIN_MODULES

Record = Callable[[str, str], None]


class _Given(NamedTuple):
    """A module-level name, the statements that give it its value, and the functions that do while the program runs."""

    record: str
    name: str
    owner: types.ModuleType
    nodes: list[ast.AST]
    setters: list[ast.AST]


class _Computed(NamedTuple):
    """A module-level name whose value no statement tells; see `Values.add_computed`."""

    record: str
    name: str
    owner: types.ModuleType
    option: str
    is_placed: bool


class _Class(NamedTuple):
    """A class, and where it is defined."""

    record: str
    kind: type
    node: ast.ClassDef
    tree: ast.Module


class Values:
    """Collects the names, classes and defaults that code uses; then says whose values count.

    Attributes:
        assigned: what of that importing the modules again may not give: module, dotted path in it, and value.
    """

    def __init__(self, effects: Effects) -> None:
        self.assigned: list[tuple[str, str, Any]] = []
        self._effects = effects
        self._given: list[_Given] = []
        self._aliases: list[tuple[str, str, str, str]] = []
        self._computed: list[_Computed] = []
        self._classes: list[_Class] = []
        self._functions: list[tuple[str, types.FunctionType, ast.AST]] = []
        self._nondeterministic: set[type] = set()  # of these no object counts

    def add_name(self, *given: Any) -> None:
        """Take note that a module-level name is used: what it is recorded as, and all that `_Given` has of it."""
        self._given.append(_Given(*given))

    def add_computed(self, record: str, name: str, owner: types.ModuleType, option: str, *, is_placed: bool) -> None:
        """Take note that a module-level name is used of which no statement tells the value.

        Of an object that holds settings, `option` is the attribute that counts; empty, all do. Where `is_placed`, the
        statements ask where something lies, so that paths do not count.
        """
        self._computed.append(_Computed(record, name, owner, option, is_placed))

    def add_alias(self, module: str, name: str, source: str, there: str) -> None:
        """Take note that `name` of a module was imported from `source`, where it is `there`."""
        self._aliases.append((module, name, source, there))

    def add_class(self, record: str, kind: type, node: ast.ClassDef, tree: ast.Module) -> None:
        """Take note that a class is used, which `node` of the module in `tree` defines."""
        self._classes.append(_Class(record, kind, node, tree))

    def add_function(self, record: str, function: types.FunctionType, node: ast.AST) -> None:
        """Take note that a function is used, which `node` defines."""
        self._functions.append((record, function, node))

    def tell(self, record: Record) -> None:
        """Call `record` with each name whose value the source does not tell, and with the value's digest."""
        for given in self._given:
            self._tell_name(record, given)
        self._nondeterministic = {
            one.kind for one in self._classes if makes_nondeterministic(one.node, scope_of(one.kind))
        }
        for computed in self._computed:
            self._tell_computed(record, computed)
        for known in self._classes:
            self._tell_class(record, known)
        for name, function, node in self._functions:
            self._tell_defaults(record, name, function, node)

    def _tell_name(self, record: Record, one: _Given) -> None:
        scope = vars(one.owner)
        value = _plain(scope.get(one.name))
        if value is UNTOLD or self._effects.set_name(one.owner, one.name) or self._effects.fill(value):
            return
        if any(is_nondeterministic(ast.walk(given), scope) for given in given_in(one.setters, one.name)):
            return
        told = b"" if one.setters or not one.nodes else told_by(one.nodes, one.name, scope)
        if told is not UNTOLD and told != digest(value):
            record(one.record, digest(value).hex())
            self.assign(one.owner.__name__, one.name, scope[one.name])

    def _tell_computed(self, record: Record, one: _Computed) -> None:
        if self._effects.set_name(one.owner, one.name):
            return
        value = vars(one.owner).get(one.name)
        whole = is_settled(value) and (not one.option or issubclass(type(value), tuple))
        held = [("", value)] if whole else self._held_in(value)
        if one.option and not whole:
            held = [(path, inner) for path, inner in held if path.partition(".")[0] == one.option]
        for path, inner in held:
            if not (one.is_placed and has_path(inner)) and is_digestible(inner):
                record(f"{one.record}.{path}".rstrip("."), digest(inner).hex())
                if not has_path(inner):  # which may rightly be another on another machine
                    self.assign(one.owner.__name__, f"{one.name}.{path}".rstrip("."), inner)

    def _tell_class(self, record: Record, one: _Class) -> None:
        scope = scope_of(one.kind)
        for attribute, known in list(vars(one.kind).items()):
            value = self._of_class(one.kind, attribute, known)
            if value is UNTOLD:
                continue
            nodes: list[ast.AST] = [node for node in one.node.body if attribute in targets_of(node)]
            told = told_by(nodes, attribute, scope) if nodes else b""
            if told is UNTOLD and is_computed(nodes, scope) and not (has_path(value) and asks_where(nodes, one.tree)):
                told = b""
            if told is not UNTOLD and told != digest(value):
                record(one.record, digest((attribute, value)).hex())
                self.assign(one.kind.__module__, f"{one.kind.__qualname__}.{attribute}", known)

    def _tell_defaults(self, record: Record, name: str, function: types.FunctionType, node: ast.AST) -> None:
        scope = function.__globals__
        given = [(value, one) for value, one in defaults_of(function, node) if literal(one) is UNTOLD]
        made = [self._form(value) for value, one in given if not is_nondeterministic(ast.walk(one), scope)]
        if any(value is not UNTOLD and not self._effects.fill(value) for value in made):
            record(name, digest([None if value is UNTOLD else value for value in made]).hex())

    def _of_class(self, kind: type, attribute: str, known: Any) -> Any:
        """Return a value of a class that counts, `UNTOLD` for any other; members of an enum say what their class is."""
        if attribute.startswith("_") or issubclass(kind, Enum) or self._effects.fill(known):
            return UNTOLD
        return UNTOLD if self._effects.set_on_class(kind, attribute) else _plain(known)

    def _counts(self, thing: Any, name: str) -> bool:
        """Return whether the attribute `name` of an object is none that the code itself sets."""
        return type(thing) not in self._nondeterministic and not self._effects.set_attribute(thing, name)

    def _held_in(self, value: Any) -> list[tuple[str, Any]]:
        return [(path, one) for path, one in held_in(value, self._counts) if not self._effects.fill(one)]

    def _form(self, value: Any) -> Any:
        plain = _plain(value)
        return plain if plain is not UNTOLD else (self._held_in(value) or UNTOLD)

    def assign(self, module: str, path: str, value: Any) -> None:
        """Take note of what `path` in `module` was found to be; what is of the program itself travels with it."""
        if module not in MAIN_MODULES and "<locals>" not in path:
            self.assigned.append((module, path, value))

    def assign_where_imported(self) -> None:
        """Take note of names that were imported from a module that had what was assigned by then, too."""
        known = {(module, path): value for module, path, value in self.assigned}
        for module, name, source, there in reversed(self._aliases):  # the ones nearest to where it comes from first
            if (source, there) in known and (module, name) not in known:
                known[module, name] = known[source, there]
                self.assign(module, name, known[source, there])

    def watch(self, lookups: Lookups) -> None:
        """Have `lookups` notice when what counts of these values changes, and not what the code itself sets."""
        for known in self._classes:
            inside = vars(known.kind)
            for attribute, value in inside.items():
                if self._of_class(known.kind, attribute, value) is not UNTOLD:
                    lookups.add(inside, attribute)
        for one in self._computed:
            value = vars(one.owner).get(one.name)
            if not is_plain(value) and self._held_in(value):
                lookups.add_inside(partial(self._held_in, value))
        lookups.close(set_by_code=self._effects.names, filled_by_code=self._effects.filled)


def _plain(value: Any) -> Any:
    """Return `value` if it is plain, or a scalar of numpy as one of Python's."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()
    return value if is_plain(value) and is_digestible(value) else UNTOLD


def is_digestible(value: Any) -> bool:
    """Return whether a plain value has a digest: one that is nested very deeply has none."""
    try:
        digest(value)
    except UnkeyableValue:
        return False
    return True
