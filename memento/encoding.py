"""The canonical, typed form of a value, whose hash is its digest.

A form is a tag and the lengths of its pieces before them, so no two values share one. What has no stable form is
refused with the way out. The forms are the scheme "m1": they never change; another scheme would be another name and a
migration.

Large arrays are not copied: their form holds the SHA-256 of their bytes.
"""

from __future__ import annotations

import copyreg
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import math
import pathlib
import re
import struct
import sys
import types
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from memento import syntax
from memento.errors import UnkeyableValue

DEEPEST = 150

Encode = Callable[[Any, str], bytes]

registered: dict[type, Callable[[Any], Any]] = {}


class Named:
    """A value that is known by its label alone: for what is too large to look at, or has no stable form.

    Example:
        >>> from memento.hashing import digest
        >>> digest(Named("the big table", [1, 2])) == digest(Named("the big table", None))
        True
    """

    def __init__(self, label: str, value: Any) -> None:
        self.label = label
        self.value = value

    def __repr__(self) -> str:
        return f"Named({self.label!r})"


def register_key(kind: type, function: Callable[[Any], Any]) -> None:
    """Have values of `kind` known by what `function` returns for them.

    Example:
        >>> class Grid:
        ...     def __init__(self, size): self.size = size
        >>> register_key(Grid, lambda grid: grid.size)
    """
    registered[kind] = function


def encode(value: Any, path: str, around: tuple[int, ...] = ()) -> bytes:
    """Return the canonical form of `value`, which was found at `path` inside the values with the ids `around`.

    Raises:
        UnkeyableValue: it has no stable form, contains itself, or is nested too deep.
    """
    plain = _PLAIN.get(type(value))
    if plain is not None and type(value) not in registered:
        return plain(value)
    if id(value) in around:
        raise UnkeyableValue(f"{path} contains itself, so it has no key{_way_out(value)}", path=path, value=value)
    if len(around) > DEEPEST:
        raise UnkeyableValue(f"{path} is nested more than {DEEPEST} deep{_way_out(value)}", path=path, value=value)
    around = (*around, id(value))
    return _encode(value, path, lambda part, suffix: encode(part, path + suffix, around))


def framed(tag: bytes, *parts: bytes) -> bytes:
    """Return `parts` under a tag, each after its length."""
    return b"".join(
        (struct.pack("<BI", len(tag), len(parts)), tag, *(struct.pack("<Q", len(part)) + part for part in parts))
    )


def type_path(kind: type) -> str:
    """Return where `kind` is defined."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _float(value: float) -> bytes:
    return framed(b"float", b"nan" if math.isnan(value) else value.hex().encode())


def _int(value: int) -> bytes:
    # In hex, because decimal text of huge integers is refused since Python 3.11.
    return framed(b"int", f"{value:x}".encode())


def _text(tag: bytes, value: object) -> bytes:
    return framed(tag, str(value).encode("utf-8", "surrogatepass"))


_PLAIN: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: framed(b"none"),
    type(Ellipsis): lambda value: framed(b"ellipsis"),
    type(NotImplemented): lambda value: framed(b"notimplemented"),
    bool: lambda value: framed(b"bool", b"1" if value else b"0"),
    int: _int,
    float: _float,
    str: lambda value: _text(b"str", value),
    bytes: lambda value: framed(b"bytes", value),
    bytearray: lambda value: framed(b"bytearray", bytes(value)),
    complex: lambda value: framed(b"complex", _float(value.real), _float(value.imag)),
    decimal.Decimal: lambda value: framed(
        b"decimal", repr(value.as_tuple()[:2]).encode(), str(value.as_tuple()[2]).encode()
    ),
    fractions.Fraction: lambda value: framed(b"fraction", _int(value.numerator), _int(value.denominator)),
    uuid.UUID: lambda value: framed(b"uuid", value.bytes),
    datetime.timedelta: lambda value: framed(
        b"timedelta", _int(value.days), _int(value.seconds), _int(value.microseconds)
    ),
}


def _encode(value: Any, path: str, inner: Encode) -> bytes:
    kind = type(value)
    special = registered.get(kind)
    if special is not None:
        return framed(b"registered", type_path(kind).encode(), inner(special(value), ""))
    if isinstance(value, Named):
        return _text(b"named", value.label)
    if hasattr(kind, "__memento_key__"):
        return framed(b"own", type_path(kind).encode(), inner(value.__memento_key__(), ".__memento_key__()"))
    for match, form in _FORMS:
        if match(value):
            return form(value, path, inner)
    optional = _optional(value)
    return optional(value, path, inner) if optional else _reduced(value, path, inner)


def _dict(value: Mapping[Any, Any], path: str, inner: Encode) -> bytes:
    pairs = (framed(b"", inner(key, f" key {key!r}"), inner(item, f"[{key!r}]")) for key, item in value.items())
    return framed(b"dict", *sorted(pairs))


def _ordered(tag: bytes) -> Callable[[Any, str, Encode], bytes]:
    return lambda value, path, inner: framed(tag, *(inner(item, f"[{place}]") for place, item in enumerate(value)))


def _unordered(tag: bytes) -> Callable[[Any, str, Encode], bytes]:
    # Sorted by their forms: a set may hold values that cannot be compared.
    return lambda value, path, inner: framed(tag, *sorted(inner(item, "{…}") for item in value))


def _of_class(tag: bytes, parts: Callable[[Any], Any]) -> Callable[[Any, str, Encode], bytes]:
    """Return the form "an object of this class with these parts"."""
    return lambda value, path, inner: framed(tag, type_path(type(value)).encode(), inner(parts(value), ""))


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _time(value: Any, path: str, inner: Encode) -> bytes:
    if type(value) is datetime.datetime and value.utcoffset() is not None:
        return _text(b"instant", value.astimezone(datetime.UTC).isoformat())
    zone = repr(value.tzinfo) if getattr(value, "tzinfo", None) is not None else ""
    return framed(b"calendar", type(value).__name__.encode(), value.isoformat().encode(), zone.encode())


def _function(value: Any, path: str, inner: Encode) -> bytes:
    """Return the form of a function: by name where it can be imported, else by its code and what it carries."""
    name = function_name(value)
    if isinstance(value, types.BuiltinFunctionType | type) or "<" not in name:
        if "<locals>" not in name:
            return _text(b"name", name)
        if isinstance(value, type):
            raise UnkeyableValue(
                f"{path} is the class {name}, which is defined inside a function and has no stable key; define it at "
                f"the top of a module, or write Named({value.__name__!r}, value)",
                path=path,
                value=value,
            )
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    carried = {cell_name: cell.cell_contents for cell_name, cell in cells if cell.cell_contents is not value}
    return framed(
        b"code",
        value.__qualname__.encode(),
        syntax.code_digest(value.__code__)[0].encode(),
        inner(carried, ".__closure__"),
        inner(value.__defaults__, ".__defaults__"),
        inner(value.__kwdefaults__, ".__kwdefaults__"),
    )


def _method(value: types.MethodType, path: str, inner: Encode) -> bytes:
    return framed(b"method", inner(value.__func__, ".__func__"), inner(value.__self__, ".__self__"))


def _partial(value: functools.partial[Any], path: str, inner: Encode) -> bytes:
    return framed(
        b"partial", inner(value.func, ".func"), inner(value.args, ".args"), inner(value.keywords, ".keywords")
    )


def _path(value: pathlib.PurePath, path: str, inner: Encode) -> bytes:
    return _text(b"path", value.as_posix())


_FORMS: list[tuple[Callable[[Any], bool], Callable[[Any, str, Encode], bytes]]] = [
    (lambda value: type(value) is dict, _dict),
    (lambda value: type(value) is list, _ordered(b"list")),
    (lambda value: type(value) is tuple, _ordered(b"tuple")),
    (lambda value: type(value) is set, _unordered(b"set")),
    (lambda value: type(value) is frozenset, _unordered(b"frozenset")),
    (lambda value: type(value) is OrderedDict, lambda v, p, inner: framed(b"ordered", inner(list(v.items()), ""))),
    (
        lambda value: type(value) is deque,
        lambda v, p, inner: framed(b"deque", inner([*v], ""), inner(v.maxlen, ".maxlen")),
    ),
    (lambda value: isinstance(value, types.MappingProxyType), lambda v, p, inner: framed(b"proxy", inner(dict(v), ""))),
    (lambda value: type(value) is range, lambda v, p, inner: framed(b"range", inner([v.start, v.stop, v.step], ""))),
    (lambda value: type(value) is slice, lambda v, p, inner: framed(b"slice", inner([v.start, v.stop, v.step], ""))),
    (
        lambda value: isinstance(value, enum.Enum),
        lambda v, p, i: framed(b"enum", type_path(type(v)).encode(), str(v.name).encode()),
    ),
    (lambda value: isinstance(value, pathlib.PurePath), _path),
    (lambda value: isinstance(value, type | types.FunctionType | types.BuiltinFunctionType), _function),
    (lambda value: isinstance(value, types.MethodType), _method),
    (lambda value: isinstance(value, types.ModuleType), lambda v, p, inner: _text(b"module", v.__name__)),
    (lambda value: isinstance(value, functools.partial), _partial),
    (lambda value: type(value) in (datetime.datetime, datetime.date, datetime.time), _time),
    (
        lambda value: isinstance(value, re.Pattern),
        lambda v, p, i: framed(b"regex", i(v.pattern, ".pattern"), _int(v.flags)),
    ),
    (lambda value: isinstance(value, types.SimpleNamespace), _of_class(b"namespace", vars)),
    (dataclasses.is_dataclass, _of_class(b"dataclass", _fields)),
    (
        lambda value: isinstance(value, tuple) and hasattr(value, "_fields"),
        _of_class(b"namedtuple", lambda value: list(zip(value._fields, value, strict=True))),
    ),
    (
        lambda value: hasattr(type(value), "__attrs_attrs__"),
        _of_class(b"attrs", lambda value: {a.name: getattr(value, a.name) for a in type(value).__attrs_attrs__}),
    ),
    (lambda value: hasattr(type(value), "model_fields"), _of_class(b"pydantic", lambda value: dict(value))),
    (
        lambda value: callable(getattr(value, "get_params", None)) and hasattr(value, "fit"),
        _of_class(b"estimator", lambda value: value.get_params(deep=False)),
    ),
]


def _optional(value: Any) -> Callable[[Any, str, Encode], bytes] | None:
    """Return the form for values of libraries that are loaded, if it is one of theirs."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return _array
        if isinstance(value, numpy.generic):
            return lambda value, path, inner: framed(b"npscalar", value.dtype.str.encode(), value.tobytes())
        if isinstance(value, numpy.dtype):
            return lambda value, path, inner: framed(b"dtype", repr(value.descr).encode())
        if isinstance(value, numpy.random.Generator):
            return lambda value, path, inner: framed(b"generator", inner(value.bit_generator.state, ".state"))
        if isinstance(value, numpy.random.RandomState):
            return lambda value, path, inner: framed(b"randomstate", inner(value.get_state(legacy=False), ".state"))
    pandas = sys.modules.get("pandas")
    if pandas is not None and hasattr(pandas, "DataFrame"):
        if isinstance(value, pandas.DataFrame):
            return _frame
        if isinstance(value, pandas.Series | pandas.Index):
            return _column
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, getattr(torch, "Tensor", ())):
        return lambda value, path, inner: framed(
            b"tensor", str(value.dtype).encode(), inner(value.detach().cpu().numpy(), "")
        )
    return None


def _array(value: Any, path: str, inner: Encode) -> bytes:
    if value.dtype.hasobject:
        return framed(b"objects", repr(value.shape).encode(), inner(value.ravel(order="C").tolist(), ".flat"))
    numpy = sys.modules["numpy"]
    data = numpy.ascontiguousarray(value)
    if data.dtype.kind == "f" and numpy.isnan(data).any():
        data = numpy.where(numpy.isnan(data), data.dtype.type("nan"), data)  # NaN has many bit patterns, one meaning
    kind = repr(value.dtype.descr) if value.dtype.names else value.dtype.str
    content = hashlib.sha256(data.view(numpy.uint8) if data.ndim and data.size else data.tobytes()).digest()
    return framed(b"array", type_path(type(value)).encode(), kind.encode(), repr(value.shape).encode(), content)


def _column(value: Any, path: str, inner: Encode) -> bytes:
    index = inner(value.index, ".index") if hasattr(value, "index") and not callable(value.index) else b""
    values = value.tolist() if type(value.dtype).__module__.startswith("pandas") else value.to_numpy()
    return framed(
        b"column",
        type(value).__name__.encode(),
        str(value.dtype).encode(),
        inner(value.name, ".name"),
        index,
        inner(values, ""),
    )


def _frame(value: Any, path: str, inner: Encode) -> bytes:
    columns = (inner(value.iloc[:, place], f".iloc[:, {place}]") for place in range(value.shape[1]))
    return framed(b"frame", inner(value.columns, ".columns"), inner(value.index, ".index"), *columns)


# What their own reduction would make look stable, or would consume.
_UNSTABLE: tuple[type, ...] = (
    types.GeneratorType,
    types.CoroutineType,
    types.AsyncGeneratorType,
    types.FrameType,
    types.TracebackType,
    types.CodeType,
    Iterator,
)


def _reduced(value: Any, path: str, inner: Encode) -> bytes:
    """Return the form made of what pickling would need: the class, its arguments, its state and its items."""
    kind = type(value)
    if kind is object or isinstance(value, _UNSTABLE):
        raise _refusal(value, path)
    try:
        reducer = copyreg.dispatch_table.get(kind)
        reduced = reducer(value) if reducer else value.__reduce_ex__(2)
    except Exception:
        raise _refusal(value, path) from None
    if isinstance(reduced, str):
        return framed(b"global", kind.__module__.encode(), reduced.encode())
    function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    arguments = tuple(arguments)
    if function is copyreg.__newobj__:  # type: ignore[attr-defined]
        arguments = arguments[1:]
    elif function is not copyreg._reconstructor:  # type: ignore[attr-defined]
        arguments = (function, *arguments)
    return framed(
        b"object",
        type_path(kind).encode(),
        inner(tuple(arguments), ""),
        inner(state, ""),
        inner(None if items is None else list(items), ""),
        inner(None if pairs is None else dict(pairs), ""),
    )


def _refusal(value: Any, path: str) -> UnkeyableValue:
    return UnkeyableValue(
        f"{path} is of type {type_path(type(value))}, which has no stable key{_way_out(value)}", path=path, value=value
    )


def _way_out(value: Any) -> str:
    name = type(value).__qualname__
    return (
        f"; write memento.register_key({name}, lambda value: ...) with what tells two of them apart, give the class a "
        f'method __memento_key__, or pass memento.Named("a label", value)'
    )


def function_name(value: Any) -> str:
    """Return `module:qualified name`; what was defined in a script is known by the script's name, not by `__main__`."""
    module = getattr(value, "__module__", None) or getattr(getattr(value, "__self__", None), "__module__", None)
    if isinstance(value, types.ModuleType):
        module = value.__name__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        file = getattr(main, "__file__", None)
        module = spec.name if spec is not None else pathlib.Path(file).stem if file else "notebook"
    return f"{module or 'builtins'}:{getattr(value, '__qualname__', '')}"
