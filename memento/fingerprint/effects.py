"""What code itself sets and fills while it runs, a counter or a cache: such values say nothing of the code."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Collection
from typing import Any, NamedTuple

from memento.fingerprint.attributes import attributes_of
from memento.fingerprint.bindings import set_by_makers
from memento.fingerprint.uses import chain_of

_FILLING = frozenset(
    [
        "append", "appendleft", "add", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
        "reverse", "setdefault", "sort", "update",
    ]
)  # fmt: skip

# Stands for each attribute, where the code does not say which one it sets.
EVERY = "*"


class _Where(NamedTuple):
    """Where code stands: the names around it, those of its own, and, in a method, what it calls its object.

    Attributes:
        set_on_own: collects the attributes that it sets on that object.
    """

    scope: dict[str, Any]
    local: Collection[str]
    own: str
    set_on_own: set[str]

    def find(self, chain: tuple[str, ...]) -> Any:
        """Return what a dotted name stands for, None where that is not known."""
        value = self.scope.get(chain[0]) if chain and chain[0] not in self.local else None
        for name in chain[1:]:
            is_space = type(value) in (types.ModuleType, type)
            value = (vars(value) if is_space else attributes_of(value)).get(name)
        return value


class Effects:
    """Collects what code that is looked at sets and fills; objects are known by their addresses."""

    def __init__(self) -> None:
        self.names: set[tuple[str, str]] = set()  # set by `global`, with their modules
        self.filled: set[int] = set()
        self._attributes: set[tuple[int, str]] = set()
        self._by_methods: dict[type, dict[str, set[str]]] = {}  # those that methods of a class set on `self`
        self._used: set[str] = set()  # attributes that code asks for or sets: a method's effects count where it is used

    def add_code(self, node: ast.AST, scope: dict[str, Any], local: Collection[str] = ()) -> None:
        """See what the code in `node` does; names that are `local` to it stand for nothing else."""
        self._add(node, _Where(scope, local, "", set()))

    def add_class(self, kind: type, node: ast.ClassDef) -> None:
        """See what the methods of a class, which `node` defines, and its body do."""
        scope = scope_of(kind)
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
        for method in methods:
            own = method.args.args[0].arg if method.args.args else ""
            set_on_own = self._by_methods.setdefault(kind, {}).setdefault(method.name, set())
            self._add(method, _Where(scope, (), own, set_on_own))
        inside = {id(inner) for method in methods for inner in ast.walk(method)}
        self._add(node, _Where(scope, (), "", set()), without=inside)

    def set_name(self, owner: types.ModuleType, name: str) -> bool:
        """Return whether code sets a name of a module."""
        return (owner.__name__, name) in self.names or (id(owner), name) in self._attributes

    def fill(self, value: Any) -> bool:
        """Return whether code fills this very object, or empties it."""
        return id(value) in self.filled

    def set_attribute(self, thing: Any, name: str) -> bool:
        """Return whether code sets the attribute `name` of an object: by itself, or in a method that it may call."""
        names = {name, EVERY}
        if any((id(thing), one) in self._attributes for one in names):
            return True
        by_methods = (item for kind in type(thing).__mro__ for item in self._by_methods.get(kind, {}).items())
        return any(names & found for method, found in by_methods if method in self._used or method[:2] == "__")

    def set_on_class(self, kind: type, name: str) -> bool:
        """Return whether code sets the attribute `name` of a class, or one of its methods that of an object of it."""
        by_methods = self._by_methods.get(kind, {})
        return (id(kind), name) in self._attributes or any(name in names for names in by_methods.values())

    def _add(self, node: ast.AST, where: _Where, *, without: Collection[int] = ()) -> None:
        without = {*without, *set_by_makers(node)}
        for inner in ast.walk(node):
            if id(inner) in without:
                continue
            if isinstance(inner, ast.Attribute):
                self._used.add(inner.attr)
            if isinstance(inner, ast.Global):
                self.names.update((str(where.scope.get("__name__")), name) for name in inner.names)
            elif isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load):
                if isinstance(inner, ast.Attribute):
                    self._sets(inner.value, inner.attr, where)
                self._fills(inner.value, where)
            elif isinstance(inner, ast.Call):
                self._call(inner, where)

    def _call(self, call: ast.Call, where: _Where) -> None:
        called = chain_of(call.func)
        if isinstance(call.func, ast.Attribute) and call.func.attr in _FILLING:
            self._fills(call.func.value, where)
        elif called[-1:] in (("setattr",), ("__setattr__",), ("vars",)) and call.args:
            name = call.args[1].value if len(call.args) > 1 and isinstance(call.args[1], ast.Constant) else EVERY
            self._sets(call.args[0], str(name), where)

    def _sets(self, node: ast.expr, name: str, where: _Where) -> None:
        chain = chain_of(node)
        if chain and chain == (where.own,):
            where.set_on_own.add(name)
        elif (value := where.find(chain)) is not None:
            self._attributes.add((id(value), name))

    def _fills(self, node: ast.expr, where: _Where) -> None:
        while isinstance(node, ast.Subscript):
            node = node.value
        chain = chain_of(node)
        if len(chain) > 1 and chain[0] == where.own:
            where.set_on_own.add(EVERY if chain[1] == "__dict__" else chain[1])
        elif (value := where.find(chain)) is not None:
            self.filled.add(id(value))


def scope_of(kind: type) -> dict[str, Any]:
    """Return the names of the module in which a class is defined."""
    return vars(sys.modules[kind.__module__])
