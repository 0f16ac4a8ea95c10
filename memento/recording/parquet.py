"""Everything that needs pyarrow: records as a folder of Parquet files, a partition for each value of some names."""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import shutil
from array import array
from collections.abc import Sequence
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
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
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
    # Of no records there is one table all the same: readers want a file.
    groups = told_apart_by(records, names) if len(records) else [((), records)]
    inside = [name for name in records.names() if name not in names or not len(records)]
    places = [Path(*_folders(names, key)) for key, _ in groups]
    tables = _tables(arrow, [some for _, some in groups], inside)
    aside = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        for folder, table in zip(places, tables, strict=True):
            place = aside / folder
            place.mkdir(parents=True, exist_ok=True)
            part = len(list(place.iterdir()))  # 1 and "1" are told apart here, and not by the name of a folder
            arrow.parquet.write_table(table, place / f"part-{part}.parquet", compression="zstd")
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _partition_names(records: Records) -> list[str]:
    """Return the names that the keepers alone know, without times and without what no reader finds again in folders."""
    own = {name for chunk, _ in records.parts() for name in chunk.columns}  # as many folders as records, maybe
    names = [name for name in records.shared_names() if name not in TIMES and name not in own]
    fit = [name for name in names if _can_name_folders(name, _distinct(records, name))]
    # A file needs a column, or it could not tell how many records it has.
    return fit if len(fit) < len(records.names()) else fit[:-1]


def _distinct(records: Records, name: str) -> list[Any]:
    return [chunk.shared().get(name) for chunk, _ in records.parts()]


def _can_name_folders(name: str, values: Sequence[Any]) -> bool:
    """Return whether every reader finds the name and each of its values again in the names of folders.

    They leave out hidden folders, pandas those of a name that only some records have; and they tell from a text alone
    whether it is a number, a date or a truth value.
    """
    kinds = {type(value) for value in values}
    if name[:1] in ("_", ".") or len(kinds) != 1 or not kinds <= {str, int, bool}:
        return False
    if str in kinds and not all(_reads_as_text(value) for value in values):
        return False
    if int in kinds and not all(_SMALLEST <= value <= _LARGEST for value in values):
        return False
    return not any(_is_too_long(_folder(name, value)) for value in values)


def _reads_as_text(text: str) -> bool:
    if not text or text.lower() in ("true", "false", "null"):
        return False
    for reads in (float, datetime.datetime.fromisoformat, datetime.time.fromisoformat):
        with contextlib.suppress(ValueError):
            reads(text)
            return False
    return True


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


def _has_values(kind: Any) -> bool:
    """Return whether Parquet can hold a type: a dict without a name has nowhere to be."""
    inner = [kind.field(position).type for position in range(kind.num_fields)]
    return not (type(kind).__name__ == "StructType" and not inner) and all(map(_has_values, inner))


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
        made = arrow.array(values, _in_nanoseconds(arrow, made.type)) if any(map(_nanoseconds, values)) else made
        return made if _has_values(made.type) else _texts(arrow, values)
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


def _tables(arrow: Any, groups: Sequence[Records], names: Sequence[str]) -> list[Any]:
    """Return a table for each of `groups`, all of one schema; what is missing has no value."""
    found = [_columns(arrow, some, names) for some in groups]
    columns = {}
    for name in names:
        given = [own[name] if name in own else arrow.nulls(len(some)) for own, some in zip(found, groups, strict=True)]
        columns[_column_name(name)] = _of_one_type(arrow, given)
    return [arrow.table({name: parts[position] for name, parts in columns.items()}) for position in range(len(groups))]


def _of_one_type(arrow: Any, columns: Sequence[Any]) -> list[Any]:
    """Return `columns` in a type that all their values have, as texts where they have none."""
    try:
        kind = arrow.unify_schemas(
            [arrow.schema([("", column.type)]) for column in columns], promote_options="permissive"
        )[0].type
        return [column.cast(kind) for column in columns]
    except arrow.ArrowException:  # such as a time too far away for nanoseconds, or an integer too large for a float
        return [_texts(arrow, column.to_pylist()) for column in columns]


def _column_name(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()  # half of a surrogate pair is no text of Parquet's


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet") from error
    return pyarrow
