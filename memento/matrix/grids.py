"""Grids as plain lists of dicts, for loops and for `pandas`, without a matrix."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from memento.counting import Counted
from memento.matrix import lint

LARGEST = 10_000_000  # combinations in a list: a dict of two takes 200 bytes


def grid(*, shuffle: bool = False, progbar: bool = False, **axes: Any) -> list[dict[str, Any]]:
    """Return every combination of the axes' values, in declared order with the last axis fastest.

    What is no list, tuple, range or array counts as a single value.

    Args:
        shuffle: put them in an order that depends on `seed=...` alone (0 where it is not given). Without it `seed` is
            an axis as any other.
        progbar: show a bar on standard error whenever the list is iterated over.
        axes: the values of each axis; none can be called `shuffle` or `progbar`.

    Raises:
        MatrixError: an axis is empty, or can be read only once, or the seed is no whole number, or there would be more
            than ten million combinations.

    >>> grid(lr=[0.1, 0.01], depth=3)
    [{'lr': 0.1, 'depth': 3}, {'lr': 0.01, 'depth': 3}]
    >>> grid(a=[1, 2, 3], shuffle=True, seed=1)
    [{'a': 2}, {'a': 3}, {'a': 1}]
    """
    import random

    seed = _checked_seed(axes.pop("seed", 0)) if _switch("shuffle", shuffle) else 0
    product = _Product(axes)
    if product.size > LARGEST:
        lint.refuse(
            "axes",
            product.size,
            f"the grid has {product.size:,} combinations, and a list of more than {LARGEST:,} dicts would fill the "
            f"memory; write generate_configurations({{'parameters': {{...}}}}), which makes each when it is asked for, "
            "or draw some by random_grid(n, ...)",
        )
    settings = [product.at(position) for position in range(product.size)]
    if shuffle:
        random.Random(seed).shuffle(settings)
    return Counted(settings) if _switch("progbar", progbar) else settings


def random_grid(n: int, *, seed: int = 0, progbar: bool = False, **axes: Any) -> list[dict[str, Any]]:
    """Return `n` combinations of the axes' values, drawn at random in an order that depends on the seed alone.

    None comes twice where the grid has at least `n` combinations; where it has fewer they are drawn with replacement.

    Args:
        n: how many.
        seed: another one gives other combinations.
        progbar: show a bar on standard error whenever the list is iterated over.
        axes: the values of each axis; none can be called `n`, `seed` or `progbar`.

    Raises:
        MatrixError: `n` or `seed` is no whole number, an axis is empty, or can be read only once.

    >>> len(random_grid(3, seed=1, lr=[0.1, 0.01], depth=range(10**9)))
    3
    """
    import random

    if type(n) is not int or n < 0:
        lint.refuse("n", n, f"n is {lint.said(n)}; write how many combinations to draw, 0 or more")
    product, generator = _Product(axes), random.Random(_checked_seed(seed))
    if product.size > sys.maxsize:  # more than `sample` can count; what was drawn twice is drawn again
        distinct: dict[int, None] = {}
        while len(distinct) < n:
            distinct[generator.randrange(product.size)] = None
        drawn = list(distinct)
    elif n <= product.size:
        drawn = generator.sample(range(product.size), n)
    else:
        drawn = [generator.randrange(product.size) for _ in range(n)]
    settings = [product.at(position) for position in drawn]
    return Counted(settings) if _switch("progbar", progbar) else settings


def _checked_seed(seed: Any) -> int:
    if type(seed) is not int:
        lint.refuse("seed", seed, f"seed is {lint.said(seed)}; write a whole number")
    return int(seed)


def _switch(name: str, value: Any) -> bool:
    if value is not None and type(value) is not bool:
        lint.refuse(name, value, f"{name} is {lint.said(value)}; write True or False: no axis can be called {name}")
    return bool(value)


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
