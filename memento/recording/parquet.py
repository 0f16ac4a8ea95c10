"""Everything that needs pyarrow: records as a folder of Parquet files, a partition for each value of some names."""

from __future__ import annotations

import datetime
import os
import secrets
import shutil
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from memento.errors import MissingExtra, OptionError
from memento.hashing.text import WIDEST_INTEGER
from memento.recording.groups import told_apart_by
from memento.recording.statistics import ORDINARY, column_values, is_missing
from memento.scalars import is_common_time, is_time, unit_of

if TYPE_CHECKING:
    from memento.recording.records import Records

TIMES = ("experiment_start_time", "experiment_end_time", "experiment_duration")
NULL = "__HIVE_DEFAULT_PARTITION__"
_AS_FOLDERS = (str, int, float, type(None))
_CALENDAR, _OF_ARROW = ("Y", "M", "W", "D"), ("s", "ms", "us", "ns")
_LONGEST_NAME = 255  # bytes of a folder's name, on most file systems


def write_parquet(records: Records, folder: str | os.PathLike[str], partition_by: Sequence[str] | None = None) -> None:
    """Write `records` below `folder`; afterwards it is complete, or not there.

    Raises:
        MissingExtra: pyarrow is not installed.
        OptionError: there is something in the folder, or a value is too long for the name of its partition.
    """
    arrow = _pyarrow()
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OptionError(
            f"{target} is not empty; give to_parquet a new folder, or remove this one first",
            option="folder",
            value=str(target),
        )
    names = _partition_names(records) if partition_by is None else list(partition_by)
    groups = told_apart_by(records, names)
    inside = [name for name in records.names() if name not in names]
    places = [Path(*_folders(names, key)) for key, _ in groups]
    columns = [_columns(arrow, some, inside) for _, some in groups]
    schema = _common_schema(arrow, columns, inside)
    aside = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        for (_, some), folder, own in zip(groups, places, columns, strict=True):
            table = _table(arrow, schema, own, len(some))
            place = aside / folder
            place.mkdir(parents=True, exist_ok=True)
            part = len(list(place.iterdir()))  # 1 and "1" are told apart here, and not by the name of a folder
            arrow.parquet.write_table(table, place / f"part-{part}.parquet", compression="zstd")
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _partition_names(records: Records) -> list[str]:
    """Return the names that the keepers alone know, without times and without what no folder can be named after."""
    own = {name for chunk, _ in records.parts() for name in chunk.columns}  # as many folders as records, maybe
    names = [name for name in records.shared_names() if name not in TIMES and name not in own]
    fit = [name for name in names if _can_name_folders(name, _distinct(records, name))]
    # A file needs a column, or it could not tell how many records it has.
    return fit if len(fit) < len(records.names()) else fit[:-1]


def _distinct(records: Records, name: str) -> list[Any]:
    return [chunk.shared().get(name) for chunk, _ in records.parts()]


def _can_name_folders(name: str, values: Sequence[Any]) -> bool:
    """Return whether each of `values` has a folder's name, and not every one of them that of no value."""
    if not all(isinstance(value, _AS_FOLDERS) for value in values):
        return False
    folders = {_folder(name, value) for value in values}
    return folders != {_folder(name, None)} and not any(map(_is_too_long, folders))


def _is_too_long(folder: str) -> bool:
    return len(folder.encode()) > _LONGEST_NAME


def _folders(names: Sequence[str], key: Sequence[Any]) -> list[str]:
    folders = [_folder(name, value) for name, value in zip(names, key, strict=True)]
    for name, folder in zip(names, folders, strict=True):
        if _is_too_long(folder):
            raise OptionError(
                f"partition_by names {name!r}, of which a value is too long for the name of a folder: {folder[:60]}…; "
                "leave it out",
                option="partition_by",
                value=name,
            )
    return folders


def _folder(name: str, value: Any) -> str:
    if value is None or value == "":
        text = NULL
    else:
        text = str(value).lower() if isinstance(value, bool) else _escaped(_text(value))
    return f"{_escaped(_text(name))}={text}"


def _escaped(text: str) -> str:
    # Spark takes each escape for a character of its own, so that none may stand for a byte of a longer one.
    return "".join(quote(character, safe="") if character.isascii() else character for character in text)


def _columns(arrow: Any, records: Records, names: Sequence[str]) -> dict[str, Any]:
    known = set(records.names())
    return {name: _array(arrow, column_values(records, name)) for name in names if name in known}


def _array(arrow: Any, values: Sequence[Any]) -> Any:
    if isinstance(values, array):
        kind = arrow.float64() if values.typecode == "d" else getattr(arrow, f"int{8 * values.itemsize}")()
        numbers = arrow.Array.from_buffers(kind, len(values), [None, arrow.py_buffer(values)])
        return numbers if values.typecode == "d" else numbers.cast(arrow.int64())
    if not ORDINARY.issuperset(map(type, values)):
        values = list(map(_for_arrow, values))
    try:
        made = arrow.array(values)
        # Arrow takes pandas' times for Python's, which have no nanoseconds.
        return arrow.array(values, _in_nanoseconds(arrow, made.type)) if any(map(_nanoseconds, values)) else made
    except (arrow.ArrowException, TypeError, OverflowError, ValueError):  # of several types, or of none of Parquet's
        return _texts(arrow, values)


def _for_arrow(value: Any) -> Any:
    """Return None for what is missing, and numpy's times of units that Arrow lacks in one that it has."""
    if not isinstance(value, float) and is_missing(value):
        return None
    if getattr(value, "shape", None) != () or not is_time(value):
        return value
    if not is_common_time(value):
        return str(value)
    unit = unit_of(value)
    if value.dtype.kind == "M" and unit in _CALENDAR:
        day = value.astype("M8[D]").item()
        return day if isinstance(day, datetime.date) else str(value)  # Python's years end at 9999
    return value if unit in _OF_ARROW else value.astype(f"{value.dtype.kind}8[s]")


def _nanoseconds(value: Any) -> int:
    return getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0)


def _in_nanoseconds(arrow: Any, kind: Any) -> Any:
    if arrow.types.is_timestamp(kind):
        return arrow.timestamp("ns", kind.tz)
    return arrow.duration("ns") if arrow.types.is_duration(kind) else kind


def _texts(arrow: Any, values: Sequence[Any]) -> Any:
    return arrow.array([None if value is None else _text(value) for value in values], arrow.string())


def _text(value: Any) -> str:
    # Python may refuse to write the widest integers out in decimal digits.
    is_wide = isinstance(value, int) and value.bit_length() > WIDEST_INTEGER
    text = hex(value) if is_wide else str(value)
    return text.encode("utf-8", "replace").decode()  # half of a surrogate pair is no text of Parquet's


def _common_schema(arrow: Any, groups: Iterable[Mapping[str, Any]], names: Sequence[str]) -> Any:
    fields = []
    for name in names:
        own = [arrow.schema([(name, columns[name].type)]) for columns in groups if name in columns]
        try:
            fields += list(arrow.unify_schemas(own, promote_options="permissive"))
        except arrow.ArrowException:
            fields.append(arrow.field(name, arrow.string()))
    return arrow.schema(fields)


def _table(arrow: Any, schema: Any, columns: Mapping[str, Any], length: int) -> Any:
    """Return `columns` of `length` rows as `schema` has them, those that are missing without a value."""
    fitted = []
    for field in schema:
        column = columns.get(field.name)
        if column is None:
            column = arrow.nulls(length, field.type)
        elif column.type != field.type and field.type == arrow.string():
            column = _texts(arrow, column.to_pylist())
        fitted.append(column.cast(field.type))
    return arrow.table(fitted, schema=schema)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet") from error
    return pyarrow
