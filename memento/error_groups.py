"""Failures put together by their error, in bounded memory: ten thousand failures are a few groups and their counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memento.events import Failed
from memento.wording import label, one_line, plural

_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorGroup:
    """Failures with one error: `message` is the first one's, `examples` are the first events.

    `similar` says that the other messages differ from the first: by their numbers, or altogether in a group that takes
    what no longer has one of its own.
    """

    type: str
    message: str
    count: int
    examples: tuple[Failed, ...]
    similar: bool = False

    @property
    def title(self) -> str:
        """The error on one line, with how often it came.

        For example "ValueError: too large (3 times)".
        """
        said = one_line(f"{self.type}: {self.message}" if self.message else self.type, 300)
        alike = ", and similar" if self.similar else ""
        return f"{said} ({self.count:,} times{alike})" if self.count > 1 else said

    def lines(self, examples: int = 3) -> list[str]:
        """Return the title, then up to `examples` configurations, indented, and how many more there are."""
        shown = self.examples[:examples]
        more = self.count - len(shown)
        lines = [self.title, *(f"    {label(event.config, 300)}" for event in shown)]
        return [*lines, f"    and {plural(more, 'more configuration')}"] if more else lines


class ErrorGroups:
    """Counts failures by error, keeping the first few of each.

    Messages that differ only in their numbers are one group. When there are too many groups, further ones are
    put together by type, and at last all in one.
    """

    def __init__(self, *, groups: int = 50, examples: int = 10) -> None:
        self._groups = groups
        self._examples = examples
        self._found: dict[tuple[str, str], _Group] = {}
        self.total = 0

    def add(self, event: Failed) -> bool:
        """Count a failure; returns whether it is the first of its group."""
        self.total += 1
        group = self._group(event)
        group.count += 1
        group.similar |= event.failure.message != group.message or event.failure.type != group.type
        if len(group.examples) < self._examples:
            group.examples.append(event)
        return group.count == 1

    def _group(self, event: Failed) -> _Group:
        kind, message = event.failure.type, event.failure.message
        key = kind, _NUMBERS.sub("#", message[:500])
        for candidate, room in ((key, self._groups), ((kind, ""), 2 * self._groups)):
            if candidate in self._found:
                return self._found[candidate]
            if len(self._found) < room:
                return self._found.setdefault(candidate, _Group(kind, message))
        return self._found.setdefault(("", ""), _Group(kind, message))

    def snapshot(self) -> tuple[ErrorGroup, ...]:
        """Return the groups found so far, the most frequent first."""
        ordered = sorted(self._found.values(), key=lambda group: -group.count)
        return tuple(
            ErrorGroup(
                type=group.type,
                message=group.message,
                count=group.count,
                examples=tuple(group.examples),
                similar=group.similar,
            )
            for group in ordered
        )


class _Group:
    __slots__ = ("count", "examples", "message", "similar", "type")

    def __init__(self, kind: str, message: str) -> None:
        self.type = kind
        self.message = message
        self.count = 0
        self.similar = False
        self.examples: list[Failed] = []
