"""Names in syntax trees: which ones code uses, and what its imports bring them from."""

from __future__ import annotations

import ast
import functools
from typing import NamedTuple, TypeGuard

from memento.fingerprint.scopes import Names, nodes_with_locals
from memento.hashing.syntax import statements_of

_MODULES = ("sys", "modules")


class Loaded(NamedTuple):
    """A module that is imported by its name; where that is made while the code runs, how it begins."""

    name: str
    is_whole: bool


class Uses(NamedTuple):
    """What code uses: dotted names (`("helpers", "train")` for helpers.train), what it imports, and what by a name."""

    names: set[tuple[str, ...]]
    imports: list[ast.Import | ast.ImportFrom]
    loaded: set[Loaded]


def uses_in(nodes: list[ast.AST]) -> Uses:
    """Return what `nodes` use of the module they stand in, annotations left out."""
    uses = Uses(set(), [], set())
    for root in nodes:
        beginnings: set[ast.expr] = set()  # of names that were seen whole
        changed: set[ast.expr] = set()  # names that `+=` reads as well
        for node, local in nodes_with_locals(root):
            if isinstance(node, ast.Import | ast.ImportFrom):
                uses.imports.append(node)
            elif isinstance(node, ast.AugAssign):
                changed.add(node.target)
            elif isinstance(node, ast.Call):
                _call(node, local, uses, beginnings)
            elif isinstance(node, ast.Subscript) and chain_of(node.value) == _MODULES:
                _find_loaded(node.slice, uses)
            elif isinstance(node, ast.Name | ast.Attribute):
                if isinstance(node, ast.Attribute):
                    beginnings.add(node.value)
                elif not isinstance(node.ctx, ast.Load) and node not in changed:
                    continue
                _use(() if node in beginnings else chain_of(node), local, uses)
    return uses


def _use(chain: tuple[str, ...], local: Names, uses: Uses) -> None:
    if chain and chain[0] not in local:
        uses.names.add(chain)


def _call(node: ast.Call, local: Names, uses: Uses, beginnings: set[ast.expr]) -> None:
    """Take note of `getattr(helpers, "train")`, which is helpers.train, and of imports by name."""
    called = chain_of(node.func)[-1:]
    if called == ("getattr",) and len(node.args) > 1:
        whole, attribute = node.args[:2]
        chain = chain_of(whole)
        if chain and isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
            beginnings.add(whole)
            _use((*chain, attribute.value), local, uses)
    elif chain_of(node.func) == (*_MODULES, "get") and node.args:
        _find_loaded(node.args[0], uses)
    elif called in (("import_module",), ("__import__",)):
        given = [*node.args, *(word.value for word in node.keywords if word.arg == "name")]
        if given:
            uses.loaded.add(_beginning_of(given[0]))


def _find_loaded(name: ast.expr, uses: Uses) -> None:
    """Take note of `sys.modules["helpers"]`; what is found there by other names may be anything."""
    if isinstance(name, ast.Constant):
        uses.loaded.add(_beginning_of(name))


def _beginning_of(node: ast.expr) -> Loaded:
    """Return a text that an expression makes, as far as it stands there."""
    if isinstance(node, ast.Constant):
        return Loaded(str(node.value), True)
    while isinstance(node, ast.BinOp):
        node = node.left
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):  # "models.{}".format(…)
        node = node.func.value
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return Loaded(text.partition("{")[0].partition("%")[0], False)


def chain_of(node: ast.expr) -> tuple[str, ...]:
    """Return the dotted name that an expression is, empty for any other."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def is_definition(statement: ast.stmt) -> TypeGuard[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return whether a statement defines a function or a class."""
    return isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)


def imported_as(tree: ast.Module, name: str, package: str) -> set[str]:
    """Return the dotted names that a module in `package` may have imported as `name`, those that say so themselves not.

    Source that says `numpy` means numpy; with `np`, or `mean`, an edit to an import alone can make it mean another.
    """
    found = set()
    for statement in _imports_of(tree):
        for alias in statement.names:
            if isinstance(statement, ast.ImportFrom):
                if (alias.asname or alias.name) == name:
                    found.add(f"{absolute_name(statement, package)}.{alias.name}")
            elif alias.asname == name:
                found.add(alias.name)
    return found


def absolute_name(statement: ast.ImportFrom, package: str) -> str:
    """Return the name of the module that `statement`, somewhere in `package`, imports from."""
    module = statement.module or ""
    if not statement.level:
        return module
    base = package.rsplit(".", statement.level - 1)[0] if statement.level > 1 else package
    return f"{base}.{module}" if module else base


def origins_of(tree: ast.Module, name: str) -> list[ast.ImportFrom]:
    """Return the imports of a module that may give `name` its value."""
    return [
        statement
        for statement in _imports_of(tree)
        if isinstance(statement, ast.ImportFrom)
        and any(alias.name == "*" or (alias.asname or alias.name) == name for alias in statement.names)
    ]


@functools.lru_cache(maxsize=256)
def _imports_of(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    return [statement for statement in statements_of(tree) if isinstance(statement, ast.Import | ast.ImportFrom)]
