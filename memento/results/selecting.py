"""Which results meet conditions such as ``model="svm", lr=lambda value: value < 0.1``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from memento.errors import OptionError, UnkeyableValue, UnknownParameter
from memento.hashing import digest
from memento.results.tables import ByIdentity
from memento.task import Status

if TYPE_CHECKING:
    from memento.results.result import Result

_ABSENT: Any = object()


def rows_meeting(results: Sequence[Result], conditions: dict[str, Any]) -> list[int]:
    """Return the positions of the results that meet all of `conditions`.

    Raises:
        UnknownParameter: no configuration has a parameter of that name.
        OptionError: a status that does not exist.
    """
    rows = list(range(len(results)))
    if not rows:
        return rows
    parameters = dict.fromkeys(name for result in results for name in result.config) if conditions else {}
    for name, wanted in conditions.items():
        if name in parameters:
            values = [result.config.asdict().get(name, _ABSENT) for result in results]
        elif name == "replicate":
            values = [result.config.replicate for result in results]
        elif name == "status":
            values, wanted = [result.status for result in results], _statuses(wanted)
        else:
            raise UnknownParameter(
                f"no configuration has a parameter {name!r}; there is: {', '.join(map(repr, parameters))} "
                "(and 'replicate' and 'status')",
                name=name,
            )
        meets = _condition(wanted, values)
        rows = [row for row in rows if values[row] is not _ABSENT and _asked(meets, values[row], name, results[row])]
    return rows


def _statuses(wanted: Any) -> Any:
    if isinstance(wanted, list):
        return [_statuses(one) for one in wanted]
    if not isinstance(wanted, str):
        return wanted
    try:
        return Status(wanted)
    except ValueError:
        known = ", ".join(repr(status.value) for status in Status)
        raise OptionError(f"there is no status {wanted!r}; there is: {known}", option="status", value=wanted) from None


def _condition(wanted: Any, values: Sequence[Any]) -> Callable[[Any], bool]:
    """Return the test of one value: equal as in keys, one of a list, or approved by a function.

    A function that is itself one of `values` is a value; so is every class.
    """
    digested = ByIdentity(_digest)
    accepted = {_digest(wanted), *(_digest(one) for one in (wanted if isinstance(wanted, list) else ()))}
    if callable(wanted) and not isinstance(wanted, type) and not any(digested(value) in accepted for value in values):
        return lambda value: bool(wanted(value))
    return lambda value: digested(value) in accepted


def _asked(meets: Callable[[Any], bool], value: Any, name: str, result: Result) -> bool:
    try:
        return meets(value)
    except Exception as error:
        error.add_note(f"raised by the condition on {name!r} at {result.config}")
        raise


def _digest(value: Any) -> Any:
    try:
        return digest(value)
    except UnkeyableValue:  # a condition may be a closure over anything, and then equals nothing but itself
        return id(value)
