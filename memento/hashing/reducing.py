"""Any other object → its form, by what it tells `pickle` of itself: its class, arguments, state and items."""

from __future__ import annotations

import copyreg
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from memento.hashing.forms import encode_text, group
from memento.hashing.naming import module_name, module_of, resolve

if TYPE_CHECKING:
    from memento.hashing.encoding import Encoder

PROTOCOL = 4
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{4,}")
_SMALLEST_ADDRESS = 1 << 16
_OF_A_DATABASE = "_sa_instance_state"  # where sqlalchemy keeps what it has done with an object
_TELLING = frozenset(["__reduce_ex__", "__reduce__", "__getstate__"])


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
    attributes = _attributes(state)
    if attributes is None:
        return encoder.encode(state)
    kept = not_remembered(type(value), {**_untold(value), **attributes})
    return encoder.mapping(b"state", kept.items(), attributes=True)


def _attributes(state: Any) -> dict[Any, Any] | None:
    """Return the attributes that a state tells, of the instance and of its slots; None for a state of another sort."""
    if isinstance(state, tuple) and len(state) == 2 and all(part is None or type(part) is dict for part in state):
        return {**(state[0] or {}), **(state[1] or {})}
    return state or {} if type(state) is dict or state is None else None


def _untold(value: Any) -> dict[str, Any]:
    """Return the attributes which the methods that tell `pickle` of an object cannot know of.

    Those methods are of a base whose own objects have no attributes but its slots, such as `datetime` or `Path`, or
    attrs has written them, which tell of fields alone.
    """
    attributes = getattr(value, "__dict__", None)
    if type(attributes) is not dict or not attributes:
        return {}
    teller = next(base for base in type(value).__mro__ if not _TELLING.isdisjoint(vars(base)))
    by_attrs = getattr(vars(teller).get("__getstate__"), "__module__", None) == "attr._make"
    return attributes if teller is not object and (by_attrs or not teller.__dictoffset__) else {}


def attributes_beside(value: Any, fields: Collection[str]) -> dict[str, Any]:
    """Return what an object has in attributes and slots that are no fields, without what it keeps out of `pickle`.

    Left out are what came of reading or hashing it, and names of two underscores: `typing` notes so by which alias of
    a generic class an object was made.
    """
    kind: Any = type(value)
    held = not_remembered(kind, _attributes(object.__getstate__(value)) or {})
    left_out = {*fields, _OF_A_DATABASE}
    beside = {name: item for name, item in held.items() if name not in left_out and not name.startswith("__")}
    if not beside or kind.__getstate__ is object.__getstate__:
        return beside
    try:
        told = _attributes(value.__getstate__())
    except Exception:  # it is not to be copied, but may be read
        told = None
    if told is None:
        return beside
    told = {**_untold(value), **told.get("__dict__", told)}  # pydantic tells them so
    return {name: told[name] for name in beside if name in told}


def not_remembered(kind: type, attributes: dict[Any, Any]) -> dict[Any, Any]:
    """Return the attributes of an object of class `kind` without those that came of reading or hashing it."""
    return {name: item for name, item in attributes.items() if not _is_remembered(kind, name, item)}


def _is_remembered(kind: type, name: Any, item: Any) -> bool:
    """Return whether an attribute is a hash, or what a cached or memoized property left behind once it was read."""
    if name == "_attrs_cached_hash" or getattr(type(item), "__memento_transient__", False):
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
