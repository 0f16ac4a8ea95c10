"""Any other object → its form, by what it tells `pickle` of itself: its class, arguments, state and items."""

from __future__ import annotations

import copyreg
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from memento.hashing.forms import encode_text, group
from memento.hashing.naming import module_name, module_of, resolve

if TYPE_CHECKING:
    from memento.hashing.encoding import Encoder

PROTOCOL = 4
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{4,}")
_SMALLEST_ADDRESS = 1 << 16


def encode_reduced(encoder: Encoder, value: Any) -> bytes:
    """Return the form of an object by its `__reduce_ex__`.

    Raises:
        UnkeyableValue: it has none, or one that holds an address, or can be read only once.
    """
    kind = type(value)
    if kind is object:
        encoder.refuse(value, "has nothing to be known by")
    if hasattr(kind, "__next__"):
        encoder.refuse(value, "can be read only once; pass a list of what it gives, if that is what is meant")
    try:
        reducer = copyreg.dispatch_table.get(kind)
        reduced = reducer(value) if reducer is not None else value.__reduce_ex__(PROTOCOL)
    except Exception as error:  # whatever a class does to say that it is not to be copied
        encoder.refuse(value, f"does not say what it consists of ({type(error).__name__}: {error})")
    if isinstance(reduced, str):
        return _encode_constant(encoder, value, reduced)
    form = group(b"object", _parts(encoder, value, *reduced))
    encoder.note_reduced(kind, form)
    return form


def _encode_constant(encoder: Encoder, value: Any, name: str) -> bytes:
    module = module_of(value)
    if resolve(module, name) is not value:
        encoder.refuse(value, f"calls itself {module}.{name}, which is something else")
    return group(b"constant", [encode_text(module_name(module)), encode_text(name)])


def _parts(
    encoder: Encoder,
    value: Any,
    function: Any,
    args: tuple[Any, ...],
    state: Any = None,
    items: Iterable[Any] | None = None,
    pairs: Iterable[tuple[Any, Any]] | None = None,
    setter: Any = None,
) -> Iterator[bytes]:
    _refuse_addresses(encoder, value, (args, state))
    if getattr(function, "__module__", None) == "copyreg" and function.__name__ in ("__newobj__", "__newobj_ex__"):
        yield encode_text("new")
    else:
        yield encoder.encode(function)
    yield encoder.sequence(b"args", args)
    yield _encode_state(encoder, value, state)
    yield encoder.sequence(b"items", items or ())
    ordered = isinstance(value, OrderedDict)  # it equals another in the same order only
    yield group(b"pairs", encoder.pairs(pairs or ())) if ordered else encoder.mapping(b"pairs", pairs or ())
    if setter is not None:
        yield encoder.encode(setter)


def _encode_state(encoder: Encoder, value: Any, state: Any) -> bytes:
    """Return the form of a state; that of an object without attributes is the same however it is told."""
    if isinstance(state, tuple) and len(state) == 2 and all(part is None or type(part) is dict for part in state):
        attributes = {**(state[0] or {}), **(state[1] or {})}  # of the instance, and of its slots
    elif type(state) is dict or state is None:
        attributes = state or {}
    else:
        return encoder.encode(state)
    remembered = {name for name, item in attributes.items() if _is_remembered(type(value), name, item)}
    kept = ((name, item) for name, item in attributes.items() if name not in remembered)
    return encoder.mapping(b"state", kept, attributes=True)


def _is_remembered(kind: type, name: Any, item: Any) -> bool:
    """Return whether an attribute is what a cached or memoized property left behind, once it has been read."""
    if getattr(type(item), "__memento_transient__", False):
        return True
    declared = getattr(kind, name, None) if isinstance(name, str) else None
    return (type(declared).__module__, type(declared).__qualname__) == ("functools", "cached_property")


def _refuse_addresses(encoder: Encoder, value: Any, told: tuple[Any, ...]) -> None:
    """Refuse an object that tells its own address, or that of what holds it: another process has it elsewhere."""
    for item in _within(told, depth=5):
        if isinstance(item, str) and _ADDRESS.search(item):
            encoder.refuse(value, f"describes itself by an address ({item!r})")
        if type(item) is int and item > _SMALLEST_ADDRESS and encoder.is_active(item):
            encoder.refuse(value, "describes itself by its address in memory")


def _within(value: Any, depth: int) -> Iterator[Any]:
    if isinstance(value, str | int):
        yield value
    elif depth and isinstance(value, tuple | list):
        for item in value:
            yield from _within(item, depth - 1)
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from _within(item, depth - 1)
