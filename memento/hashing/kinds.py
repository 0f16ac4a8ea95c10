"""The rules of encoding, one for each kind of value that Python itself brings."""

from __future__ import annotations

import enum
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from memento.hashing.callables import attributes_set, encode_callable, encode_class
from memento.hashing.foreign import encode_foreign
from memento.hashing.forms import encode_float, encode_int, encode_text, group, leaf
from memento.hashing.naming import module_name, module_of
from memento.hashing.reducing import attributes_beside, encode_reduced

if TYPE_CHECKING:
    from memento.hashing.encoding import Encoder

Rule = Callable[["Encoder", Any], bytes]

_CONTENTS = (dict, list, tuple, set, frozenset, str, bytes, int, float, complex)


def encode_kind(encoder: Encoder, value: Any) -> bytes:
    """Return the form of a value that is not plain, by the first rule that knows its type.

    Raises:
        UnkeyableValue: it has no stable form.
    """
    kind = type(value)
    rule = _BY_TYPE.get(kind) or _BY_NAME.get((kind.__module__, kind.__qualname__))
    if rule is not None:
        return rule(encoder, value)
    if isinstance(value, enum.Enum):
        return _encode_enum(encoder, value)
    if isinstance(value, type):
        return encode_class(encoder, value)
    form = encode_callable(encoder, value) or _encode_fields(encoder, value) or encode_foreign(encoder, value)
    if form is not None:
        return form
    if isinstance(value, set | frozenset):  # they would describe themselves by a list, in the order of their hashes
        state = encoder.mapping(b"state", getattr(value, "__dict__", {}).items(), attributes=True)
        return group(b"set-kind", [encoder.encode(kind), encoder.unordered(b"set", value), state])
    if module_of(kind).partition(".")[0] == "pathlib":
        tag = b"windows-path" if kind.__name__ == "PureWindowsPath" else b"path"
        return leaf(tag, value.as_posix().encode("utf-8", "surrogatepass"))
    return encode_reduced(encoder, value)


def _encode_enum(encoder: Encoder, value: enum.Enum) -> bytes:
    # The names of combined flags differ between versions of Python, their values do not.
    name = value.value if isinstance(value, enum.Flag) else value.name
    return group(b"enum", [encoder.encode(type(value)), encoder.encode(name)])


def _encode_fields(encoder: Encoder, value: Any) -> bytes | None:
    """Return the form of a value whose class declares its fields, None for others.

    A subclass that does not declare its own may hold more than the fields; it goes by what it says of itself.
    """
    kind = type(value)
    own = kind.__dict__
    if isinstance(value, tuple) and "_fields" in own:
        return _fields(encoder, b"namedtuple", value, dict(zip(kind._fields, value, strict=True)))
    if isinstance(value, _CONTENTS):  # has more in it than its fields
        return None
    if "__dataclass_fields__" in own:
        import dataclasses

        names = [field.name for field in dataclasses.fields(value)]
        return _fields(encoder, b"dataclass", value, _set_only(value, names))
    if "__attrs_attrs__" in own:
        names = [field.name for field in kind.__attrs_attrs__]
        return _fields(encoder, b"attrs", value, _set_only(value, names))
    if hasattr(kind, "__pydantic_fields__") and hasattr(kind, "model_fields"):
        extra = getattr(value, "__pydantic_extra__", None) or {}
        shown = {**_set_only(value, kind.model_fields), **extra}
        return _fields(encoder, b"pydantic", value, shown, _private(encoder, value))
    return None


def _set_only(value: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return name and value of the fields that have been set; one without default need not be."""
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _private(encoder: Encoder, model: Any) -> dict[str, Any]:
    """Return the private attributes of a pydantic model that are not as its class makes them."""
    declared = type(model).__private_attributes__
    found = {}
    for name, item in (getattr(model, "__pydantic_private__", None) or {}).items():
        form = encoder.form_apart(item)
        if form is None or name not in declared or form != encoder.form_apart(declared[name].get_default()):
            found[name] = item
    return found


def _fields(
    encoder: Encoder, tag: bytes, value: Any, fields: dict[str, Any], private: dict[str, Any] | None = None
) -> bytes:
    """Return the form of an object with fields, and with what it was given beside them."""
    parts = [encoder.encode(type(value)), encoder.mapping(b"fields", fields.items(), attributes=True)]
    beside = {**attributes_beside(value, fields), **(private or {})}
    if beside:
        parts.append(group(b"beside", sorted(_attribute(encoder, *pair) for pair in beside.items())))
    return group(tag, parts)


def _attribute(encoder: Encoder, name: str, item: Any) -> bytes:
    # Parts may know the whole that they belong to.
    return encode_text(name) + (
        encoder.again(item) if encoder.is_active(id(item)) else encoder.encode(item, f".{name}")
    )


def _encode_range(encoder: Encoder, value: range) -> bytes:
    # As ranges compare: by the numbers in them.
    first = value[0] if value else None
    # Not by `len`, which refuses the longest.
    length = (value[-1] - value[0]) // value.step + 1 if value else 0
    step = value.step if length > 1 else None
    return encoder.sequence(b"range", (length, first, step))


def _encode_datetime(encoder: Encoder, value: Any) -> bytes:
    import datetime

    if value.utcoffset() is None:
        parts = encode_text(value.replace(tzinfo=None).isoformat()), encoder.encode(value.tzinfo)
        return group(b"datetime", [*parts, *_second_time(value)])
    try:
        return leaf(b"instant", value.astimezone(datetime.UTC).isoformat().encode())
    except OverflowError:  # in the first or last hours that a datetime can be
        return leaf(b"instant", value.isoformat().encode())


def _encode_time(encoder: Encoder, value: Any) -> bytes:
    clock = encode_text(value.replace(tzinfo=None).isoformat())
    return group(b"time", [clock, encoder.encode(value.tzinfo, ".tzinfo"), *_second_time(value)])


def _second_time(value: Any) -> list[bytes]:
    """Return the form of the note that an hour is meant as it is lived again, when clocks are put back."""
    return [encode_int(value.fold)] if value.fold else []


def _encode_partial(encoder: Encoder, value: Any) -> bytes:
    keywords = encoder.mapping(b"keywords", value.keywords.items())
    parts = [encoder.encode(value.func, ".func"), encoder.sequence(b"args", value.args), keywords]
    return group(b"partial", [*parts, *_attributes_set(encoder, value)])


def _attributes_set(encoder: Encoder, value: Any) -> Iterator[bytes]:
    """Yield the form of the attributes that a value of the standard library was given; nothing where it has none."""
    attributes = attributes_set(value)
    if attributes:
        yield encoder.mapping(b"state", attributes.items(), attributes=True)


def _encode_random(encoder: Encoder, value: Any) -> bytes:
    if value is getattr(sys.modules.get("random"), "_inst", None):  # everybody's, whose state is nobody's choice
        return group(b"constant", [encode_text("random"), encode_text("_inst")])
    return group(b"random", [encoder.encode(type(value)), encoder.encode(value.getstate(), ".getstate()")])


def _encode_module(encoder: Encoder, value: types.ModuleType) -> bytes:
    if sys.modules.get(value.__name__) is not value:
        encoder.refuse(value, "is a module that cannot be imported by its name")
    return leaf(b"module", module_name(value.__name__).encode())


_BY_TYPE: dict[type, Rule] = {
    list: lambda encoder, value: encoder.sequence(b"list", value),
    tuple: lambda encoder, value: encoder.sequence(b"tuple", value),
    dict: lambda encoder, value: encoder.mapping(b"dict", value.items()),
    set: lambda encoder, value: encoder.unordered(b"set", value),
    frozenset: lambda encoder, value: encoder.unordered(b"frozenset", value),
    bytearray: lambda encoder, value: leaf(b"bytearray", bytes(value)),
    complex: lambda encoder, value: group(b"complex", [encode_float(value.real), encode_float(value.imag)]),
    range: _encode_range,
    slice: lambda encoder, value: encoder.sequence(b"slice", (value.start, value.stop, value.step)),
    types.ModuleType: _encode_module,
    types.MappingProxyType: lambda encoder, value: encoder.mapping(b"mappingproxy", value.items()),
    types.SimpleNamespace: lambda encoder, value: encoder.mapping(b"namespace", vars(value).items(), attributes=True),
    type(Ellipsis): lambda encoder, value: leaf(b"constant", b"Ellipsis"),
    type(NotImplemented): lambda encoder, value: leaf(b"constant", b"NotImplemented"),
    types.GenericAlias: lambda encoder, value: group(
        b"alias", [encoder.encode(value.__origin__), encoder.encode(value.__args__)]
    ),
    types.UnionType: lambda encoder, value: encoder.unordered(b"union", value.__args__),
}

# By name, so that nothing is imported for types that nobody uses.
_BY_NAME: dict[tuple[str, str], Rule] = {
    ("collections", "OrderedDict"): lambda encoder, value: group(
        b"ordereddict", [*encoder.pairs(value.items()), *_attributes_set(encoder, value)]
    ),
    ("collections", "deque"): lambda encoder, value: group(
        b"deque", [encoder.encode(value.maxlen), encoder.sequence(b"items", value)]
    ),
    ("datetime", "date"): lambda encoder, value: leaf(b"date", value.isoformat().encode()),
    ("datetime", "datetime"): _encode_datetime,
    ("datetime", "time"): _encode_time,
    ("datetime", "timedelta"): lambda encoder, value: group(
        b"timedelta", [encode_int(value.days), encode_int(value.seconds), encode_int(value.microseconds)]
    ),
    ("decimal", "Decimal"): lambda encoder, value: leaf(b"decimal", str(value).encode()),
    ("fractions", "Fraction"): lambda encoder, value: group(
        b"fraction", [encode_int(value.numerator), encode_int(value.denominator)]
    ),
    ("functools", "partial"): _encode_partial,
    ("random", "Random"): _encode_random,
    ("re", "Pattern"): lambda encoder, value: group(
        b"pattern", [encoder.encode(value.pattern), encode_int(value.flags)]
    ),
    ("uuid", "UUID"): lambda encoder, value: leaf(b"uuid", value.hex.encode()),
}
