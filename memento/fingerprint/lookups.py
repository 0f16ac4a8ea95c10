"""What names stood for when code was looked at: whether they do still is seen in a few microseconds.

In a notebook a cell with a helper or a constant is run anew, and what calls it is not. To read and compare source anew
at each call of a function that remembers would take longer than most of what it is asked for.
"""

from __future__ import annotations

import argparse
import marshal
from collections.abc import Callable, Collection, Mapping
from functools import partial
from operator import is_, itemgetter
from typing import Any

from memento.fingerprint.contents import is_plain

_CONTAINERS = (list, dict, set, argparse.Namespace)


class Lookups:
    """Names in namespaces, and what they were found to stand for."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Mapping[str, Any], dict[str, Any]]] = {}
        self._absent: dict[int, tuple[Mapping[str, Any], set[str]]] = {}
        self._inside: list[tuple[Callable[[], Any], object]] = []
        self._each: list[tuple[Mapping[str, Any], Callable[[Any], Any], tuple[Any, ...]]] = []

    def add(self, namespace: Mapping[str, Any], name: str) -> None:
        """Take note of what `name` stands for in `namespace`, be it nothing."""
        if name in namespace:
            self._found.setdefault(id(namespace), (namespace, {}))[1][name] = namespace[name]
        else:
            self._absent.setdefault(id(namespace), (namespace, set()))[1].add(name)

    def add_inside(self, look: Callable[[], Any]) -> None:
        """Take note of what `look` returns, plain values that others may change where they are."""
        self._inside.append((look, _content(look())))

    def close(self, *, set_by_code: Collection[tuple[str, str]], filled_by_code: Collection[int]) -> None:
        """Leave out what the code itself sets or fills: names with their modules, and the addresses of objects."""
        for namespace, names in self._found.values():
            module = str(namespace.get("__name__"))
            known = {name: value for name, value in names.items() if (module, name) not in set_by_code}
            # Twice, so that there are always several: of one name, itemgetter gives no tuple.
            twice = [*known, *known]
            if twice:
                self._each.append((namespace, itemgetter(*twice), (*known.values(), *known.values())))
            for value in known.values():
                if isinstance(value, _CONTAINERS) and id(value) not in filled_by_code and is_plain(value):
                    self.add_inside(partial(_itself, value))

    def hold(self) -> bool:
        """Return whether each name stands for the very same still, and containers of plain values hold the same."""
        try:
            for namespace, found_in, known in self._each:
                if not all(map(is_, found_in(namespace), known)):
                    return False
        except KeyError:  # deleted
            return False
        for namespace, names in self._absent.values():
            if not names.isdisjoint(namespace):
                return False
        return all(_content(look()) == known for look, known in self._inside)


def _itself(value: Any) -> Any:
    return value


def _content(value: Any) -> object:
    value = vars(value) if isinstance(value, argparse.Namespace) else value
    try:
        return marshal.dumps(value, 2)  # of this version: later ones write what depends on who else holds a part
    except ValueError:  # a path or a date is in it
        return repr(value)
