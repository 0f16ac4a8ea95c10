"""Statements of a module → which of them give a name its value or change it, and where a value comes from."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterable

from memento.fingerprint.uses import chain_of, is_definition
from memento.hashing.syntax import statements_of

# Calls that are given a value to show it, and leave it as it is.
_SHOWING = frozenset({"print", "pprint", "debug", "info", "warning", "error", "exception", "critical", "log", "write"})
# What asks where something lies: it may be moved, or be copied to another machine.
_PLACES = frozenset(["__file__", "getcwd", "cwd", "home", "expanduser", "resolve", "absolute", "abspath", "realpath"])
# Methods that are called for what they return, and change what they are called on.
_TAKING = frozenset({"pop", "popitem", "popleft", "setdefault"})


def assignments_of(tree: ast.Module, name: str, *, mutable: bool = False) -> list[ast.AST]:
    """Return the statements at the top of a module that give `name` its value, or change it.

    What `mutable` says may be changed by each call that it is given to.
    """
    return list(_assignments(tree, name, mutable))


@functools.lru_cache(maxsize=4096)
def _assignments(tree: ast.Module, name: str, mutable: bool) -> tuple[ast.AST, ...]:
    statements = (tree.body[place] for place in _mentions(tree).get(name, ()))
    return tuple(one for one in statements if _assigns(one, name) or _changes(one, name, mutable=mutable))


def asks_where(nodes: Iterable[ast.AST], tree: ast.Module) -> bool:
    """Return whether statements, or those that give values to the names in them, ask where something lies."""
    names = set().union(*(_named_in(node) for node in nodes))
    return bool(names & _PLACES) or any(_is_of_a_place(tree, name) for name in names)


@functools.lru_cache(maxsize=4096)
def _is_of_a_place(tree: ast.Module, name: str) -> bool:
    waiting, seen = [name], {name}
    while waiting:
        names = _behind(tree, waiting.pop())
        if names & _PLACES:
            return True
        waiting += names - seen
        seen |= names
    return False


@functools.lru_cache(maxsize=4096)
def _behind(tree: ast.Module, name: str) -> frozenset[str]:
    return frozenset().union(*(_named_in(node) for node in assignments_of(tree, name)))


def _named_in(node: ast.AST) -> set[str]:
    walked = list(ast.walk(node))
    names = {inner.id for inner in walked if isinstance(inner, ast.Name)}
    return names | ({inner.attr for inner in walked if isinstance(inner, ast.Attribute)} & _PLACES)


def setters_of(tree: ast.Module, name: str) -> list[ast.AST]:
    """Return the functions that set `name` by `global` and that the module itself calls, and where it does."""
    setters = _setters(tree).get(name, [])
    places = {place for setter in setters for place in _mentions(tree).get(setter.name, ())}
    calls = [tree.body[place] for place in sorted(places)]
    return [*setters, *(one for one in calls if _calls(one, {setter.name for setter in setters}))]


def _calls(statement: ast.stmt, names: Collection[str]) -> bool:
    called = (chain_of(node.func) for node in ast.walk(statement) if isinstance(node, ast.Call))
    return any(len(chain) == 1 and chain[0] in names for chain in called)


@functools.lru_cache(maxsize=256)
def _mentions(tree: ast.Module) -> dict[str, list[int]]:
    """Return where in a module's body statements are, other than definitions, that name something, by its name."""
    found: dict[str, list[int]] = {}
    for place, statement in enumerate(tree.body):
        if not is_definition(statement):
            for name in {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}:
                found.setdefault(name, []).append(place)
    return found


@functools.lru_cache(maxsize=256)
def _setters(tree: ast.Module) -> dict[str, list[ast.FunctionDef]]:
    """Return, by the names that they set by `global`, the functions of a module that it calls itself."""
    walked = (ast.walk(statement) for statement in tree.body if not is_definition(statement))
    called = {chain_of(node.func) for nodes in walked for node in nodes if isinstance(node, ast.Call)}
    found: dict[str, list[ast.FunctionDef]] = {}
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and (function.name,) in called:
            inside = list(ast.walk(function))
            stored = {node.id for node in inside if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
            for name in stored & {name for node in inside if isinstance(node, ast.Global) for name in node.names}:
                found.setdefault(name, []).append(function)
    return found


def _assigns(statement: ast.stmt, name: str) -> bool:
    if is_definition(statement) or isinstance(statement, ast.Import | ast.ImportFrom):
        return False
    if isinstance(statement, ast.Expr):  # TABLE.update(…)
        called = statement.value.func if isinstance(statement.value, ast.Call) else None
        return isinstance(called, ast.Attribute) and chain_of(called)[:1] == (name,)
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    if any(isinstance(node, ast.Name) and node.id == name for target in targets for node in ast.walk(target)):
        return True
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return False
    # Of an `if`, `for`, `with` or `try` all counts that stands in it.
    inside = [node for node in ast.iter_child_nodes(statement) if isinstance(node, ast.stmt | ast.excepthandler)]
    stored = any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name
        for node in (ast.walk(statement) if inside else ())
    )
    return stored or any(_assigns(child, name) for child in statements_of(statement))


def _changes(statement: ast.stmt, name: str, *, mutable: bool) -> bool:
    """Return whether a statement, or one in it, may change what `name` stands for by a call."""
    if is_definition(statement) or _is_guard(statement):
        return False
    if isinstance(statement, ast.Expr | ast.Assign | ast.AnnAssign):
        call = statement.value
        return isinstance(call, ast.Call) and (
            (isinstance(statement, ast.Expr) and _is_given(call, name, mutable=mutable))
            or (mutable and chain_of(call.func)[:1] == (name,) and chain_of(call.func)[-1] in _TAKING)
        )
    return any(_changes(child, name, mutable=mutable) for child in statements_of(statement))


def _is_given(call: ast.Call, name: str, *, mutable: bool) -> bool:
    called = chain_of(call.func)
    if called in (("setattr",), ("delattr",)):
        return bool(call.args) and chain_of(call.args[0])[:1] == (name,)
    given = [*call.args, *(word.value for word in call.keywords)]
    return (
        mutable
        and not _SHOWING & set(called[-1:])
        and any(isinstance(node, ast.Name) and node.id == name for part in given for node in ast.walk(part))
    )


def _is_guard(statement: ast.stmt) -> bool:
    """Return whether it is `if __name__ == "__main__":`, in which things are done and not defined."""
    test = statement.test if isinstance(statement, ast.If) else None
    return isinstance(test, ast.Compare) and chain_of(test.left) == ("__name__",)
