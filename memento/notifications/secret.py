"""A value that must not be shown: absent from `repr`, `str`, copies in pickles, and error messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from memento.errors import NotificationError


class Secret:
    """Holds a password, a token or an address that contains one.

    Example:
        >>> Secret("hunter2"), str(Secret("hunter2")), Secret("hunter2").reveal()
        (***, '***', 'hunter2')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | None) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value.

        Raises:
            NotificationError: it went through a pickle, which does not carry it.
        """
        if self._value is None:
            raise NotificationError(
                "this provider came out of a pickle, which carries no secrets; make it where it is used"
            )
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Secret, (None,)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return `text` with each of `secrets` replaced by `***`, longer ones first.

    >>> redacted("cannot reach /T01/abcdef", ["/T01/abcdef"])
    'cannot reach ***'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
