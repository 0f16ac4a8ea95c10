"""Statements → what they give a name: the value itself where it is written out, and whether it can be told at all."""

from __future__ import annotations

import ast
import types
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from memento.fingerprint.nondeterminism import is_nondeterministic
from memento.fingerprint.uses import chain_of
from memento.hashing.keys import digest

Scope = Mapping[str, Any]

UNTOLD: Any = object()
"""Stands for a value that statements do not tell."""
# What a module makes to be filled while it runs: dict() is no other than {}.
_CONTAINERS = frozenset({"dict", "list", "set"})
# What makes an object sets its attributes, and what comes later changes them.
_MAKERS = frozenset({"__init__", "__new__", "__post_init__", "__attrs_post_init__", "__setstate__"})


def is_computed(nodes: list[ast.AST], scope: Scope) -> bool:
    """Return whether what these statements assign cannot be told from them, as `int(os.environ["N"])` cannot."""
    statements = [one for one in nodes if not isinstance(one, ast.FunctionDef)]
    given = [node.value for one in statements for node in ast.walk(one) if isinstance(node, ast.Assign | ast.AnnAssign)]
    inside = [node for value in given if value is not None for node in ast.walk(value)]
    asked = any(isinstance(node, ast.Call | ast.Subscript | ast.Attribute) for node in inside)
    shuffled = any(isinstance(one, ast.Expr) and is_nondeterministic(ast.walk(one), scope) for one in statements)
    return asked and not shuffled and not is_nondeterministic(inside, scope) and not _names_in(inside) <= _CONTAINERS


def is_given_in(nodes: Iterable[ast.AST], name: str, scope: Scope) -> bool:
    """Return whether loops and the like give `name` a value, and none that is never meant to be the same."""
    walked = [inner for node in nodes for inner in ast.walk(node)]
    given: list[ast.AST] = [*given_in(nodes, name)]
    given += [inner.iter for inner in walked if is_loop(inner) and name in targets_of(inner)]
    return bool(walked) and not any(is_nondeterministic(ast.walk(one), scope) for one in given)


def set_by_makers(node: ast.AST) -> set[int]:
    """Return the addresses of the nodes in which a class's `__init__` or the like sets what its objects have."""
    found = set()
    for maker in ast.walk(node):
        if isinstance(maker, ast.FunctionDef) and maker.name in _MAKERS and maker.args.args:
            own = maker.args.args[0].arg
            for inner in ast.walk(maker):
                target = inner.value if isinstance(inner, ast.Attribute | ast.Subscript) else None
                if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
                    target = inner.func.value
                if isinstance(target, ast.expr) and chain_of(target)[:1] == (own,):
                    found.add(id(inner))
    return found


def makes_nondeterministic(node: ast.ClassDef, scope: Scope) -> bool:
    """Return whether what the class of `node` makes is another each time, by what it or its makers ask for."""
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name not in _MAKERS]
    left = {id(inner) for method in methods for inner in ast.walk(method)}
    return is_nondeterministic((inner for inner in ast.walk(node) if id(inner) not in left), scope)


def _names_in(nodes: Iterable[ast.AST]) -> set[str]:
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in nodes
        if isinstance(node, ast.Name | ast.Attribute)
    }


def literal(node: ast.AST | None) -> Any:
    """Return the value that an expression writes out, `UNTOLD` where it does not."""
    try:
        return ast.literal_eval(node) if isinstance(node, ast.expr) else UNTOLD
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNTOLD


def is_loop(node: ast.AST) -> TypeGuard[ast.For | ast.AsyncFor]:
    """Return whether `node` gives a name one value after the other."""
    return isinstance(node, ast.For | ast.AsyncFor)


def targets_of(node: ast.AST) -> set[str]:
    """Return the names that a statement itself assigns."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.For | ast.AsyncFor):
        targets = [node.target]
    return {inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}


def given_in(nodes: Iterable[ast.AST], name: str) -> list[ast.expr]:
    """Return what the assignments in `nodes` give `name`."""
    assignments = (inner for one in nodes for inner in ast.walk(one))
    return [
        inner.value
        for inner in assignments
        if isinstance(inner, ast.Assign | ast.AnnAssign | ast.AugAssign) and inner.value and name in targets_of(inner)
    ]


def told_by(nodes: list[ast.AST], name: str, scope: Scope) -> Any:
    """Return the digest of the one value that `nodes` give `name`, empty where they give it several by turns.

    Untold is what is made of other things, which are watched themselves, and what is never meant to be the same.
    """
    given = given_in(nodes, name)
    for one in nodes:
        if isinstance(one, ast.Expr) and is_nondeterministic(ast.walk(one), scope):
            return UNTOLD
        for inner in ast.walk(one):
            if is_loop(inner) and name in targets_of(inner):
                if is_nondeterministic(ast.walk(inner.iter), scope):
                    return UNTOLD
                given += [ast.Constant(None), ast.Constant(None)]
    values = [literal(value) for value in given]
    if not values or any(value is UNTOLD for value in values):
        return UNTOLD
    is_one = len(nodes) == len(values) == 1 and isinstance(nodes[0], ast.Assign | ast.AnnAssign)
    target = nodes[0].targets[0] if isinstance(nodes[0], ast.Assign) else getattr(nodes[0], "target", None)
    return digest(values[0]) if is_one and isinstance(target, ast.Name) else b""


def defaults_of(function: types.FunctionType, node: ast.AST) -> list[tuple[Any, ast.expr]]:
    """Return the defaults of a function with what stands for them in its source."""
    arguments = getattr(node, "args", None)
    if arguments is None:
        return []
    by_name = function.__kwdefaults__ or {}
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return [
        *zip(function.__defaults__ or (), arguments.defaults, strict=False),
        *((by_name[one.arg], given) for one, given in named if given is not None and one.arg in by_name),
    ]
