"""Whose results a run computes: the experiment's name, version and code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from memento.sources import Source

VALUE = "value "
"""Before the names of functions and classes that are not called by the experiment but given to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """Who computed a result: `name` is the identity that is part of every key, `file` where its code lies.

    `code` maps the qualified names of the experiment and of the project's functions it calls to digests of their
    syntax trees (hex), and those that are values of the matrix, marked by `VALUE`; `notes` are warnings worth
    showing once (captured values that could not be keyed).
    """

    name: str
    version: str | None = None
    file: str = field(default="", compare=False)
    code: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = field(default=(), compare=False, repr=False)
    """The files in which that code stands, as they were when this was made."""

    assigned: tuple[tuple[str, str, Any], ...] = field(default=(), compare=False, repr=False)
    """What the program has set on modules of the project and that code uses: module, dotted path in it, value."""

    modules: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """The modules of the project in which that code was found, in the order in which they were imported."""

    def with_values(self, code: dict[str, str], notes: Iterable[str] = ()) -> Experiment:
        """Return this with the `code` of functions and classes that are given to it, and `notes` of that."""
        given = {f"{VALUE}{name}": digest for name, digest in code.items()}
        return replace(self, code={**given, **self.code}, notes=(*self.notes, *notes))

    def edited(self) -> list[str]:
        """Return the files that are not what they were when this was made."""
        return [source.file for source in self.sources if not source.is_as_it_was()]

    def changed_since(self, code: dict[str, str]) -> tuple[str, ...]:
        """Return the names of functions that differ between `code`, which computed a result, and today's."""
        names = self.code.keys() | code.keys()
        changed = (name for name in names if self.code.get(name) != code.get(name))
        # Another matrix has other values: one that is missing on either side was not changed.
        both = self.code.keys() & code.keys()
        return tuple(sorted(name.removeprefix(VALUE) for name in changed if name in both or not name.startswith(VALUE)))
