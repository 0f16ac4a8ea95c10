"""Names in syntax trees: which ones code uses, and which statements of a module give one its value or change it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, TypeGuard

from memento.hashing.syntax import IGNORED_FIELDS, statements_of

# Calls that are given a value to show it, and leave it as it is.
_SHOWING = frozenset({"print", "pprint", "debug", "info", "warning", "error", "exception", "critical", "log", "write"})
# What asks where something lies: it may be moved, or be copied to another machine.
_PLACES = frozenset(["__file__", "getcwd", "cwd", "home", "expanduser", "resolve", "absolute", "abspath", "realpath"])
# Methods that are called for what they return, and change what they are called on.
_TAKING = frozenset({"pop", "popitem", "popleft", "setdefault"})


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
    """Return what `nodes` use, annotations left out."""
    uses = Uses(set(), [], set())
    for root in nodes:
        beginnings: set[ast.expr] = set()  # of names that were seen whole
        for node in _walk(root):
            if isinstance(node, ast.Import | ast.ImportFrom):
                uses.imports.append(node)
            elif isinstance(node, ast.Call):
                _call(node, uses, beginnings)
            elif isinstance(node, ast.Name | ast.Attribute):
                if isinstance(node, ast.Attribute):
                    beginnings.add(node.value)
                chain = () if node in beginnings else chain_of(node)
                if chain:
                    uses.names.add(chain)
    return uses


def _walk(root: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below `root`, each before those in it, without what says nothing about what the code does."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.ClassDef):  # there they are read by data classes and validators
            waiting.extend(inner.annotation for inner in node.body if isinstance(inner, ast.AnnAssign))
        for name, value in ast.iter_fields(node):
            if name not in IGNORED_FIELDS:
                waiting.extend(inner for inner in (value if isinstance(value, list) else [value]) if _is_node(inner))


def _is_node(value: object) -> bool:
    return isinstance(value, ast.AST)


def _call(node: ast.Call, uses: Uses, beginnings: set[ast.expr]) -> None:
    """Take note of `getattr(helpers, "train")`, which is helpers.train, and of imports by name."""
    called = chain_of(node.func)[-1:]
    if called == ("getattr",) and len(node.args) > 1:
        whole, attribute = node.args[:2]
        chain = chain_of(whole)
        if chain and isinstance(attribute, ast.Constant) and isinstance(attribute.value, str):
            beginnings.add(whole)
            uses.names.add((*chain, attribute.value))
    elif called in (("import_module",), ("__import__",)):
        given = [*node.args, *(word.value for word in node.keywords if word.arg == "name")]
        if given:
            uses.loaded.add(_beginning_of(given[0]))


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


def outside_names(node: ast.AST) -> set[str]:
    """Return the names in decorators and defaults, which belong to the scope around a function."""
    arguments = getattr(node, "args", None)
    outside = [
        *getattr(node, "decorator_list", ()),
        *(arguments.defaults if arguments else ()),
        *(default for default in (arguments.kw_defaults if arguments else ()) if default is not None),
    ]
    return {inner.id for part in outside for inner in ast.walk(part) if isinstance(inner, ast.Name)}


# What gives a name its value


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


def is_definition(statement: ast.stmt) -> TypeGuard[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return whether a statement defines a function or a class."""
    return isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)


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
