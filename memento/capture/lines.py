"""Records ⇄ lines of JSON: one object with the arguments, what the function returned, and what was measured.

A tab stands where the result begins, and one where the measures begin. JSON passes over it, and it tells later what was
an argument, whatever parameters the function has by then. Lines of other programs, and older ones, have none.

A line holds nothing else as long as it says everything. Where it does not, it ends in one more field, `$memento`:

    types      what JSON cannot say: a JSON pointer into the line → a note of `memento.capture.notation`
    key        the key of the call, where the arguments cannot be told exactly from the line
    arguments  the names of the arguments, where the function takes further ones by `**name`
    returned   "dict", where the function returned a dict whose only entry is called `result`; or the class of dict that
               it returned, as module:Class

Strict JSON in ASCII, one line each, whatever the values are. This is a file format: only add to it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from memento.capture.from_json import as_kind, from_plain
from memento.capture.notation import SIMPLE, Notes, first_step, is_simple, step_to
from memento.capture.to_json import to_plain
from memento.errors import NameClash, UnkeyableValue
from memento.hashing import KeyMaker, digest
from memento.hashing.naming import qualified

NOTE = "$memento"
RESULT = "result"
TIME = "time_taken"
_QUICK = SIMPLE | {float}
SHORTEST_LONG = 300
"""Fewer characters than a line has that holds an integer too wide to be written as a number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What a line says: the whole record, and what of it the function was given and returned.

    `key` is the stored key of the call (None: it follows from `arguments`); `exact` says whether `result` is quite
    what the function returned, and not the text of it.
    """

    record: dict[str, Any]
    arguments: dict[str, Any] | None
    result: Any
    key: bytes | None
    exact: bool


@lru_cache(256)
def _maker(names: tuple[str, ...]) -> KeyMaker:
    return KeyMaker("capture", names, {})


def key_of(arguments: Mapping[str, Any], instance: tuple[Any, ...] = ()) -> bytes:
    """Return the key of a call: equal for arguments that a matrix holds to be equal.

    Raises:
        UnkeyableValue: an argument has no stable digest.
    """
    digests = [digest(value, path=name) for name, value in arguments.items()]
    digests += [digest(owner, path="self") for owner in instance]
    return _maker((*arguments, *("self" for _ in instance))).key(digests)


def fields_of(result: Any) -> dict[str, Any]:
    """Return what a function returned as fields of a record: a dict's entries, or the whole under `result`."""
    if not isinstance(result, dict):
        return {RESULT: result}
    try:
        "".join(result)  # the quickest way to see that every name is a string
    except TypeError:
        return {RESULT: result}
    return {RESULT: result} if NOTE in result else result


def result_of(fields: dict[str, Any]) -> Any:
    """Return what a function returned whose record has, beside the arguments and measures, these fields."""
    return fields[RESULT] if fields.keys() == {RESULT} else fields


def is_told(fields: Collection[str]) -> bool:
    """Return whether these fields of a record, beside today's arguments and measures, can be what a function returned.

    To be asked where the record does not tell arguments, result and measures apart: what stands beside `result` may be
    an argument that the function took then, and a time what was measured.
    """
    return TIME not in fields and (RESULT not in fields or len(fields) == 1)


def record_of(arguments: Mapping[str, Any], result: Any, measures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a call.

    Raises:
        NameClash: two of the three have a name in common; the error holds them.
    """
    fields = fields_of(result)
    record = {**arguments, **fields, **measures}
    if len(record) < len(arguments) + len(fields) + len(measures):
        twice = sorted((arguments.keys() & fields.keys()) | ((arguments.keys() | fields.keys()) & measures.keys()))
        raise NameClash(twice, "an argument, a result or a measure", arguments=dict(arguments), result=result)
    return record


class Written:
    """The arguments of a call as JSON, as they were before the function could change them.

    With them the key of the call, where the line cannot tell the arguments exactly, or not the instance of a method;
    None where it can, or where there is no key.
    """

    __slots__ = ("key", "notes", "plain")

    def __init__(self, arguments: Mapping[str, Any], key: Callable[[], bytes], *, of_method: bool = False) -> None:
        self.notes = Notes()
        self.plain = {name: to_plain(value, self.notes, step_to(name)) for name, value in arguments.items()}
        self.key: bytes | None = None
        if of_method or self.notes or self.notes.approximate:
            with contextlib.suppress(UnkeyableValue):  # recorded all the same; only `skip` needs it, and says so itself
                self.key = key()


def _prepared() -> Callable[[Any], str]:
    """Return the encoder's `encode` without what it does anew for each value, where Python has it in C."""
    make = getattr(json.encoder, "c_make_encoder", None)
    encoder = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":"))
    if make is None:
        return encoder.encode
    encode = make(None, encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False)
    return lambda value: "".join(encode(value, 0))


_encode = _prepared()


def is_quick(values: Collection[Any]) -> bool:
    """Return whether every one of `values` is immutable and, but for floats without a value, its own JSON."""
    return set(map(type, values)) <= _QUICK


def text_of(
    arguments: Mapping[str, Any],
    result: Any,
    measures: Mapping[str, Any],
    *,
    written: Written | None = None,
    tell_names: bool = False,
) -> str:
    """Return the record of a call as one line of JSON, without the newline.

    Args:
        arguments: what the function was given.
        result: what it returned.
        measures: what was measured; the three have no name in common.
        written: the arguments as they were before the call; needed for methods, and where one could be changed.
        tell_names: keep the arguments' names, as the function does not declare them all.
    """
    fields, returned = fields_of(result), _returned(result)
    if written is None and not (tell_names or returned):
        values = [*arguments.values(), *fields.values(), *measures.values()]
        if is_quick(values):
            try:
                text = _parted(arguments, fields, measures)
            except ValueError:  # NaN, an infinity, or an integer of too many digits
                pass
            else:
                # Nearly every line is too short to hold an integer that is not written as a number.
                if len(text) < SHORTEST_LONG or all(type(value) is float or is_simple(value) for value in values):
                    return text
    written = written or Written(arguments, lambda: key_of(arguments))
    notes = Notes(written.notes)
    fields, measures = (
        {name: to_plain(value, notes, step_to(name)) for name, value in group.items()} for group in (fields, measures)
    )
    noted: dict[str, Any] = {}
    if written.key is not None:
        noted["key"] = written.key.hex()
    if tell_names:
        noted["arguments"] = list(arguments)
    if returned:
        noted["returned"] = returned
    if notes:
        noted["types"] = notes
    if noted:
        (measures or fields)[NOTE] = noted
    return _parted(written.plain, fields, measures)


def _parted(arguments: Mapping[str, Any], fields: Mapping[str, Any], measures: Mapping[str, Any]) -> str:
    """Return one object of JSON with the entries of all three, and tabs that part them."""
    text = _encode(arguments)[1:-1]
    for group in (fields, measures) if measures else (fields,):
        entries = _encode(group)[1:-1]
        text += ("," if entries and text.strip("\t") else "") + "\t" + entries
    return f"{{{text}}}"


def _returned(result: Any) -> str | None:
    """Return what the line's note says of the dict that was returned; None where the line says it all."""
    if type(result) is dict:
        return "dict" if len(result) == 1 and RESULT in result else None
    return qualified(type(result)) if isinstance(result, dict) and fields_of(result) is result else None


def read_line(data: bytes | str, names: Collection[str] = (), measures: Collection[str] = ()) -> Line | None:
    """Return what the line `data` says; None where it is no line of ours, such as a torn one.

    Args:
        data: the line.
        names: the arguments that the function declares, and ...
        measures: the names of what is measured of each call, for a line that does not tell them itself.
    """
    try:
        text = data if isinstance(data, str) else data.decode(json.detect_encoding(data), "surrogatepass")
        parts = _parts_of(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(part, dict) for part in parts):
        return None
    record = {name: value for part in parts for name, value in part.items()}
    noted = record.pop(NOTE, None)
    noted = noted if isinstance(noted, dict) else {}
    record, inexact = from_plain(record, noted.get("types", {}))
    told = len(parts) > 1
    if told:
        names, measures = parts[0], parts[2] if len(parts) > 2 else ()
    given = noted.get("arguments", names)
    arguments = {name: record[name] for name in given if name in record}
    fields = {name: value for name, value in record.items() if name not in arguments and name not in measures}
    returned, whole = noted.get("returned"), told or is_told(fields)
    result = fields if returned else result_of(fields)
    if returned and returned != "dict":
        result, made = as_kind(fields, returned)
        whole = whole and made
    key = bytes.fromhex(noted["key"]) if "key" in noted else None
    return Line(
        record=record,
        arguments=arguments if len(arguments) == len(given) else None,
        result=result,
        key=key,
        exact=whole and not any(first_step(pointer) in fields for pointer in inexact),
    )


def _parts_of(text: str) -> list[Any]:
    """Return the arguments, the result and the measures in a line; or all in one, where no tabs part them.

    Raises:
        ValueError: it is no JSON.
    """
    first, *others = text.strip().split("\t")  # a text's own tabs are written as \\t
    if others and len(others) <= 2:
        *middle, last = others
        with contextlib.suppress(ValueError):  # another program's tabs, then
            return [
                json.loads(f"{first.rstrip(',')}}}"),
                *(json.loads(f"{{{part.rstrip(',')}}}") for part in middle),
                json.loads(f"{{{last}"),
            ]
    return [json.loads(text)]
