"""Code that gives another value each time, or on each machine: what it gives is never meant to be the same."""

from __future__ import annotations

import ast
import os
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from memento.hashing import syntax
from memento.hashing.project import is_project
from memento.hashing.uses import chain_of

_FUNCTIONS = frozenset(
    [
        "now", "utcnow", "today", "time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns",
        "process_time", "process_time_ns", "ctime", "localtime", "gmtime", "uuid1", "uuid4", "urandom", "token_hex",
        "token_urlsafe", "getpid", "getppid", "get_ident", "get_native_id", "gethostname", "getuser", "cpu_count",
        "is_available", "device_count", "mkdtemp", "mkstemp", "getloadavg", "getrusage", "times", "getmtime", "id",
        "hash",
    ]
)  # fmt: skip
_MODULES = frozenset({"random", "secrets", "tempfile", "platform"})
_PLACES = frozenset(["__file__", "getcwd", "cwd", "home", "expanduser", "resolve", "absolute", "abspath", "realpath"])
_DEEPEST = 4


def is_ever_new(nodes: Iterable[ast.AST], scope: Mapping[str, Any], deep: int = _DEEPEST) -> bool:
    """Return whether a call in `nodes` asks for the time, chance, the machine or the like.

    Names are those of `scope`; functions of the project are looked into.

    Example:
        >>> import time
        >>> texts = ("clock()", "field(x=uuid4)", "args.time")
        >>> [is_ever_new(ast.walk(ast.parse(text)), {"clock": time.time}) for text in texts]
        [True, True, False]
    """
    for node in nodes:
        if isinstance(node, ast.Call):
            given = [node.func, *(word.value for word in node.keywords)]
            if any(_asks(_names_of(one), scope, deep) for one in given):
                return True
    return False


def _names_of(node: ast.expr) -> tuple[str, ...]:
    return chain_of(node) or (("", node.attr) if isinstance(node, ast.Attribute) else ())


def _asks(chain: tuple[str, ...], scope: Mapping[str, Any], deep: int) -> bool:
    if not chain:
        return False
    if chain[-1] in _FUNCTIONS or _MODULES.intersection(chain[:-1]):
        return True
    value: Any = scope.get(chain[0])
    for name in chain[1:]:  # nobody's `__getattr__` is asked
        value = getattr(value, "__dict__", {}).get(name) if isinstance(value, types.ModuleType | type) else None
    if isinstance(value, types.FunctionType) and is_project(sys.modules.get(value.__module__)):
        node = syntax.definition_of(value.__code__) if deep else None
        return node is not None and is_ever_new(ast.walk(node), value.__globals__, deep - 1)
    names = (getattr(value, "__module__", None), getattr(value, "__name__", None))
    if not all(isinstance(name, str) for name in names):
        return type(scope.get(chain[0])).__module__.startswith("numpy.random")
    return names[0] == "time" or names[1] in _FUNCTIONS or bool(_MODULES.intersection(str(names[0]).split(".")))


def is_of_a_place(nodes: Iterable[ast.AST], value: Any) -> bool:
    """Return whether `nodes` ask where something lies, and `value`, which is plain, says it: that may be moved."""
    named = (node for node in nodes if isinstance(node, ast.Name | ast.Attribute))
    names = {node.id if isinstance(node, ast.Name) else node.attr for node in named}
    return bool(names & _PLACES) and _has_path(value)


def _has_path(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_path, (*value, *value.values())))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_has_path, value))
    return isinstance(value, str | PurePath) and os.path.isabs(value)
