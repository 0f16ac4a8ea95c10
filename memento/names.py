"""The names of parameters: which are taken, which is meant, and what is said about one that is not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from memento.errors import MatrixError, UnknownParameter

RESERVED = frozenset(
    ["settings", "keys", "items", "values", "get", "asdict", "key", "label", "replicate", "context", "config", "of"]
)
"""Names that a parameter cannot have: attributes of every Config, and what experiments are called with."""

REPLICATE = "replicate"


def check_name(name: object, where: str) -> None:
    """Refuse a name that no parameter can have.

    Raises:
        MatrixError: it is no string, reserved, or begins with an underscore.
    """
    if not isinstance(name, str):
        raise MatrixError(f"{where}: {name!r} is no name for a parameter; write a string", key=where, value=name)
    if name in RESERVED or name.startswith("_") or not name:
        better = f"{name.strip('_') or 'parameter'}_"
        reason = "is reserved" if name in RESERVED else "begins with an underscore" if name else "is empty"
        raise MatrixError(
            f"{where}: a parameter cannot be named {name!r}, because that {reason}; call it for example {better!r}",
            key=where,
            value=name,
        )


def nearest(name: object, known: Sequence[str]) -> str:
    """Return "; did you mean ...?" where a known name is near, else an empty text."""
    import difflib  # costs more than the rest of this module, and only where something is wrong

    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: object, known: Iterable[Any], hint: str = "") -> UnknownParameter:
    """Return the error for a parameter or setting that is not there."""
    names = [str(one) for one in known]
    there = f"there is: {', '.join(map(repr, names))}" if names else "there is none"
    return UnknownParameter(f"no {kind} {name!r}{nearest(name, names)}{hint} ({there})", name=str(name))
