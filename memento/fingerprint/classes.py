"""Classes → where they are defined, their methods, and, where there is no source, what they hold."""

from __future__ import annotations

import ast
import inspect
import sys
import types
from collections.abc import Iterator
from enum import Enum
from typing import Any

from memento.fingerprint.code_digests import CodeDigests
from memento.fingerprint.contents import home_of
from memento.fingerprint.project import file_of_module
from memento.hashing import syntax
from memento.hashing.callables import content_of


def definition_of(kind: type, digests: CodeDigests) -> tuple[ast.Module | None, ast.ClassDef | None]:
    """Return the tree in which a class is defined, and where; in a notebook its methods lead to the cell."""
    file = file_of_module(sys.modules[kind.__module__])
    own = (one for one in methods_of(kind) if home_of(one) == kind.__module__)
    for place in [file] if file else dict.fromkeys(one.__code__.co_filename for one in own):
        tree = digests.tree_of(place)
        node = syntax.class_of(tree, kind.__qualname__) if tree else None
        if node is not None:
            return tree, node
    return None, None


def methods_of(kind: type) -> Iterator[types.FunctionType]:
    """Yield the methods that a class itself defines, those of its properties too."""
    for value in vars(kind).values():
        for function in (value, *(getattr(value, name, None) for name in ("__func__", "fget", "fset", "fdel", "func"))):
            if isinstance(function, types.FunctionType):
                yield function


def content_without_source(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield by name what a class holds that its source would tell, also the members of an enum and defaults of fields.

    Example:
        >>> import enum
        >>> list(content_without_source(enum.Enum("Colour", {"RED": 1})))
        [('RED', 1)]
    """
    for name, value in content_of(kind):
        if not (_is_of_dataclass(value) or (issubclass(kind, Enum) and not _is_method(value, kind))):
            yield name, value
    if issubclass(kind, Enum):
        yield from ((name, member.value) for name, member in kind.__members__.items())
    for field in vars(kind).get("__dataclass_fields__", {}).values():
        factory, default = field.default_factory, field.default
        yield field.name, None if default is factory else factory if callable(factory) else default


def _is_method(value: Any, kind: type) -> bool:
    return isinstance(value, types.FunctionType) and home_of(value) == kind.__module__


def _is_of_dataclass(value: Any) -> bool:
    code = getattr(inspect.unwrap(value), "__code__", None) if isinstance(value, types.FunctionType) else None
    return code is not None and code.co_qualname.startswith("__create_fn__")
