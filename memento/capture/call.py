"""One recorded call: what a function was given, what it returned, what was measured; and who remembers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from memento.capture.claims import Claims
from memento.capture.from_json import made_again
from memento.capture.lines import Written, fields_of, key_of, record_of, result_of, text_of

if TYPE_CHECKING:
    from memento.capture.calling import Stack


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was recorded of an earlier call with equal arguments: its whole record, and what the function returned."""

    record: dict[str, Any]
    result: Any


class Recorder(Protocol):
    """What remembers calls."""

    skip: bool
    """Whether a combination of arguments that it has is not computed again."""

    @property
    def at_home(self) -> bool:
        """Whether it lives in the process that decorated the function: calls in workers are brought to it."""
        ...

    @property
    def writes(self) -> bool:
        """Whether it writes JSON, so that arguments have to be written before the function can change them."""
        ...

    @property
    def take(self) -> Callable[[dict[str, Any]], Any] | None:
        """What to give a record to instead of calling `keep`, where no more than a record is wanted."""
        ...

    @property
    def claims(self) -> Claims | None:
        """How processes that share it agree on who computes a combination; None where none share it."""
        ...

    def find(self, call: Call) -> Found | None:
        """Return what is recorded for the arguments of `call`; called only when it skips."""
        ...

    def keep(self, call: Call) -> None:
        """Record `call`, of which the record is complete; called only when it does not have it where it skips."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """How `time_taken` tells the time."""

    minutes: bool
    rounding: int


class Call:
    """One call on its way: what the function was given and, after it, what it returned and what was measured."""

    __slots__ = ("_key", "_text", "arguments", "instance", "measures", "record", "result", "stack", "written")

    def __init__(
        self,
        stack: Stack,
        arguments: dict[str, Any],
        instance: tuple[Any, ...] = (),
        *,
        key: bytes | None = None,
        written: Written | None = None,
    ) -> None:
        self.stack = stack
        self.arguments = arguments
        self.instance = instance
        self.measures: dict[str, Any] = {}
        self.record: dict[str, Any] = {}
        self.result: Any = None
        self.written = written
        self._key = key
        self._text: str | None = None

    @property
    def key(self) -> bytes:
        """The key of the arguments, and of the instance where the function is a method.

        Raises:
            UnkeyableValue: one of them has no stable digest.
        """
        if self._key is None:
            self._key = key_of(self.arguments, self.instance)
        return self._key

    @property
    def text(self) -> str:
        """The record as a line of JSON, without the newline."""
        if self._text is None:
            self._text = text_of(
                self.arguments,
                self.result,
                self.measures,
                written=self.written,
                tell_names=len(self.arguments) > len(self.stack.names),
            )
        return self._text

    @property
    def returned_kind(self) -> type | None:
        """The class of dict that was returned, of which the entries are fields of the record; None for all else."""
        return type(self.result) if fields_of(self.result) is self.result else None

    def complete(self, result: Any, measures: dict[str, Any]) -> None:
        """Make the record.

        Raises:
            NameClash: a name would stand in it twice.
        """
        self.result = result
        self.measures = measures
        self.record = record_of(self.arguments, result, measures)


def found_in(record: dict[str, Any], call: Call, *, returned_kind: type | None) -> Found | None:
    """Return what `record`, of an earlier call with the arguments of `call`, says; its result is a dict of its own.

    None where a dict of a class was returned that is not made again.
    """
    given, measured = call.arguments, call.stack.measured
    fields = {name: value for name, value in record.items() if name not in given and name not in measured}
    if returned_kind is None:
        return Found(record=record, result=result_of(fields))
    result, whole = (fields, True) if returned_kind is dict else made_again(fields, returned_kind)
    return Found(record=record, result=result) if whole else None


class Known:
    """The calls that were made in this process, each under its key."""

    def __init__(self) -> None:
        self._calls: dict[bytes, tuple[dict[str, Any], type | None]] = {}

    def keep(self, call: Call) -> None:
        """Remember `call`, of which the record is complete."""
        self._calls[call.key] = call.record, call.returned_kind

    def find(self, call: Call) -> Found | None:
        """Return what an earlier call with the arguments of `call` gave."""
        known = self._calls.get(call.key)
        return None if known is None else found_in(known[0], call, returned_kind=known[1])
