"""Values as texts: whole where a tracker takes more than the short text that the ledger keeps beside each key."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

from memento.hashing import readable
from memento.hashing.text import LONGEST
from memento.matrix.configurations import Configurations

MOST = 6000
"""Characters of a value that are kept; what is longer is cut."""
_NUMBERS = (int, float, bool, complex, type(None))
_CERTAINLY_SHORT = 20
_LOOKED_AT = 10_000
_DEEPEST = 20


def may_be_shortened(configurations: Configurations) -> bool:
    """Return whether any value of these configurations may be longer than the ledger keeps it."""
    for block in configurations.space.blocks:
        if any(is_shortened(value) for value in block.settings.values()):
            return True
        for axis in block.axes:
            if isinstance(axis.values, range):
                continue
            if len(axis.values) > _LOOKED_AT:
                return True
            for value in axis.values:
                parts = value if axis.linked else [value]
                if any(is_shortened(part) for part in parts):
                    return True
    return False


def is_shortened(value: Any) -> bool:
    """Return whether the ledger keeps less than all of the text of `value`."""
    if type(value) in _NUMBERS or (type(value) is str and len(value) <= _CERTAINLY_SHORT):
        return False
    if getattr(value, "shape", None):  # an array's text is its shape, and costs a look at all of it
        return False
    return len(readable(value)) >= LONGEST


def whole_text(value: Any) -> str:
    """Return the text of `value`, of texts and of collections of plain values more than `readable` does."""
    if type(value) is str:
        return value[: MOST + 1]
    if _plain_parts(value, MOST) >= 0:
        return repr(value)[: MOST + 1]
    return readable(value)


def _plain_parts(value: Any, room: int, depth: int = 0) -> int:
    """Return how much of `room` is left beside the parts of `value`; below zero if they are too many or not plain."""
    if type(value) in _NUMBERS or type(value) is str:
        return room - 1
    if type(value) in (list, tuple, set, frozenset):
        parts = value
    elif type(value) is dict:
        parts = [*value, *value.values()] if len(value) <= room else value
    else:
        return -1
    if len(parts) > room or depth > _DEEPEST:
        return -1
    for part in parts:
        room = _plain_parts(part, room, depth + 1)
        if room < 0:
            break
    return room


def described_texts(description: str, long: Mapping[str, str]) -> dict[str, str]:
    """Return the values in the ledger's `description` by name, texts without quotes; `long` has those it shortens.

    A setting that is called like a parameter is named `settings.<name>`.
    """
    texts: dict[str, str] = {}
    for name, text in json.loads(description, object_pairs_hook=list):
        texts[f"settings.{name}" if name in texts else name] = _unquoted(text)
    return {**texts, **long}


def _unquoted(text: str) -> str:
    if text[:1] in ("'", '"'):
        try:
            return str(ast.literal_eval(text))
        except (SyntaxError, ValueError):  # it was shortened
            pass
    return text
