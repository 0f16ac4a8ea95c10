"""How recorded metrics become bytes: columns of numbers, 16 bytes a point beside the names.

The layout, little-endian, is the stored form: ``count u32``, for each metric ``length of name u32, points u64, name``,
then for each metric its x and its y as float64. Where there are records too, these bytes stand in the middle:
``0xFFFFFFFF u32`` (no count is that high), ``their length u64``, they themselves, and the packed records.
Never change it, only add.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_WITH_RECORDS = struct.Struct("<IQ")
_MARK = 0xFFFFFFFF

Points = tuple["array[float]", "array[float]"]

_COUNT = struct.Struct("<I")
_SERIES = struct.Struct("<IQ")  # length of the name, points


def pack_metrics(series: Mapping[str, Points]) -> list[Buffer]:
    """Return metrics as bytes: the names, then for each the column of x and the column of y; 16 bytes a point."""
    chunks: list[Buffer] = [_COUNT.pack(len(series))]
    for name, (xs, ys) in series.items():
        if len(xs) != len(ys):
            raise ValueError(f"metric {name!r} has {len(xs)} x and {len(ys)} y; they belong together")
        encoded = name.encode("utf-8", "surrogatepass")
        chunks.append(_SERIES.pack(len(encoded), len(xs)) + encoded)
    chunks.extend(_little_endian(column).tobytes() for points in series.values() for column in points)
    return chunks


def add_records(metrics: Sequence[Buffer], records: Buffer) -> list[Buffer]:
    """Return packed metrics, and packed records behind them."""
    length = sum(memoryview(chunk).nbytes for chunk in metrics)
    return [_WITH_RECORDS.pack(_MARK, length), *metrics, records]


def _divided(view: memoryview) -> tuple[memoryview, memoryview]:
    if len(view) < _WITH_RECORDS.size:
        return view, view[:0]
    mark, length = _WITH_RECORDS.unpack_from(view)
    if mark != _MARK:
        return view, view[:0]
    end = _WITH_RECORDS.size + length
    return view[_WITH_RECORDS.size : end], view[end:]


def records_in(data: Buffer) -> memoryview:
    """Return the packed records that stand behind the metrics packed in `data`; empty if there are none."""
    return _divided(memoryview(data).cast("B"))[1]


def unpack_metrics(data: Buffer) -> dict[str, Points]:
    """Return the metrics packed in `data`; none for no bytes.

    Raises:
        ValueError: `data` was not made by `pack_metrics`.
    """
    view, _ = _divided(memoryview(data).cast("B"))
    if not view:
        return {}
    try:
        return _unpacked(view)
    except struct.error as error:
        raise ValueError(f"not packed metrics: {error}") from error


def _unpacked(view: memoryview) -> dict[str, Points]:
    (count,) = _COUNT.unpack_from(view)
    position = _COUNT.size
    named: list[tuple[str, int]] = []
    for _ in range(count):
        length, points = _SERIES.unpack_from(view, position)
        position += _SERIES.size
        named.append((str(view[position : position + length], "utf-8", "surrogatepass"), points))
        position += length
    expected = position + sum(16 * points for _, points in named)
    if expected != len(view):
        raise ValueError(f"not packed metrics: {len(view)} bytes where {expected} were written")
    series: dict[str, Points] = {}
    for name, points in named:
        middle, end = position + 8 * points, position + 16 * points
        series[name] = _column(view[position:middle]), _column(view[middle:end])
        position = end
    return series


def _column(data: memoryview) -> array[float]:
    column = array("d")
    column.frombytes(data)
    return _little_endian(column)


def _little_endian(column: array[float]) -> array[float]:
    if sys.byteorder == "big":
        column = array("d", column)
        column.byteswap()
    return column
