"""Values that code uses and that its source does not tell: what a name was given while the program ran.

A number that a loop or `main` gives to a name of the module counts as code does, as one from the command line does. Of
what the code itself fills or counts up while it runs, a cache or a counter, the value says nothing.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable, Collection
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from memento.errors import UnkeyableValue
from memento.hashing.ever_new import has_path, is_ever_new
from memento.hashing.giving import (
    UNTOLD,
    defaults_of,
    given_in,
    is_computed,
    is_never_the_same,
    literal,
    set_by_makers,
    targets_of,
    told_by,
)
from memento.hashing.held import attributes_of, held_in, is_settled
from memento.hashing.inside import is_plain
from memento.hashing.keys import digest
from memento.hashing.lookups import Lookups
from memento.hashing.naming import MAIN_MODULES
from memento.hashing.uses import asks_where, chain_of

_FILLING = frozenset(
    [
        "append", "appendleft", "add", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
        "reverse", "setdefault", "sort", "update",
    ]
)  # fmt: skip

# Stands for each attribute, where the code does not say which one it sets.
EVERY = "*"


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


class Values:
    """Collects the names and classes that code uses, and what it fills itself; then says whose values count.

    Attributes:
        assigned: what of that importing the modules again may not give: module, dotted path in it, and value.
    """

    def __init__(self) -> None:
        self.assigned: list[tuple[str, str, Any]] = []
        self._given: list[_Given] = []
        self._aliases: list[tuple[str, str, str, str]] = []
        self._computed: list[_Computed] = []
        self._classes: list[tuple[str, type, ast.ClassDef, ast.Module]] = []
        self._functions: list[tuple[str, types.FunctionType, ast.AST]] = []
        self._set: set[tuple[str, str]] = set()  # names that code sets by `global`, with their modules
        self._filled: set[int] = set()  # objects that it fills
        self._set_on: set[tuple[int, str]] = set()  # attributes that it sets, with the addresses of the objects
        self._set_by: dict[type, dict[str, set[str]]] = {}  # those that methods of a class set on `self`
        self._used: set[str] = set()  # attributes that it asks for or sets: a method's counts where it is used
        self._unlike: set[type] = set()  # classes whose objects are never the same

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
        self._classes.append((record, kind, node, tree))
        scope = _scope_of(kind)
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
        for method in methods:
            own = method.args.args[0].arg if method.args.args else ""
            self._add_code(method, scope, (), (own, self._set_by.setdefault(kind, {}).setdefault(method.name, set())))
        inside = {id(inner) for method in methods for inner in ast.walk(method)}
        self._add_code(node, scope, (), ("", set()), without=inside)

    def add_function(self, record: str, function: types.FunctionType, node: ast.AST) -> None:
        """Take note that a function is used, which `node` defines."""
        self._functions.append((record, function, node))

    def add_code(self, node: ast.AST, scope: dict[str, Any], local: Collection[str] = ()) -> None:
        """Take note of what the code in `node` sets and fills; names that are `local` to it stand for nothing else."""
        self._add_code(node, scope, local, ("", set()))

    def _add_code(
        self,
        node: ast.AST,
        scope: dict[str, Any],
        local: Collection[str],
        own: tuple[str, set[str]],
        *,
        without: Collection[int] = (),
    ) -> None:
        """See what `node` does; `own` is what a method calls its object, and collects what it sets on that."""
        without = {*without, *set_by_makers(node)}
        for inner in ast.walk(node):
            if id(inner) in without:
                continue
            if isinstance(inner, ast.Attribute):
                self._used.add(inner.attr)
            if isinstance(inner, ast.Global):
                self._set.update((str(scope.get("__name__")), name) for name in inner.names)
            elif isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load):
                if isinstance(inner, ast.Attribute):
                    self._set_attribute(inner.value, inner.attr, scope, local, own)
                self._fill(inner.value, scope, local, own)
            elif isinstance(inner, ast.Call):
                self._call(inner, scope, local, own)

    def _call(self, call: ast.Call, scope: dict[str, Any], local: Collection[str], own: tuple[str, set[str]]) -> None:
        called = chain_of(call.func)
        if isinstance(call.func, ast.Attribute) and call.func.attr in _FILLING:
            self._fill(call.func.value, scope, local, own)
        elif called[-1:] in (("setattr",), ("__setattr__",), ("vars",)) and call.args:
            name = call.args[1].value if len(call.args) > 1 and isinstance(call.args[1], ast.Constant) else EVERY
            self._set_attribute(call.args[0], str(name), scope, local, own)

    def _set_attribute(
        self, node: ast.expr, name: str, scope: dict[str, Any], local: Collection[str], own: tuple[str, set[str]]
    ) -> None:
        chain = chain_of(node)
        if chain and chain == (own[0],):
            own[1].add(name)
        elif (value := _found(chain, scope, local)) is not None:
            self._set_on.add((id(value), name))

    def _fill(self, node: ast.expr, scope: dict[str, Any], local: Collection[str], own: tuple[str, set[str]]) -> None:
        while isinstance(node, ast.Subscript):
            node = node.value
        chain = chain_of(node)
        if len(chain) > 1 and chain[0] == own[0]:
            own[1].add(EVERY if chain[1] == "__dict__" else chain[1])
        elif (value := _found(chain, scope, local)) is not None:
            self._filled.add(id(value))

    def _counts(self, thing: Any, name: str) -> bool:
        """Return whether the attribute `name` of an object is none that the code itself sets."""
        if type(thing) in self._unlike:
            return False
        names = {name, EVERY}
        if any((id(thing), one) in self._set_on for one in names):
            return False
        by_methods = (item for kind in type(thing).__mro__ for item in self._set_by.get(kind, {}).items())
        return not any(names & found for method, found in by_methods if method in self._used or method[:2] == "__")

    def tell(self, record: Callable[[str, str], None]) -> None:
        """Call `record` with each name whose value the source does not tell, and with the value's digest."""
        for one in self._given:
            value = _plain(vars(one.owner).get(one.name))
            if value is UNTOLD or self._is_set(one.owner, one.name) or id(value) in self._filled:
                continue
            told = b"" if one.setters or not one.nodes else told_by(one.nodes, one.name, vars(one.owner))
            asked = given_in(one.setters, one.name)
            if any(is_ever_new(ast.walk(given), vars(one.owner)) for given in asked):
                continue
            if told is not UNTOLD and told != digest(value):
                record(one.record, digest(value).hex())
                self.assign(one.owner.__name__, one.name, vars(one.owner)[one.name])
        self._unlike = {kind for _, kind, node, _ in self._classes if is_never_the_same(node, _scope_of(kind))}
        for computed in self._computed:
            if not self._is_set(computed.owner, computed.name):
                self._tell_computed(record, computed)
        for name, kind, node, tree in self._classes:
            scope = _scope_of(kind)
            for attribute, known in list(vars(kind).items()):
                value = self._of_class(kind, attribute, known)
                if value is UNTOLD:
                    continue
                nodes: list[ast.AST] = [one for one in node.body if attribute in targets_of(one)]
                told = told_by(nodes, attribute, scope) if nodes else b""
                if told is UNTOLD and is_computed(nodes, scope) and not (has_path(value) and asks_where(nodes, tree)):
                    told = b""
                if told is not UNTOLD and told != digest(value):
                    record(name, digest((attribute, value)).hex())
                    self.assign(kind.__module__, f"{kind.__qualname__}.{attribute}", known)
        for name, function, defined in self._functions:
            given = [(value, one) for value, one in defaults_of(function, defined) if literal(one) is UNTOLD]
            scope = function.__globals__
            made = [self._form(value) for value, one in given if not is_ever_new(ast.walk(one), scope)]
            if any(value is not UNTOLD and id(value) not in self._filled for value in made):
                record(name, digest([None if value is UNTOLD else value for value in made]).hex())

    def _of_class(self, kind: type, attribute: str, known: Any) -> Any:
        """Return a value of a class that counts, `UNTOLD` for any other; members of an enum say what their class is."""
        if attribute.startswith("_") or issubclass(kind, Enum) or id(known) in self._filled:
            return UNTOLD
        by_methods = self._set_by.get(kind, {})
        if (id(kind), attribute) in self._set_on or any(attribute in names for names in by_methods.values()):
            return UNTOLD
        return _plain(known)

    def _is_set(self, owner: types.ModuleType, name: str) -> bool:
        return (owner.__name__, name) in self._set or (id(owner), name) in self._set_on

    def _tell_computed(self, record: Callable[[str, str], None], one: _Computed) -> None:
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

    def _held_in(self, value: Any) -> list[tuple[str, Any]]:
        held = held_in(value, self._counts)
        return [(path, one) for path, one in held if id(one) not in self._filled]

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
        for _, kind, _, _ in self._classes:
            inside = vars(kind)
            for attribute, value in inside.items():
                if self._of_class(kind, attribute, value) is not UNTOLD:
                    lookups.add(inside, attribute)
        for one in self._computed:
            value = vars(one.owner).get(one.name)
            if not is_plain(value) and self._held_in(value):
                lookups.add_inside(partial(self._held_in, value))
        lookups.close(set_by_code=self._set, filled_by_code=self._filled)


def _found(chain: tuple[str, ...], scope: dict[str, Any], local: Collection[str]) -> Any:
    """Return what a dotted name stands for, None where that is not known."""
    value = scope.get(chain[0]) if chain and chain[0] not in local else None
    for name in chain[1:]:
        value = attributes_of(value).get(name) if type(value) not in (types.ModuleType, type) else vars(value).get(name)
    return value


def _scope_of(kind: type) -> dict[str, Any]:
    return vars(sys.modules[kind.__module__])


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
