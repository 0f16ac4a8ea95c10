"""Functions, methods and classes → their form: by name where they can be imported, else by code and captures."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from memento.hashing.forms import encode_text, group, leaf
from memento.hashing.naming import MAIN_MODULES, is_importable, is_of_script, module_name, module_of, qualified, resolve

if TYPE_CHECKING:
    from memento.hashing.encoding import Encoder

_HEAP_TYPE = 1 << 9

_NOT_CONTENT = frozenset(
    [
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__firstlineno__",
        "__static_attributes__",
        "__classcell__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__match_args__",
        "__abstractmethods__",
        "_abc_impl",
        "__parameters__",
        "__orig_bases__",
        "__type_params__",
        "__attrs_attrs__",
        "__attrs_own_setattr__",
        "__attrs_props__",
    ]
)


def encode_callable(encoder: Encoder, value: Any) -> bytes | None:
    """Return the form of a function or method of any kind, None for other values."""
    if isinstance(value, types.FunctionType):
        return encode_function(encoder, value)
    if isinstance(value, types.MethodType):
        if resolve(module_of(value), value.__name__) is value:  # as `random` offers the methods of its generator
            return leaf(b"function", f"{module_name(module_of(value))}:{value.__name__}".encode())
        owner = encoder.encode(value.__self__, ".__self__")
        return group(b"method", [encoder.encode(value.__func__, ".__func__"), owner])
    if isinstance(value, types.BuiltinFunctionType):
        return _encode_builtin(encoder, value)
    if isinstance(value, types.MethodDescriptorType | types.WrapperDescriptorType | types.ClassMethodDescriptorType):
        return group(b"descriptor", [encoder.encode(value.__objclass__), encode_text(value.__name__)])
    if isinstance(value, types.MethodWrapperType):
        return group(b"method", [encoder.encode(value.__self__, ".__self__"), encode_text(value.__name__)])
    if type(value).__qualname__ == "_lru_cache_wrapper":
        if is_importable(value):
            return leaf(b"function", qualified(value).encode())
        return group(b"cached", [encoder.encode(value.__wrapped__, ".__wrapped__")])
    return None


def encode_function(encoder: Encoder, function: types.FunctionType) -> bytes:
    """Return the form of a function: its name, and unless it can be imported its code, defaults and captures."""
    if function.__module__ not in MAIN_MODULES and is_importable(function):
        return leaf(b"function", qualified(function).encode())
    from memento.hashing.syntax import code_digest  # reads source; wanted for few functions

    parts = [
        encode_text(qualified(function)),
        encode_text(code_digest(function.__code__)[0]),
        encoder.encode(function.__defaults__, ".__defaults__"),
        encoder.encode(function.__kwdefaults__, ".__kwdefaults__"),
        encoder.mapping(b"captured", captured_values(function)),
    ]
    attributes = attributes_set(function)
    if attributes:
        parts.append(encoder.mapping(b"state", attributes.items(), attributes=True))
    return group(b"code", parts)


def attributes_set(value: Any) -> dict[str, Any]:
    """Return the attributes that a function or the like was given, without those that `functools.wraps` copied."""
    copied = getattr(vars(value).get("__wrapped__"), "__dict__", {})
    return {
        name: item
        for name, item in vars(value).items()
        if not name.startswith("__") and not (name in copied and copied[name] is item)
    }


def captured_values(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each variable of an enclosing function that `function` uses, those already set."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not set yet
            continue


def encode_class(encoder: Encoder, kind: type) -> bytes:
    """Return the form of a class: its name, and also what is in it if it may be one of many of that name."""
    is_local = "<locals>" in kind.__qualname__ or (_is_made_by_a_call(kind) and not is_of_script(kind))
    if is_importable(kind) or not is_local:
        return leaf(b"class", qualified(kind).encode())
    bases = encoder.sequence(b"bases", kind.__bases__)
    return group(b"local-class", [encode_text(qualified(kind)), bases, encoder.mapping(b"content", content_of(kind))])


def _is_made_by_a_call(kind: type) -> bool:
    """Return whether a class was made as by `type(…)` or `make_dataclass(…)`: its module does not hold it."""
    module = module_of(kind)
    made_at_run_time = kind.__flags__ & _HEAP_TYPE and module != "builtins"
    return bool(made_at_run_time) and module in sys.modules and resolve(module, kind.__qualname__) is None


def content_of(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield what a class holds by name, without what Python and code generators put there."""
    for name, value in vars(kind).items():
        if name in _NOT_CONTENT or isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType):
            continue
        if isinstance(value, staticmethod | classmethod):
            yield name, (type(value), value.__func__)
        elif isinstance(value, property):
            yield name, (value.fget, value.fset, value.fdel)
        elif type(value).__qualname__ == "cached_property":
            yield name, value.func
        elif not _is_generated(value):
            yield name, value


def _is_generated(value: Any) -> bool:
    """Return whether a method was written by a program: what it was made from is in the class too."""
    code = getattr(value, "__code__", None)
    if code is None:
        return type(value).__qualname__ in ("_tuplegetter", "_DataclassParams")
    return str(code.co_filename).startswith("<") and module_of(value) not in MAIN_MODULES


def _encode_builtin(encoder: Encoder, value: types.BuiltinFunctionType) -> bytes:
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return leaf(b"function", qualified(value).encode())
    return group(b"method", [encoder.encode(owner, ".__self__"), encode_text(value.__name__)])
