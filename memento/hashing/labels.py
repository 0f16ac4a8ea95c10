"""Values with a `Named` in them: given bare to experiments and functions, and known by their labels all the same."""

from __future__ import annotations

from typing import Any

from memento.hashing.encoding import DEEPEST, Named

_CONTAINERS = (list, tuple, dict)


def bare(value: Any) -> Any:
    """Return `value` with the value of each `Named` in its place, also where one lies in lists, tuples and dicts.

    What has none in it is returned as it is, and what a `Named` holds is not looked into.

    Example:
        >>> bare({"data": [Named("corpus-v2", "a b c"), 1]})
        {'data': ['a b c', 1]}
    """
    return _bare(value, {}, 0)


def _bare(value: Any, known: dict[int, Any], depth: int) -> Any:
    kind = type(value)
    if kind is Named:
        return value.value
    if kind not in _CONTAINERS or depth > DEEPEST:  # nothing deeper has a key
        return value
    if id(value) not in known:
        known[id(value)] = value  # an argument that does not count for a key may contain itself
        items = list(value.values() if kind is dict else value)
        found = [_bare(item, known, depth + 1) for item in items]
        if any(one is not other for one, other in zip(items, found, strict=True)):
            known[id(value)] = dict(zip(value, found, strict=True)) if kind is dict else kind(found)
    return known[id(value)]


def labelled(value: Any, given: Any) -> Any:
    """Return `value`, that came of the `bare` one of `given`, with each `Named` of `given` in its place again.

    Example:
        >>> labelled(["a b c", 2], [Named("corpus-v2", "a b c"), 1])
        [Named('corpus-v2'), 2]
    """
    kind = type(given)
    if kind is Named:
        return given
    if value is given or kind not in _CONTAINERS or type(value) is not kind or len(value) != len(given):
        return value
    if kind is dict:
        return {key: labelled(item, given[key]) if key in given else item for key, item in value.items()}
    return kind([labelled(*pair) for pair in zip(value, given, strict=True)])
