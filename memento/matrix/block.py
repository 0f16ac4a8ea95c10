"""Block: one product of axes, with what all of its configurations share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations, product
from typing import Any

from memento.hashing import KeyMaker
from memento.hashing.labels import bare
from memento.matrix.axis import EAGER, Axis
from memento.matrix.copying import atomic, copier_of
from memento.names import REPLICATE
from memento.point import digests_of
from memento.settings import Settings

# What of a block is pickled; all else follows from it.
_KEPT = ("axes", "settings", "setting_digests", "runtime", "introduced", "introduced_digests", "experiment", "included")

_Rows = list[tuple[bytes, ...]]


class Block:
    """The product of `axes`, with the settings and the ways to run that all its configurations share.

    `included` says that it stands for the `include` of a matrix: one linked axis, and the replicates.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        *,
        settings: Mapping[str, Any],
        runtime: Mapping[str, Any],
        introduced: Mapping[str, Any],
        experiment: str,
        included: bool = False,
    ) -> None:
        self.included = included
        self.axes = tuple(axes)
        self.settings = Settings(settings)
        self.setting_digests = digests_of(settings, "settings")
        self.runtime = dict(runtime)
        self.introduced = dict(introduced)
        self.introduced_digests = digests_of(introduced, "introduced")
        self.experiment = experiment
        self._prepare()

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in _KEPT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def _prepare(self) -> None:
        size = 1
        strides = []
        for axis in reversed(self.axes):
            strides.append(size)
            size *= len(axis)
        self.size = size
        self.strides = tuple(reversed(strides))
        self.keyed_names = tuple(name for axis in self.axes for name in axis.names)
        self.names = tuple(name for name in self.keyed_names if name != REPLICATE)
        # Where each name is: its axis, the axis's stride and length, and which of the axis's names it is.
        self.places = {
            name: (axis, stride, len(axis), column)
            for axis, stride in zip(self.axes, self.strides, strict=True)
            for column, name in enumerate(axis.names)
        }
        self._maker = KeyMaker(self.experiment, self.keyed_names, self.setting_digests)
        self._makers: dict[frozenset[str], tuple[KeyMaker, list[int]]] = {}
        self._copied_settings: Any = None

    def indices(self, position: int) -> list[int]:
        """Return the index on each axis."""
        return [position // stride % len(axis) for axis, stride in zip(self.axes, self.strides, strict=True)]

    def digests(self, position: int) -> tuple[bytes, ...]:
        """Return the digests in the order of `keyed_names`."""
        rows = [axis.digests(index) for axis, index in zip(self.axes, self.indices(position), strict=True)]
        return tuple(chain.from_iterable(rows))

    def key(self, position: int) -> bytes:
        """Return the key of the configuration at `position`."""
        return self._maker.key(self.digests(position))

    def keys(self, positions: Iterator[int]) -> Iterator[bytes]:
        """Return the keys at these positions."""
        if any(len(axis) > EAGER for axis in self.axes):
            return map(self.key, positions)
        rows = [axis.all_digests() for axis in self.axes]
        if len(rows) == 1:
            return self._maker.keys(map(rows[0].__getitem__, positions))
        return self._maker.keys(self._digest_rows(rows, positions))

    def _digest_rows(self, rows: list[_Rows], positions: Iterator[int]) -> Iterator[tuple[bytes, ...]]:
        # Digests of neighbours differ in the last axes alone: those of the first are put together once for each run.
        split, inner = len(rows), 1
        while split and inner * len(rows[split - 1]) <= 4096:
            split -= 1
            inner *= len(rows[split])
        tails = list(_concatenated(rows[split:]))
        heads = self.axes[:split], self.strides[:split]
        last = -1
        head: tuple[bytes, ...] = ()
        for position in positions:
            first = position // inner
            if first != last:
                last = first
                head = tuple(
                    chain.from_iterable(
                        axis.digests(position // stride % len(axis)) for axis, stride in zip(*heads, strict=True)
                    )
                )
            yield head + tails[position - first * inner]

    def older_keys(self, positions: Sequence[int]) -> list[list[bytes]]:
        """Return, for each position, the keys that its configuration had before introduced names, closest first."""
        digests = [self.digests(position) for position in positions]
        introduced = [
            (name, self.keyed_names.index(name) if name in self.keyed_names else None, value)
            for name, value in self.introduced_digests.items()
        ]
        # The rows of equal defaults lack the same names in each key: one maker and one choice of digests is for all.
        alike: dict[tuple[str, ...], list[int]] = {}
        for row, known in enumerate(digests):
            default = tuple(
                name
                for name, column, value in introduced
                if (self.setting_digests[name] if column is None else known[column]) == value
            )
            alike.setdefault(default, []).append(row)
        found: list[list[bytes]] = [[] for _ in positions]
        for default, rows in alike.items():
            for count in range(1, len(default) + 1):
                for left_out in map(frozenset, combinations(default, count)):
                    maker, columns = self._maker_without(left_out)
                    chosen = ([digests[row][column] for column in columns] for row in rows)
                    for row, key in zip(rows, maker.keys(chosen), strict=True):
                        found[row].append(key)
        return found

    def _maker_without(self, left_out: frozenset[str]) -> tuple[KeyMaker, list[int]]:
        """Return what makes keys without these names, and the columns of the digests that it is given."""
        if left_out not in self._makers:
            columns = [column for column, name in enumerate(self.keyed_names) if name not in left_out]
            names = tuple(self.keyed_names[column] for column in columns)
            settings = {name: one for name, one in self.setting_digests.items() if name not in left_out}
            self._makers[left_out] = KeyMaker(self.experiment, names, settings), columns
        return self._makers[left_out]

    def private_settings(self) -> Settings:
        """Return the settings, with copies of those that an experiment could change, bare of any `Named`."""
        if all(map(atomic, self.settings.values())):
            return self.settings
        if self._copied_settings is None:
            self._copied_settings = {name: copier_of(bare(value)) for name, value in self.settings.items()}
        return Settings({name: copied() for name, copied in self._copied_settings.items()}, given=self.settings)


def _concatenated(rows: Sequence[_Rows]) -> Iterator[tuple[bytes, ...]]:
    return (tuple(chain.from_iterable(combined)) for combined in product(*rows))
