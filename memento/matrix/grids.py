"""Grids as plain lists of dicts, for loops and for `pandas`, without a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memento.matrix import lint


def grid(**axes: Any) -> list[dict[str, Any]]:
    """Return every combination of the axes' values, in declared order with the last axis fastest.

    What is no list, tuple, range or array counts as a single value.

    Raises:
        MatrixError: an axis is empty, or can be read only once.

    >>> grid(lr=[0.1, 0.01], progbar=False)
    [{'lr': 0.1, 'progbar': False}, {'lr': 0.01, 'progbar': False}]
    """
    product = _Product(axes)
    return [product.at(position) for position in range(product.size)]


def random_grid(n: int, /, *, seed: int = 0, **axes: Any) -> list[dict[str, Any]]:
    """Return `n` combinations of the axes' values, drawn at random in an order that depends on the seed alone.

    None comes twice where the grid has at least `n` combinations; where it has fewer they are drawn with replacement.
    An axis cannot be called `seed`.

    Raises:
        MatrixError: `n` or `seed` is no whole number, an axis is empty, or can be read only once.

    >>> len(random_grid(3, seed=1, lr=[0.1, 0.01], depth=range(10**9)))
    3
    """
    import random

    if type(n) is not int or n < 0:
        lint.refuse("n", n, f"n is {lint.said(n)}; write how many combinations to draw, 0 or more")
    if type(seed) is not int:
        lint.refuse("seed", seed, f"seed is {lint.said(seed)}; write a whole number")
    product, generator = _Product(axes), random.Random(seed)
    if n <= product.size:
        drawn = generator.sample(range(product.size), n)
    else:
        drawn = [generator.randrange(product.size) for _ in range(n)]
    return [product.at(position) for position in drawn]


class _Product:
    def __init__(self, axes: dict[str, Any]) -> None:
        self._axes = {name: _listed(name, values) for name, values in axes.items()}
        self.size = 1
        for values in self._axes.values():
            self.size *= len(values)

    def at(self, position: int) -> dict[str, Any]:
        chosen: list[tuple[str, Any]] = []
        for name, values in reversed(self._axes.items()):
            position, index = divmod(position, len(values))
            chosen.append((name, values[index]))
        return dict(reversed(chosen))


def _listed(name: str, values: Any) -> Sequence[Any]:
    several = isinstance(values, (list, tuple, range)) or getattr(values, "ndim", 0) == 1 or hasattr(values, "__next__")
    return lint.values_of(values, name) if several else [values]
