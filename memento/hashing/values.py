"""Values that code uses and that its source does not tell: what a name was given while the program ran.

A number that a loop or `main` gives to a name of the module counts as code does, as one from the command line does. Of
what the code itself fills or counts up while it runs, a cache or a counter, the value says nothing.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeGuard

from memento.experiment import VALUE
from memento.hashing.ever_new import is_ever_new, is_of_a_place
from memento.hashing.held import held_in, is_settled
from memento.hashing.inside import is_plain
from memento.hashing.keys import digest
from memento.hashing.lookups import Lookups
from memento.hashing.naming import MAIN_MODULES
from memento.hashing.uses import chain_of

# What a module makes to be filled while it runs: dict() is no other than {}.
_CONTAINERS = frozenset({"dict", "list", "set"})
_FILLING = frozenset(
    [
        "append", "appendleft", "add", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
        "reverse", "setdefault", "sort", "update",
    ]
)  # fmt: skip
_UNTOLD = object()
# What makes an object sets its attributes, and what comes later changes them.
_MAKERS = frozenset({"__init__", "__new__", "__post_init__", "__attrs_post_init__", "__setstate__"})


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
        made = _set_by_makers(node)
        for inner in ast.walk(node):
            if id(inner) in made:
                continue
            if isinstance(inner, ast.Global):
                self._set.update((str(scope.get("__name__")), name) for name in inner.names)
            elif isinstance(inner, ast.Attribute | ast.Subscript) and not isinstance(inner.ctx, ast.Load):
                if isinstance(inner, ast.Attribute):
                    self._attributes.add(inner.attr)
                self._fill(inner.value, scope, local)
            elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr in _FILLING:
                self._fill(inner.func.value, scope, local)

    def _fill(self, node: ast.expr, scope: dict[str, Any], local: Collection[str]) -> None:
        while isinstance(node, ast.Subscript):
            node = node.value
        chain = chain_of(node)
        value = scope.get(chain[0]) if chain and chain[0] not in local else None
        for name in chain[1:]:
            value = getattr(value, "__dict__", {}).get(name)
        if value is not None:
            self._filled.add(id(value))
        elif len(chain) > 1:
            self._attributes.add(chain[-1])

    def tell(self, record: Callable[[str, str], None]) -> None:
        """Call `record` with each name whose value the source does not tell, and with the value's digest."""
        for one in self._given:
            value = _plain(vars(one.owner).get(one.name))
            if value is _UNTOLD or (one.owner.__name__, one.name) in self._set or id(value) in self._filled:
                continue
            told = b"" if one.setters or not one.nodes else _told_by(one.nodes, one.name)
            if any(is_ever_new(ast.walk(given)) for given in _given_in(one.setters, one.name)):
                continue
            if told is not _UNTOLD and told != digest(value):
                record(one.record, digest(value).hex())
                self.assign(one.owner.__name__, one.name, vars(one.owner)[one.name])
        self._unlike = {kind for _, kind, node, _ in self._classes if is_ever_new(ast.walk(node))}
        for name, key, owner, option, nodes in self._computed:
            if (owner.__name__, key) not in self._set:
                self._tell_computed(record, name, key, owner, option, nodes)
        for name, kind, node, around in self._classes:
            for attribute, known in list(vars(kind).items()):
                value = _plain(known)
                if value is _UNTOLD or attribute.startswith("_") or attribute in self._attributes:
                    continue
                nodes = [one for one in node.body if attribute in targets_of(one)]
                told = _told_by(nodes, attribute) if nodes else b""
                if told is _UNTOLD and is_computed(nodes) and not _is_of_a_place([*nodes, *around], value):
                    told = b""
                if id(known) not in self._filled and told is not _UNTOLD and told != digest(value):
                    record(name, digest((attribute, value)).hex())
                    self.assign(kind.__module__, f"{kind.__qualname__}.{attribute}", known)
        for name, function, defined in self._functions:
            made = [self._form(value) for value, given in _defaults(function, defined) if _literal(given) is _UNTOLD]
            if any(value is not _UNTOLD and id(value) not in self._filled for value in made):
                record(name, digest([None if value is _UNTOLD else value for value in made]).hex())

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
            if not _is_of_a_place(nodes, one):
                record(f"{VALUE}{name}.{path}".rstrip("."), digest(one).hex())
                self.assign(owner.__name__, f"{key}.{path}".rstrip("."), one)

    def _held_in(self, value: Any) -> list[tuple[str, Any]]:
        held = held_in(value, without=self._attributes, unlike=self._unlike)
        return [(path, one) for path, one in held if id(one) not in self._filled]

    def _form(self, value: Any) -> Any:
        plain = _plain(value)
        return plain if plain is not _UNTOLD else (self._held_in(value) or _UNTOLD)

    def assign(self, module: str, path: str, value: Any) -> None:
        """Take note of what `path` in `module` was found to be; what is of the program itself travels with it."""
        if module not in MAIN_MODULES and "<locals>" not in path:
            self.assigned.append((module, path, value))

    def watch(self, lookups: Lookups) -> None:
        """Have `lookups` notice when what counts of these values changes, and not what the code itself sets."""
        for _, kind, _, _ in self._classes:
            inside = vars(kind)
            for attribute, value in inside.items():
                if _plain(value) is not _UNTOLD and not attribute.startswith("_") and attribute not in self._attributes:
                    lookups.add(inside, attribute)
        for _, name, owner, _, _ in self._computed:
            value = vars(owner).get(name)
            if not is_plain(value) and self._held_in(value):
                lookups.add_inside(partial(self._held_in, value))
        lookups.close(set_by_code=self._set, filled_by_code=self._filled)


def is_computed(nodes: list[ast.AST]) -> bool:
    """Return whether what these statements assign cannot be told from them, as `int(os.environ["N"])` cannot."""
    statements = [one for one in nodes if not isinstance(one, ast.FunctionDef)]
    given = [node.value for one in statements for node in ast.walk(one) if isinstance(node, ast.Assign | ast.AnnAssign)]
    inside = [node for value in given if value is not None for node in ast.walk(value)]
    asked = any(isinstance(node, ast.Call | ast.Subscript | ast.Attribute) for node in inside)
    return asked and not is_ever_new(inside) and not _names_in(inside) <= _CONTAINERS


def _is_of_a_place(nodes: list[ast.AST], value: Any) -> bool:
    return is_of_a_place((inner for node in nodes for inner in ast.walk(node)), value)


def _set_by_makers(node: ast.AST) -> set[int]:
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


def _names_in(nodes: Iterable[ast.AST]) -> set[str]:
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in nodes
        if isinstance(node, ast.Name | ast.Attribute)
    }


def _plain(value: Any) -> Any:
    """Return `value` if it is plain, or a scalar of numpy as one of Python's."""
    if getattr(value, "shape", None) == () and type(value).__module__ == "numpy":
        value = value.item()
    return value if is_plain(value) else _UNTOLD


def _literal(node: ast.AST | None) -> Any:
    try:
        return ast.literal_eval(node) if isinstance(node, ast.expr) else _UNTOLD
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNTOLD


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


def _given_in(nodes: Iterable[ast.AST], name: str) -> list[ast.expr]:
    """Return what the assignments in `nodes` give `name`."""
    assignments = (inner for one in nodes for inner in ast.walk(one))
    return [
        inner.value
        for inner in assignments
        if isinstance(inner, ast.Assign | ast.AnnAssign | ast.AugAssign) and inner.value and name in targets_of(inner)
    ]


def _told_by(nodes: list[ast.AST], name: str) -> Any:
    """Return the digest of the one value that `nodes` give `name`, empty where they give it several by turns.

    Untold is what is made of other things, which are watched themselves, and what is never meant to be the same.
    """
    given = _given_in(nodes, name)
    for one in nodes:
        if isinstance(one, ast.Expr) and is_ever_new(ast.walk(one)):
            return _UNTOLD
        for inner in ast.walk(one):
            if is_loop(inner) and name in targets_of(inner):
                if is_ever_new(ast.walk(inner.iter)):
                    return _UNTOLD
                given += [ast.Constant(None), ast.Constant(None)]
    values = [_literal(value) for value in given]
    if not values or any(value is _UNTOLD for value in values):
        return _UNTOLD
    is_one = len(nodes) == len(values) == 1 and isinstance(nodes[0], ast.Assign | ast.AnnAssign)
    target = nodes[0].targets[0] if isinstance(nodes[0], ast.Assign) else getattr(nodes[0], "target", None)
    return digest(values[0]) if is_one and isinstance(target, ast.Name) else b""


def _defaults(function: types.FunctionType, node: ast.AST) -> list[tuple[Any, ast.expr]]:
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
