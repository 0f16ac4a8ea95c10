"""The rules of encoding for the arrays and tables of numpy, pandas and scipy: by type and content.

A library is never imported here: who holds a value of it has imported it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from memento.hashing.forms import encode_text, group, leaf
from memento.hashing.naming import qualified
from memento.hashing.reducing import encode_reduced

if TYPE_CHECKING:
    from memento.hashing.encoding import Encoder

_CHUNK = 1 << 16
_KNOWN_BY_TEXT = frozenset(["bfloat16", "float8_e5m2"])
"""The dtypes of other libraries that `dtype.str` has always told from all others, by which their keys are made."""


def encode_numpy(encoder: Encoder, value: Any) -> bytes | None:
    """Return the form of a value of numpy, None for others of its library."""
    numpy = sys.modules["numpy"]
    kind = type(value)
    if isinstance(value, numpy.ma.MaskedArray):
        content = value.filled(0) if not value.dtype.hasobject else value.filled(None)
        mask = array_form(encoder, numpy.ma.getmaskarray(value))
        return group(b"masked", [array_form(encoder, content), mask, *_filling(encoder, value)])
    if isinstance(value, numpy.ndarray):
        form = array_form(encoder, numpy.asarray(value))
        if kind in (numpy.ndarray, numpy.memmap):
            return form
        return group(b"array-kind", [encoder.encode(kind), form, *_own_state(encoder, value)])
    if isinstance(value, numpy.generic):
        return group(b"scalar", [array_form(encoder, numpy.asarray(value))])
    if isinstance(value, numpy.dtype):
        layout = _layout(value)
        return group(b"dtype", [_encode_dtype(value), *([encoder.encode(layout)] if layout else [])])
    if isinstance(value, numpy.random.Generator):
        bits = value.bit_generator
        state = encoder.encode(bits.state, ".bit_generator")
        return group(b"generator", [encoder.encode(kind), state, *_spawned(encoder, bits)])
    if value is getattr(numpy.random.mtrand, "_rand", None):  # everybody's, whose state is nobody's choice
        return leaf(b"function", b"numpy.random:mtrand._rand")
    if isinstance(value, numpy.random.RandomState):
        return group(
            b"generator", [encoder.encode(kind), encoder.encode(value.get_state(legacy=False), ".get_state()")]
        )
    if isinstance(value, numpy.random.BitGenerator | numpy.random.SeedSequence):
        return group(
            b"generator", [encoder.encode(kind), encoder.encode(value.state, ".state"), *_spawned(encoder, value)]
        )
    if isinstance(value, numpy.ufunc):
        return leaf(b"function", f"numpy:{value.__name__}".encode())
    if kind.__name__ == "_ArrayFunctionDispatcher":
        return leaf(b"function", f"{value.__module__}:{value.__qualname__}".encode())
    return None


def _own_state(encoder: Encoder, value: Any) -> Iterator[bytes]:
    """Yield the form of what an array of another class has beside its numbers: a unit, say; nothing where it has none.

    What the class itself hands to `pickle` counts before its attributes, among which there may be what it remembers.
    """
    attributes = getattr(value, "__dict__", None)
    if type(value).__reduce__ is not sys.modules["numpy"].ndarray.__reduce__:
        told = [part for part in value.__reduce__()[2:3] if isinstance(part, tuple) and part]
        attributes = next((part[-1] for part in told if isinstance(part[-1], dict)), attributes)
    if attributes:
        yield encoder.mapping(b"state", attributes.items(), attributes=True)


def _spawned(encoder: Encoder, bits: Any) -> Iterator[bytes]:
    """Yield the form of the seeds of a generator that has given some to others, who are never given the same."""
    seeds = getattr(bits, "seed_seq", None)
    if getattr(seeds, "n_children_spawned", 0):
        yield encoder.encode(seeds, ".seed_seq")


def _filling(encoder: Encoder, masked: Any) -> Iterator[bytes]:
    """Yield the form of what a masked array puts in the place of what is missing, unless that is the usual."""
    if masked._fill_value is None:  # nobody has asked; to ask would write on it
        return
    numpy = sys.modules["numpy"]
    chosen, usual = (
        array_form(encoder, numpy.asarray(filling, masked.dtype))
        for filling in (masked._fill_value, numpy.ma.default_fill_value(masked.dtype))
    )
    if chosen != usual:
        yield chosen


def array_form(encoder: Encoder, array: Any) -> bytes:
    """Return the form of an array: its dtype, its shape, and its content in C order, whatever the order in memory."""
    return group(
        b"array", [_encode_dtype(array.dtype), encoder.encode(tuple(map(int, array.shape))), _content(encoder, array)]
    )


def _encode_dtype(dtype: Any) -> bytes:
    if dtype.names is not None:
        return group(b"fields", (encode_text(name) + _encode_dtype(dtype[name]) for name in dtype.names))
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return group(b"repeated", [_encode_dtype(base), encode_text(repr(tuple(map(int, shape))))])
    if dtype.kind == "T":
        return encode_text("string")
    if dtype.type.__module__ == "numpy" or dtype.name in _KNOWN_BY_TEXT:
        return encode_text(dtype.str)
    return group(b"dtype-of", [encode_text(dtype.str), encode_text(qualified(dtype.type))])


def _layout(dtype: Any) -> list[Any]:
    """Return what a dtype says beside the types of its fields: its metadata, titles, and where fields leave gaps."""
    found: list[Any] = [dict(dtype.metadata)] if dtype.metadata else []
    if dtype.subdtype is not None:
        return found + _layout(dtype.base)
    end = 0
    for name in dtype.names or ():
        field, offset, *title = dtype.fields[name]
        if offset != end or title:
            found.append((name, offset, *title))
        if inner := _layout(field):
            found.append((name, inner))
        end = offset + field.itemsize
    if dtype.names is not None and end != dtype.itemsize:
        found.append(dtype.itemsize)
    return found


def _content(encoder: Encoder, array: Any) -> bytes:
    dtype = array.dtype
    if dtype.names is not None:  # by field: what lies between fields is not content
        return group(b"columns", (_content(encoder, array[name]) for name in dtype.names))
    if dtype.hasobject or dtype.kind == "T":  # in memory they are addresses
        return encoder.sequence(b"elements", array.ravel(order="C").tolist())
    if dtype.char in "gG":  # long doubles have bytes that mean nothing, different ones on different machines
        numpy = sys.modules["numpy"]
        texts = (numpy.format_float_scientific(part) for part in array.ravel(order="C").view(array.real.dtype))
        return group(b"elements", map(encode_text, texts))
    hasher = hashlib.sha256()
    for chunk in _chunks(array):
        hasher.update(chunk)
    return leaf(b"sha", hasher.digest())


def _chunks(array: Any) -> Iterator[Any]:
    """Yield the content as bytes in C order, some at a time: an array of any order and size is never copied whole."""
    if array.size == 0 or array.dtype.itemsize == 0:
        return
    numpy = sys.modules["numpy"]
    if array.flags.c_contiguous:
        flat = array.reshape(-1)
        blocks: Any = (flat[start : start + _CHUNK] for start in range(0, array.size, _CHUNK))
    else:
        blocks = numpy.nditer(array, flags=["external_loop", "buffered"], order="C", buffersize=_CHUNK)
    for block in blocks:
        if array.dtype.kind in "fc":
            block = _with_one_nan(numpy, numpy.ascontiguousarray(block))
        yield numpy.ascontiguousarray(block).view(numpy.uint8)


def _with_one_nan(numpy: Any, block: Any) -> Any:
    """Return `block` with one NaN in place of the many: which of them comes out depends on the machine."""
    parts = block.view(block.real.dtype)
    missing = numpy.isnan(parts)
    if not missing.any():
        return block
    parts = parts.copy()
    parts[missing] = numpy.nan
    return parts


def encode_pandas(encoder: Encoder, value: Any) -> bytes | None:
    """Return the form of a value of pandas, None for others of its library."""
    pandas = sys.modules["pandas"]
    kind = type(value)
    if value is pandas.NA or value is pandas.NaT:
        return leaf(b"constant", b"NA" if value is pandas.NA else b"NaT")
    if isinstance(value, pandas.DataFrame):
        columns = (_values(encoder, value.iloc[:, place].array) for place in range(value.shape[1]))
        indexes = _index(encoder, value.columns), _index(encoder, value.index)
        return group(b"frame", [encoder.encode(kind), *indexes, *columns, *_noted(encoder, value)])
    if isinstance(value, pandas.Series):
        name = encoder.encode(value.name, ".name")
        parts = name, _index(encoder, value.index), _values(encoder, value.array)
        return group(b"series", [encoder.encode(kind), *parts, *_noted(encoder, value)])
    if isinstance(value, pandas.Index):
        return _index(encoder, value)
    if isinstance(value, pandas.api.extensions.ExtensionArray):
        return _values(encoder, value)
    if isinstance(value, pandas.Timestamp):
        return group(b"timestamp", [encode_text((value if value.tz is None else value.tz_convert("UTC")).isoformat())])
    if isinstance(value, pandas.Timedelta):
        return group(b"duration", [encode_text(value.isoformat())])
    if isinstance(value, pandas.Interval):
        return encoder.sequence(b"interval", [value.left, value.right, value.closed])
    if isinstance(value, pandas.Period):
        return group(b"period", [encode_text(value.freqstr), encoder.encode(value.ordinal)])
    return None


def _noted(encoder: Encoder, table: Any) -> Iterator[bytes]:
    """Yield the form of what a table has beside its content: `attrs`, and the attributes that its class declares."""
    declared = {name: getattr(table, name, None) for name in table._metadata if name != "_name"}
    noted = {**declared, **({"attrs": table.attrs} if table.attrs else {})}
    if noted:
        yield encoder.mapping(b"noted", noted.items(), attributes=True)


def _index(encoder: Encoder, index: Any) -> bytes:
    # A RangeIndex and an index that lists the same numbers are one: which of them a frame has is chance.
    names = encoder.encode([*index.names], ".names")
    levels = [index.get_level_values(place) for place in range(index.nlevels)]
    return group(b"index", [names, *(_values(encoder, level.array) for level in levels)])


def _values(encoder: Encoder, values: Any) -> bytes:
    """Return the form of a column's values."""
    dtype, name = values.dtype, type(values).__name__
    if name == "Categorical":
        categories = _index(encoder, values.categories)
        content = group(
            b"codes", [categories, encoder.encode(bool(values.ordered)), encoder.encode([*map(int, values.codes)])]
        )
    elif isinstance(dtype, sys.modules["numpy"].dtype) or name in ("DatetimeArray", "TimedeltaArray"):
        content = encoder.encode(values.to_numpy() if isinstance(dtype, sys.modules["numpy"].dtype) else values.asi8)
    elif type(values).__module__.partition(".")[0] == "pandas":
        content = encoder.sequence(b"elements", values.astype(object))
    else:  # of another library: there can be more to it than its elements, as a map's projection
        content = encode_reduced(encoder, values)
    return group(b"column", [encode_text(name if name == "Categorical" else str(dtype)), content])


def encode_scipy(encoder: Encoder, value: Any) -> bytes | None:
    """Return the form of a sparse matrix or array, None for others of its library."""
    sparse = sys.modules.get("scipy.sparse")
    if sparse is None or not sparse.issparse(value):
        return None
    numpy = sys.modules["numpy"]
    table = value.tocoo(copy=True)
    table.sum_duplicates()  # and sorts: how it is laid out in memory depends on how it was made
    table.eliminate_zeros()
    coordinates = [array_form(encoder, numpy.asarray(part, dtype="<i8")) for part in table.coords]
    shape = encoder.encode(tuple(map(int, value.shape)))
    return group(b"sparse", [encoder.encode(type(value)), shape, *coordinates, array_form(encoder, table.data)])
