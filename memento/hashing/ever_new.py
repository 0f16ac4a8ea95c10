"""Code that gives another value each time, or on each machine: what it gives is never meant to be the same."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from typing import Any

from memento.hashing.uses import chain_of

_CALLED = frozenset(
    [
        "time", "datetime", "now", "perf_counter", "monotonic", "uuid", "uuid1", "uuid4", "secrets", "random",
        "tempfile", "getpid", "gethostname", "platform", "getuser", "cpu_count", "is_available", "device_count",
    ]
)  # fmt: skip
_PLACES = frozenset(["__file__", "getcwd", "cwd", "home", "expanduser"])


def is_ever_new(nodes: Iterable[ast.AST]) -> bool:
    """Return whether something in `nodes` asks for the time, for chance, for the machine or the like.

    Example:
        >>> [is_ever_new(ast.walk(ast.parse(code))) for code in ("time.time()", "field(factory=uuid4)", "args.time")]
        [True, True, False]
    """
    for node in nodes:
        if isinstance(node, ast.Call):
            given = [node.func, *(word.value for word in node.keywords)]
            if any(_CALLED.intersection(_names_of(one)) for one in given):
                return True
    return False


def _names_of(node: ast.expr) -> tuple[str, ...]:
    return chain_of(node) or ((node.attr,) if isinstance(node, ast.Attribute) else ())


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
    return isinstance(value, str) and os.path.isabs(value)
