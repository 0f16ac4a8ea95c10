"""Times ⇄ ISO 8601, and notes of what that does not say: the zone, the unit.

The notes are:

    datetime, time                  the offset is in the text, if any: a fixed one, or UTC
    datetime:Europe/Berlin          a `zoneinfo.ZoneInfo`; and so for `time`
    datetime:Europe/Berlin:fold     the same with `fold=1`; `datetime::fold` without a zone
    datetime:dateutil.tz.tz:tzfile  a zone of another library, which is not made again: it is read with its offset
    Timestamp:ns:Europe/Berlin      that of pandas, with its unit and the zone, if any
    datetime64:<M8[ns]              the type, where numpy would not see it from the text
    timedelta                       seconds; days, seconds and microseconds where a float has too few digits
"""

from __future__ import annotations

import datetime
import importlib
from typing import Any, TypeVar

from memento.hashing.naming import qualified

_Zoned = TypeVar("_Zoned", datetime.datetime, datetime.time)


def note_of(value: datetime.datetime | datetime.time) -> str:
    """Return what a note says of a datetime or a time of day; empty where its text says all."""
    return f"{_zone_of(value)}:fold" if value.fold else _zone_of(value)


def _zone_of(value: Any) -> str:
    zone = value.tzinfo
    if zone is None or type(zone) is datetime.timezone:
        return ""
    import zoneinfo

    return (type(zone) is zoneinfo.ZoneInfo and zone.key) or qualified(type(zone))


def seconds_of(value: datetime.timedelta) -> float | list[int]:
    """Return `value` in seconds, or where a float has too few digits in days, seconds and microseconds."""
    seconds = value.total_seconds()
    try:
        exact = datetime.timedelta(seconds=seconds) == value
    except OverflowError:
        exact = False
    return seconds if exact else [value.days, value.seconds, value.microseconds]


def timedelta_from(plain: Any) -> datetime.timedelta:
    """Return the timedelta that `seconds_of` wrote."""
    return datetime.timedelta(*plain) if isinstance(plain, list) else datetime.timedelta(seconds=plain)


def datetime_from(plain: str, note: str) -> tuple[datetime.datetime, bool]:
    """Return the datetime, and whether it is in the zone that it was in."""
    return _placed(datetime.datetime.fromisoformat(plain), note)


def time_from(plain: str, note: str) -> tuple[datetime.time, bool]:
    """Return the time of day, and whether it is in the zone that it was in."""
    return _placed(datetime.time.fromisoformat(plain), note)


def _placed(when: _Zoned, note: str) -> tuple[_Zoned, bool]:
    zone = note.removesuffix(":fold")
    when = when.replace(fold=int(zone != note))
    if not zone:
        return when, True
    found = _zone(zone)
    if found is not None and (there := when.replace(tzinfo=found)).utcoffset() == when.utcoffset():
        return there, True
    return when, False  # the zone is another library's, is not known here, or has other rules by now


def _zone(key: str) -> datetime.tzinfo | None:
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(key)
    except (LookupError, ValueError, OSError):
        return None


def timestamp_note(value: Any) -> str:
    """Return the note of a Timestamp of pandas."""
    # Zones of pytz, which pandas made before its version 3, have a name that pandas makes one from again.
    zone = getattr(value.tzinfo, "zone", None) or _zone_of(value)
    return f"Timestamp:{value.unit}:{zone}"


def timestamp_from(plain: str, described: str) -> tuple[Any, bool]:
    """Return the Timestamp of pandas, and whether it is in the zone that it was in."""
    unit, _, zone = described.partition(":")
    when = importlib.import_module("pandas").Timestamp(plain).as_unit(unit)
    if not zone:
        return when, True
    return (when, False) if _zone(zone) is None else (when.tz_convert(zone), True)


def datetime64_note(value: Any) -> str:
    """Return the note of a datetime64 of numpy."""
    text = str(value)
    tells = text != "NaT" and type(value)(text).dtype == value.dtype
    return "datetime64" if tells else f"datetime64:{value.dtype.str}"


def datetime64_from(plain: str, dtype: str) -> Any:
    """Return the datetime64 of numpy."""
    numpy = importlib.import_module("numpy")
    return numpy.array(plain, dtype=dtype)[()] if dtype else numpy.datetime64(plain)
