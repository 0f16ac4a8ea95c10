"""Everything that needs pyarrow: records as a folder of Parquet files, a partition for each value of some names."""

from __future__ import annotations

import os
import secrets
import shutil
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from memento.errors import MissingExtra, OptionError
from memento.recording.statistics import column_values

if TYPE_CHECKING:
    from memento.recording.records import Records

TIMES = ("experiment_start_time", "experiment_end_time", "experiment_duration")
NULL = "__HIVE_DEFAULT_PARTITION__"
_AS_FOLDERS = (str, int, float, type(None))


def write_parquet(records: Records, folder: str | os.PathLike[str], partition_by: Sequence[str] | None = None) -> None:
    """Write `records` below `folder`; afterwards it is complete, or not there.

    Raises:
        MissingExtra: pyarrow is not installed.
        OptionError: there is something in the folder.
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
    groups = records.groupby(*names) if names else {(): records}
    inside = [name for name in records.names() if name not in names]
    tables = {key: _table(arrow, some, inside) for key, some in groups.items()}
    schema = _common_schema(arrow, [table.schema for table in tables.values()], inside)
    aside = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        for key, table in tables.items():
            place = aside.joinpath(*_folders(names, key if len(names) != 1 else (key,)))
            place.mkdir(parents=True, exist_ok=True)
            arrow.parquet.write_table(_fitted(arrow, table, schema), place / "part-0.parquet", compression="zstd")
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _partition_names(records: Records) -> list[str]:
    """Return the names that the keepers know, without times and without what no folder can be named after."""
    names = [name for name in records.shared_names() if name not in TIMES]
    plain = [name for name in names if all(isinstance(value, _AS_FOLDERS) for value in _distinct(records, name))]
    # A file needs a column, or it could not tell how many records it has.
    return plain if len(plain) < len(records.names()) else plain[:-1]


def _distinct(records: Records, name: str) -> list[Any]:
    return [chunk.shared().get(name) for chunk, _ in records.parts()]


def _folders(names: Sequence[str], key: Sequence[Any]) -> list[str]:
    return [f"{quote(name, safe='')}={_folder_text(value)}" for name, value in zip(names, key, strict=True)]


def _folder_text(value: Any) -> str:
    if value is None or value == "":
        return NULL
    return str(value).lower() if isinstance(value, bool) else quote(str(value), safe="")


def _table(arrow: Any, records: Records, names: Sequence[str]) -> Any:
    known = set(records.names())
    columns = {name: _array(arrow, column_values(records, name)) for name in names if name in known}
    return arrow.table(columns)


def _array(arrow: Any, values: Sequence[Any]) -> Any:
    if isinstance(values, array):
        kind = arrow.float64() if values.typecode == "d" else getattr(arrow, f"int{8 * values.itemsize}")()
        numbers = arrow.Array.from_buffers(kind, len(values), [None, arrow.py_buffer(values)])
        return numbers if values.typecode == "d" else numbers.cast(arrow.int64())
    try:
        return arrow.array(values)
    except (arrow.ArrowException, TypeError, OverflowError):  # of several types, or of one that Parquet has not
        return _texts(arrow, values)


def _texts(arrow: Any, values: Sequence[Any]) -> Any:
    return arrow.array([None if value is None else str(value) for value in values], arrow.string())


def _common_schema(arrow: Any, schemas: Sequence[Any], names: Sequence[str]) -> Any:
    fields = []
    for name in names:
        own = [arrow.schema([schema.field(name)]) for schema in schemas if name in schema.names]
        try:
            fields += list(arrow.unify_schemas(own, promote_options="permissive"))
        except arrow.ArrowException:
            fields.append(arrow.field(name, arrow.string()))
    return arrow.schema(fields)


def _fitted(arrow: Any, table: Any, schema: Any) -> Any:
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(arrow.nulls(len(table), field.type))
            continue
        column = table.column(field.name)
        if column.type != field.type and field.type == arrow.string():
            column = _texts(arrow, column.to_pylist())
        columns.append(column.cast(field.type))
    return arrow.table(columns, schema=schema)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet") from error
    return pyarrow
