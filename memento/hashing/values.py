"""Values that code uses and that its source does not tell: what a name was given while the program ran.

A number that a loop or `main` gives to a name of the module counts as code does, as one from the command line does. Of
what the code itself fills or counts up while it runs, a cache or a counter, the value says nothing.
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple

from memento.hashing.ever_new import is_ever_new
from memento.hashing.giving import (
    UNTOLD,
    defaults_of,
    given_in,
    is_computed,
    is_never_the_same,
    is_of_a_place_in,
    literal,
    set_by_makers,
    targets_of,
    told_by,
)
from memento.hashing.held import held_in, is_settled
from memento.hashing.inside import is_plain
from memento.hashing.keys import digest
from memento.hashing.lookups import Lookups
from memento.hashing.naming import MAIN_MODULES
from memento.hashing.uses import chain_of

_FILLING = frozenset(
    [
        "append", "appendleft", "add", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
        "reverse", "setdefault", "sort", "update",
    ]
)  # fmt: skip


class _Given(NamedTuple):
    """A module-level name, the statements that give it its value, and the functions that do while the program runs."""

    record: str
    name: str
    owner: types.ModuleType
    nodes: list[ast.AST]
    setters: list[ast.AST]


class Values:
    """Collects the names and classes that code uses, and what it fills itself; then says whose values count.

    Attributes:
        assigned: what of that importing the modules again may not give: module, dotted path in it, and value.
    """

    def __init__(self) -> None:
        self.assigned: list[tuple[str, str, Any]] = []
        self._given: list[_Given] = []
        self._computed: list[tuple[str, str, types.ModuleType, str, list[ast.AST]]] = []
        self._classes: list[tuple[str, type, ast.ClassDef, list[ast.AST]]] = []
        self._functions: list[tuple[str, types.FunctionType, ast.AST]] = []
        self._set: set[tuple[str, str]] = set()  # names that code sets by `global`, with their modules
        self._filled: set[int] = set()  # objects that it fills
        self._attributes: set[str] = set()  # attributes that it sets, of whatever object
        self._set_by: dict[str, set[str]] = {}  # those that methods set, which count where one of that name is used
        self._used: set[str] = set()  # attributes that it asks for

    def add_name(self, *given: Any) -> None:
        """Take note that a module-level name is used: what it is recorded as, and all that `_Given` has of it."""
        self._given.append(_Given(*given))

    def add_computed(self, record: str, name: str, owner: types.ModuleType, option: str, nodes: list[ast.AST]) -> None:
        """Take note that a module-level name is used that `nodes` give what cannot be told from them.

        Of an object that holds settings, `option` is the attribute that counts; empty, all do.
        """
        self._computed.append((record, name, owner, option, nodes))

    def add_class(self, record: str, kind: type, node: ast.ClassDef, around: list[ast.AST]) -> None:
        """Take note that a class is used, which `node` defines, with what it uses of the statements `around` it."""
        self._classes.append((record, kind, node, around))

    def add_function(self, record: str, function: types.FunctionType, node: ast.AST) -> None:
        """Take note that a function is used, which `node` defines."""
        self._functions.append((record, function, node))

    def add_code(self, node: ast.AST, scope: dict[str, Any], local: Collection[str] = ()) -> None:
        """Take note of what the code in `node` sets and fills; names that are `local` to it stand for nothing else."""
        methods = (
            [one for one in node.body if isinstance(one, ast.FunctionDef)] if isinstance(node, ast.ClassDef) else []
        )
        for method in methods:
            self._add_code(method, scope, local, self._set_by.setdefault(method.name, set()))
        inside = {id(inner) for method in methods for inner in ast.walk(method)}
        self._add_code(node, scope, local, self._attributes, without=inside)

    def _add_code(
        self,
        node: ast.AST,
        scope: dict[str, Any],
        local: Collection[str],
        attributes: set[str],
        *,
        without: Collection[int] = (),
    ) -> None:
        without = {*without, *set_by_makers(node)}
        for inner in ast.walk(node):
            if id(inner) in without:
                continue
            if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Load):
                self._used.add(inner.attr)
            if isinstance(inner, ast.Global):
                self._set.update((str(scope.get("__name__")), name) for name in inner.names)
            elif isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load):
                if isinstance(inner, ast.Attribute):
                    attributes.add(inner.attr)
                self._fill(inner.value, scope, local, attributes)
            elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in _FILLING:
                self._fill(inner.func.value, scope, local, attributes)

    def _fill(self, node: ast.expr, scope: dict[str, Any], local: Collection[str], attributes: set[str]) -> None:
        while isinstance(node, ast.Subscript):
            node = node.value
        chain = chain_of(node)
        value = scope.get(chain[0]) if chain and chain[0] not in local else None
        for name in chain[1:]:
            value = getattr(value, "__dict__", {}).get(name)
        if value is not None:
            self._filled.add(id(value))
        elif len(chain) > 1:
            attributes.add(chain[-1])

    def tell(self, record: Callable[[str, str], None]) -> None:
        """Call `record` with each name whose value the source does not tell, and with the value's digest."""
        for method, attributes in self._set_by.items():
            if method in self._used or method.startswith("__"):
                self._attributes |= attributes
        for one in self._given:
            value = _plain(vars(one.owner).get(one.name))
            if value is UNTOLD or (one.owner.__name__, one.name) in self._set or id(value) in self._filled:
                continue
            told = b"" if one.setters or not one.nodes else told_by(one.nodes, one.name, vars(one.owner))
            asked = given_in(one.setters, one.name)
            if any(is_ever_new(ast.walk(given), vars(one.owner)) for given in asked):
                continue
            if told is not UNTOLD and told != digest(value):
                record(one.record, digest(value).hex())
                self.assign(one.owner.__name__, one.name, vars(one.owner)[one.name])
        self._unlike = {kind for _, kind, node, _ in self._classes if is_never_the_same(node, _scope_of(kind))}
        for name, key, owner, option, nodes in self._computed:
            if (owner.__name__, key) not in self._set:
                self._tell_computed(record, name, key, owner, option, nodes)
        for name, kind, node, around in self._classes:
            scope = _scope_of(kind)
            for attribute, known in list(vars(kind).items()):
                value = _plain(known)
                if value is UNTOLD or attribute.startswith("_") or attribute in self._attributes:
                    continue
                nodes = [one for one in node.body if attribute in targets_of(one)]
                told = told_by(nodes, attribute, scope) if nodes else b""
                if told is UNTOLD and is_computed(nodes, scope) and not is_of_a_place_in([*nodes, *around], value):
                    told = b""
                if id(known) not in self._filled and told is not UNTOLD and told != digest(value):
                    record(name, digest((attribute, value)).hex())
                    self.assign(kind.__module__, f"{kind.__qualname__}.{attribute}", known)
        for name, function, defined in self._functions:
            given = [(value, one) for value, one in defaults_of(function, defined) if literal(one) is UNTOLD]
            scope = function.__globals__
            made = [self._form(value) for value, one in given if not is_ever_new(ast.walk(one), scope)]
            if any(value is not UNTOLD and id(value) not in self._filled for value in made):
                record(name, digest([None if value is UNTOLD else value for value in made]).hex())

    def _tell_computed(
        self,
        record: Callable[[str, str], None],
        name: str,
        key: str,
        owner: types.ModuleType,
        option: str,
        nodes: list[ast.AST],
    ) -> None:
        value = vars(owner).get(key)
        whole = is_settled(value) and (not option or isinstance(value, tuple))
        held = [("", value)] if whole else self._held_in(value)
        if option and not whole:
            held = [(path, one) for path, one in held if path.partition(".")[0] == option]
        for path, one in held:
            if not is_of_a_place_in(nodes, one):
                record(f"{name}.{path}".rstrip("."), digest(one).hex())
                self.assign(owner.__name__, f"{key}.{path}".rstrip("."), one)

    def _held_in(self, value: Any) -> list[tuple[str, Any]]:
        held = held_in(value, without=self._attributes, unlike=self._unlike)
        return [(path, one) for path, one in held if id(one) not in self._filled]

    def _form(self, value: Any) -> Any:
        plain = _plain(value)
        return plain if plain is not UNTOLD else (self._held_in(value) or UNTOLD)

    def assign(self, module: str, path: str, value: Any) -> None:
        """Take note of what `path` in `module` was found to be; what is of the program itself travels with it."""
        if module not in MAIN_MODULES and "<locals>" not in path:
            self.assigned.append((module, path, value))

    def watch(self, lookups: Lookups) -> None:
        """Have `lookups` notice when what counts of these values changes, and not what the code itself sets."""
        for _, kind, _, _ in self._classes:
            inside = vars(kind)
            for attribute, value in inside.items():
                if _plain(value) is not UNTOLD and not attribute.startswith("_") and attribute not in self._attributes:
                    lookups.add(inside, attribute)
        for _, name, owner, _, _ in self._computed:
            value = vars(owner).get(name)
            if not is_plain(value) and self._held_in(value):
                lookups.add_inside(partial(self._held_in, value))
        lookups.close(set_by_code=self._set, filled_by_code=self._filled)


def _scope_of(kind: type) -> dict[str, Any]:
    return vars(sys.modules[kind.__module__])


def _plain(value: Any) -> Any:
    """Return `value` if it is plain, or a scalar of numpy as one of Python's."""
    if getattr(value, "shape", None) == () and type(value).__module__ == "numpy":
        value = value.item()
    return value if is_plain(value) else UNTOLD
