"""Space: the raw products behind a matrix, in which every configuration has a position; this is what workers get.

A matrix becomes one block, or several that follow one another: one for its product, one for what it includes, and so on
for each matrix of a union. Excludes and samples are not here: they only choose positions (selection.py)::

    position ──> block, then one index for each axis (the last fastest) ──> values, digests, key
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from memento.config import Config, config_at
from memento.matrix.axis import EAGER
from memento.matrix.block import Block
from memento.matrix.copying import atomic
from memento.names import REPLICATE
from memento.settings import Settings

_WITHOUT_CODE = frozenset({bool, int, float, complex, str, bytes, type(None)})


class Space:
    """Every configuration of a matrix before anything is excluded, by position; pickles as its axes.

    It is the source (see config.py) of the configurations that it gives.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = tuple(blocks)
        self._prepare()

    def __getstate__(self) -> dict[str, Any]:
        return {"blocks": self.blocks}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.blocks = state["blocks"]
        self._prepare()

    def _prepare(self) -> None:
        self.starts = [0]
        for block in self.blocks:
            self.starts.append(self.starts[-1] + block.size)
        self.size = self.starts[-1]
        self.experiment = self.blocks[0].experiment if self.blocks else ""
        self._single = self.blocks[0] if len(self.blocks) == 1 else None
        self._mutable: list[list[tuple[int, int, frozenset[int]]]] | None = None
        self.varying = _varying(self.blocks)

    def objects(self) -> Iterator[Any]:
        """Yield the values of parameters and settings that may have code: all but numbers, texts and the like."""
        for block in self.blocks:
            yield from (value for value in block.settings.values() if type(value) not in _WITHOUT_CODE)
            for axis in block.axes:
                if not isinstance(axis.values, range):
                    yield from (value for value in axis.values if type(value) not in _WITHOUT_CODE)

    def locate(self, position: int) -> tuple[Block, int]:
        """Return the block in which `position` is, and where in it.

        Raises:
            IndexError: there is no such position.
        """
        if not 0 <= position < self.size:
            raise IndexError(f"position {position} is outside of this space of {self.size} configurations")
        if self._single is not None:
            return self._single, position
        number = bisect_right(self.starts, position) - 1
        return self.blocks[number], position - self.starts[number]

    def config(self, position: int) -> Config:
        """Return the configuration at `position`; its values are those of the matrix itself."""
        self.locate(position)
        return config_at(self, position)

    def private(self, position: int) -> Config:
        """Return the configuration at `position` with values of its own.

        Whatever an experiment does to `config.model` is seen by no other configuration. Each mutable value is copied
        when it is first read, and kept as long as the configuration. Shared are what neither pickle nor `deepcopy` can
        copy, and what belongs to a module: its functions, its classes, and the members of its enums, which would not
        be themselves otherwise.
        """
        block, local = self.locate(position)
        if self._mutable is None:
            self._mutable = [_mutable_axes(block) for block in self.blocks]
        for stride, size, mutable in self._mutable[0 if self._single else bisect_right(self.starts, position) - 1]:
            if local // stride % size in mutable:
                return config_at(Private(self, block, local), position)
        return config_at(self, position)

    def key(self, position: int) -> bytes:
        """Return the key of the configuration at `position`."""
        block, local = self.locate(position)
        return block.key(local)

    key_at = key

    def runtime_at(self, position: int) -> Mapping[str, Any]:
        """Return how the configuration at `position` is to be run."""
        return self.locate(position)[0].runtime

    def names_at(self, position: int) -> Sequence[str]:
        """Return the names of the parameters."""
        return self.locate(position)[0].names

    def value_at(self, position: int, name: str) -> Any:
        """Return one parameter's value."""
        block, local = self.locate(position)
        axis, stride, size, column = block.places[name]
        return axis.value(local // stride % size, column)

    given_at = value_at

    def settings_at(self, position: int) -> Settings:
        """Return the settings."""
        return self.locate(position)[0].settings

    def replicate_at(self, position: int) -> int | None:
        """Return the number of the replicate."""
        block, local = self.locate(position)
        if REPLICATE not in block.places:
            return None
        axis, stride, size, column = block.places[REPLICATE]
        return int(axis.value(local // stride % size, column))

    def digests_at(self, position: int) -> dict[str, bytes]:
        """Return the digests of the parameters and of the replicate."""
        block, local = self.locate(position)
        return dict(zip(block.keyed_names, block.digests(local), strict=True))

    def setting_digests_at(self, position: int) -> dict[str, bytes]:
        """Return the digests of the settings."""
        return self.locate(position)[0].setting_digests


class Private:
    """One configuration whose mutable values are copies of its own: the source of what an experiment is given.

    Its key and digests are those of the matrix, whatever the experiment does to the copies.
    """

    __slots__ = ("_block", "_copies", "_local", "_settings", "experiment", "space", "varying")

    def __init__(self, space: Space, block: Block, local: int) -> None:
        self.space = space
        self._block = block
        self._local = local
        self._copies: dict[str, Any] = {}
        self._settings: Settings | None = None
        self.experiment = space.experiment
        self.varying = space.varying

    def names_at(self, position: int) -> Sequence[str]:
        """Return the names of the parameters."""
        return self._block.names

    def value_at(self, position: int, name: str) -> Any:
        """Return one parameter's value, copied at the first reading, bare of any `Named`."""
        copies = self._copies
        if name not in copies:
            axis, stride, size, column = self._block.places[name]
            index = self._local // stride % size
            mutable = index in axis.mutable[column]
            copies[name] = axis.copied(index, column) if mutable else axis.value(index, column)
        return copies[name]

    def given_at(self, position: int, name: str) -> Any:
        """Return one parameter's value as the matrix has it."""
        return self.space.value_at(position, name)

    def settings_at(self, position: int) -> Settings:
        """Return the settings, copied at the first reading."""
        if self._settings is None:
            self._settings = self._block.private_settings()
        return self._settings

    def replicate_at(self, position: int) -> int | None:
        """Return the number of the replicate."""
        return self.space.replicate_at(position)

    def digests_at(self, position: int) -> dict[str, bytes]:
        """Return the digests of the parameters as the matrix has them."""
        return self.space.digests_at(position)

    def setting_digests_at(self, position: int) -> dict[str, bytes]:
        """Return the digests of the settings as the matrix has them."""
        return self.space.setting_digests_at(position)

    def key_at(self, position: int) -> bytes:
        """Return the key."""
        return self.space.key(position)


def _mutable_axes(block: Block) -> list[tuple[int, int, frozenset[int]]]:
    """Return stride, length and mutable indices of each axis that has any; mutable settings make every position so."""
    if not all(map(atomic, block.settings.values())):
        return [(1, 1, frozenset((0,)))]
    found = [
        (stride, len(axis), frozenset().union(*axis.mutable))
        for axis, stride in zip(block.axes, block.strides, strict=True)
    ]
    return [(stride, size, mutable) for stride, size, mutable in found if mutable]


def _varying(blocks: Sequence[Block]) -> tuple[str, ...]:
    """Return the names of parameters that are not the same in all configurations."""
    names = dict.fromkeys(name for block in blocks for name in block.keyed_names)
    return tuple(name for name in names if not _constant(name, blocks))


def _constant(name: str, blocks: Sequence[Block]) -> bool:
    seen: set[bytes | None] = set()
    for block in blocks:
        if name not in block.places:
            seen.add(None)
        else:
            axis, _, size, column = block.places[name]
            if size > EAGER or (isinstance(axis.values, range) and size > 1):
                return False
            for row in axis.all_digests():
                seen.add(row[column])
                if len(seen) > 1:
                    return False
    return len(seen) <= 1
