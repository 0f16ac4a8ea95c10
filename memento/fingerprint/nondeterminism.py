"""Code that gives another value each time, or on each machine: what it gives is never meant to be the same."""

from __future__ import annotations

import ast
import os
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from memento.fingerprint.project import is_project
from memento.fingerprint.uses import chain_of
from memento.hashing import syntax

_FUNCTIONS = frozenset(
    [
        "now", "utcnow", "today", "time", "time_ns", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns",
        "process_time", "process_time_ns", "ctime", "localtime", "gmtime", "uuid1", "uuid4", "urandom", "token_hex",
        "token_urlsafe", "getpid", "getppid", "get_ident", "get_native_id", "gethostname", "getuser", "cpu_count",
        "is_available", "device_count", "mkdtemp", "mkstemp", "getloadavg", "getrusage", "times", "getmtime", "getnode",
        "uname", "sched_getaffinity", "statvfs", "id", "hash",
    ]
)  # fmt: skip
_MODULES = frozenset({"random", "secrets", "tempfile", "platform"})


def is_nondeterministic(
    nodes: Iterable[ast.AST], scope: Mapping[str, Any], seen: set[types.CodeType] | None = None
) -> bool:
    """Return whether a call in `nodes` asks for the time, chance, the machine or the like.

    Names are those of `scope`; functions of the project are looked into, but for those `seen`.

    Example:
        >>> import time
        >>> texts = ("clock()", "field(x=uuid4)", "args.time")
        >>> [is_nondeterministic(ast.walk(ast.parse(text)), {"clock": time.time}) for text in texts]
        [True, True, False]
    """
    seen = set() if seen is None else seen
    for node in nodes:
        if isinstance(node, ast.Call):
            given = [node.func, *(word.value for word in node.keywords)]
            if any(_asks(_names_of(one), scope, seen) for one in given):
                return True
    return False


def _names_of(node: ast.expr) -> tuple[str, ...]:
    return chain_of(node) or (("", node.attr) if isinstance(node, ast.Attribute) else ())


def _asks(chain: tuple[str, ...], scope: Mapping[str, Any], seen: set[types.CodeType]) -> bool:
    if not chain:
        return False
    if chain[-1] in _FUNCTIONS or _MODULES.intersection(chain[:-1]):
        return True
    value: Any = scope.get(chain[0])
    for name in chain[1:]:  # nobody's `__getattr__` is asked, here and below
        value = vars(value).get(name) if type(value) in (types.ModuleType, type) else None
    if type(value) is types.FunctionType and is_project(sys.modules.get(value.__module__)):
        if value.__code__ in seen:
            return False
        seen.add(value.__code__)
        node = syntax.definition_of(value.__code__)
        return node is not None and is_nondeterministic(ast.walk(node), value.__globals__, seen)
    if type(value) not in (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type):
        return bool(_MODULES.intersection(str(type(scope.get(chain[0])).__module__).split(".")))
    module, name = str(getattr(value, "__module__", "")), str(getattr(value, "__name__", ""))
    return module == "time" or name in _FUNCTIONS or bool(_MODULES.intersection(module.split(".")))


def has_path(value: Any) -> bool:
    """Return whether there is an absolute path in `value`, which is plain."""
    if isinstance(value, dict):
        return any(map(has_path, (*value, *value.values())))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(has_path, value))
    return isinstance(value, str | PurePath) and os.path.isabs(value)
