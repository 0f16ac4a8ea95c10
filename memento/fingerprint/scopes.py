"""Syntax trees → which names are local where: of parameters, targets and loops a global of the same name is no part."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from memento.hashing.syntax import IGNORED_FIELDS

Names = frozenset[str]
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def nodes_with_locals(root: ast.AST) -> Iterator[tuple[ast.AST, Names]]:
    """Yield the nodes below `root`, each before those in it, with the names that are local where it stands.

    Left out is what says nothing about what the code does. Names that imports bind are not local here.

    Example:
        >>> tree = ast.parse("[row for row in table if row > least]")
        >>> sorted((node.id, "row" in local) for node, local in nodes_with_locals(tree) if isinstance(node, ast.Name))
        [('least', True), ('row', True), ('row', True), ('row', True), ('table', False)]
    """
    waiting: list[tuple[ast.AST, Names]] = [(root, frozenset())]
    while waiting:
        node, local = waiting.pop()
        yield node, local
        waiting += _parts(node, local)


def _parts(node: ast.AST, local: Names) -> Iterator[tuple[ast.AST, Names]]:
    """Yield what a node is made of, each part with the names that are local there."""
    if isinstance(node, _Function):
        for part in (*getattr(node, "decorator_list", ()), node.args):
            yield part, local
        inside = _local_in_function(node, local)
        for part in node.body if isinstance(node.body, list) else [node.body]:
            yield part, inside
    elif isinstance(node, _Comprehension):
        first = node.generators[0]
        yield first.iter, local
        inside = local.union(*(_stored(one.target) for one in node.generators))
        for part in (first.target, *first.ifs, *node.generators[1:], *_children(node, without="generators")):
            yield part, inside
    else:
        if isinstance(node, ast.ClassDef):  # there they are read by data classes and validators
            for one in node.body:
                if isinstance(one, ast.AnnAssign):
                    yield one.annotation, local
        for part in _children(node):
            yield part, local


def _local_in_function(function: _Function, around: Names) -> Names:
    arguments = function.args
    bound = {one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    bound |= {one.arg for one in (arguments.vararg, arguments.kwarg) if one is not None}
    of_module: set[str] = set()
    for inner in _nodes_of_scope(function):
        if isinstance(inner, ast.Global):
            of_module.update(inner.names)
        bound |= _bound_by(inner)
    return (around | bound) - of_module


def _children(node: ast.AST, without: str = "") -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(node):
        if name not in IGNORED_FIELDS and name != without:
            yield from (inner for inner in (value if isinstance(value, list) else [value]) if _is_node(inner))


def _is_node(value: object) -> TypeGuard[ast.AST]:
    return isinstance(value, ast.AST)


def _nodes_of_scope(function: _Function) -> Iterator[ast.AST]:
    """Yield the nodes in a function's body, without those of the functions, lambdas and classes in it."""
    body = function.body
    waiting: list[ast.AST] = [*body] if isinstance(body, list) else [body]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, _Comprehension):  # `:=` in it binds a name outside of it
            waiting += [inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)]
        elif not isinstance(node, _Function | ast.ClassDef):
            waiting += _children(node)


def _bound_by(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name):
        return set() if isinstance(node.ctx, ast.Load) else {node.id}
    if isinstance(node, ast.MatchMapping):
        return {node.rest} - {None}  # type: ignore[return-value]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
        return {node.name} if node.name else set()
    return set()


def _stored(target: ast.expr) -> set[str]:
    return {inner.id for inner in ast.walk(target) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}
