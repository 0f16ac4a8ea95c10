"""Configurations: what a matrix becomes, a lazy sequence of Config."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice, repeat
from typing import Any, overload

from memento.config import Config, position_of, set_position, set_source, source_of
from memento.errors import UnkeyableValue
from memento.matrix.block import Block
from memento.matrix.selection import Part, Selection
from memento.matrix.sheet import FEW, pack_sheet
from memento.matrix.space import Private, Space
from memento.names import REPLICATE
from memento.settings import Settings

_BATCH = 1024


class Positions(Sequence[int]):
    """The positions of configurations in their space, in order."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def __len__(self) -> int:
        return self._selection.count

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Positions: ...
    def __getitem__(self, index: int | slice) -> int | Positions:
        if isinstance(index, slice):
            return Positions(Part(self._selection, range(self._selection.count)[index]))
        return self._selection.at(range(self._selection.count)[index])

    def __iter__(self) -> Iterator[int]:
        return self._selection.positions()

    def __contains__(self, position: object) -> bool:
        return isinstance(position, int) and self._selection.rank(position) is not None

    def index(self, position: int, *_: Any) -> int:
        """Return the rank of `position`.

        Raises:
            ValueError: it is not selected.
        """
        rank = self._selection.rank(position)
        if rank is None:
            raise ValueError(f"{position} is not among these positions")
        return rank


class Configurations(Sequence[Config]):
    """The configurations of a matrix, in order: counted, indexed and described without being listed.

    What a callable excludes is found when the configurations are first counted, indexed or walked through.

    >>> from memento.matrix.expand import generate_configurations
    >>> configurations = generate_configurations({"parameters": {"lr": [0.1, 0.01], "depth": range(10**9)}})
    >>> len(configurations), configurations[-1].depth
    (2000000000, 999999999)
    """

    def __init__(
        self,
        space: Space,
        select: Callable[[Callable[[str], None]], Selection] | Selection,
        *,
        warned: Sequence[str] = (),
    ) -> None:
        self.space = space
        self._select = select
        self._warned = list(warned)

    @cached_property
    def _selection(self) -> Selection:
        return self._select(self._warned.append) if callable(self._select) else self._select

    def __getstate__(self) -> dict[str, Any]:
        return {"space": self.space, "_select": self._selection, "_warned": self._warned}

    @property
    def positions(self) -> Positions:
        """Where in `space` the configurations are, in order."""
        return Positions(self._selection)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was found odd about the matrix; complete once the configurations have been counted."""
        return tuple(self._warned)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all parameters, in declared order."""
        return tuple(dict.fromkeys(name for block in self.space.blocks for name in block.names))

    @property
    def varying(self) -> tuple[str, ...]:
        """The names of the parameters, and `replicate`, that have more than one value."""
        return tuple(self.space.varying)

    @property
    def settings(self) -> Settings:
        """The settings; of several matrices, those that all of them share."""
        blocks = self.space.blocks
        if not blocks:
            return Settings()
        first, others = blocks[0], blocks[1:]
        shared = {
            name: value
            for name, value in first.settings.items()
            if all(block.setting_digests.get(name) == first.setting_digests[name] for block in others)
        }
        return Settings(shared)

    @property
    def introduced(self) -> dict[str, Any]:
        """The parameters and settings that were added later, each with the value that older results had."""
        found: dict[str, Any] = {}
        for block in self.space.blocks:
            found = {**block.introduced, **found}
        return found

    @property
    def configurations(self) -> list[Config]:
        """All configurations, as a new list."""
        return list(self)

    def runtime(self, position: int) -> dict[str, Any]:
        """Return how the configuration at `position` of the space is to be run."""
        return dict(self.space.locate(position)[0].runtime)

    def sheet(self, rows: Sequence[int]) -> bytes:
        """Return the readable texts of the configurations of these numbers, packed (see sheet.py)."""
        positions = self.positions
        few = [positions[row] for row in rows] if len(rows) <= FEW else None
        return pack_sheet(self.space, few)

    def keys(self) -> Iterator[bytes]:
        """Return the keys of the configurations, in order: 16 bytes each."""
        if len(self.space.blocks) == 1:
            return self.space.blocks[0].keys(self._selection.positions())
        return map(self.space.key, self._selection.positions())

    def alternatives(self, config: Config) -> list[bytes]:
        """Return further keys under which an older result of `config` may be stored, the closest first.

        They are the keys that it had before some of the introduced parameters were there.

        >>> from memento.matrix.expand import generate_configurations
        >>> matrix = {"parameters": {"lr": [1, 2], "depth": [2, 3]}, "introduced": {"depth": 2}}
        >>> configurations = generate_configurations(matrix)
        >>> [len(configurations.alternatives(config)) for config in configurations]
        [1, 0, 1, 0]
        """
        position = self._position(config)
        if position is None:
            raise ValueError(f"{config} is not among these configurations")
        block, local = self.space.locate(position)
        (keys,) = block.older_keys([local])
        return keys

    def older_keys(self, rows: Sequence[int]) -> list[list[bytes]]:
        """Return what `alternatives` does for each of the configurations of these numbers, in less time."""
        by_block: dict[Block, list[tuple[int, int]]] = {}
        for place, row in enumerate(rows):
            block, local = self.space.locate(self._selection.at(row))
            by_block.setdefault(block, []).append((place, local))
        found: list[list[bytes]] = [[] for _ in rows]
        for block, there in by_block.items():
            for (place, _), keys in zip(there, block.older_keys([local for _, local in there]), strict=True):
                found[place] = keys
        return found

    def __len__(self) -> int:
        return self._selection.count

    @overload
    def __getitem__(self, index: int) -> Config: ...
    @overload
    def __getitem__(self, index: slice) -> Configurations: ...
    def __getitem__(self, index: int | slice) -> Config | Configurations:
        count = self._selection.count
        if isinstance(index, slice):
            return Configurations(self.space, Part(self._selection, range(count)[index]), warned=self._warned)
        try:
            return self.space.config(self._selection.at(range(count)[index]))
        except IndexError:
            raise IndexError(f"there is no configuration number {index}: there are {count:,}") from None

    def __iter__(self) -> Iterator[Config]:
        return chain.from_iterable(_batches(self.space, self._selection.positions()))

    def __reversed__(self) -> Iterator[Config]:
        return iter(self[::-1])

    def __contains__(self, config: object) -> bool:
        return isinstance(config, Config) and self._rank(config) is not None

    def index(self, config: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the number of `config`, found by what it is and not by looking at the others.

        Raises:
            ValueError: it is not among these configurations.
        """
        rank = self._rank(config) if isinstance(config, Config) else None
        if rank is None or rank not in range(len(self))[start:stop]:
            raise ValueError(f"{config} is not among these configurations")
        return rank

    def count(self, config: Any) -> int:
        """Return 1 for a configuration that is among these, else 0."""
        return int(config in self)

    def __repr__(self) -> str:
        total, count = self.space.size, len(self)
        names = " × ".join(self._axes()) or "no parameters"
        if count == total:
            return f"Configurations({count:,}: {names})"
        return f"Configurations({count:,} of {total:,}: {names}, {total - count:,} excluded)"

    def _axes(self) -> dict[str, None]:
        axes: dict[str, None] = {}
        for block in self.space.blocks:
            if not block.included:
                axes.update({"+".join(axis.names): None for axis in block.axes})
        return axes

    def _rank(self, config: Config) -> int | None:
        position = self._position(config)
        return None if position is None else self._selection.rank(position)

    def _position(self, config: Config) -> int | None:
        """Return where a configuration equal to `config` is in the space, if it is there; a selected one if any."""
        source: object = source_of(config)
        if source is self.space or (isinstance(source, Private) and source.space is self.space):
            return position_of(config)
        found = None
        for block, start in zip(self.space.blocks, self.space.starts, strict=False):
            local = find(block, config)
            if local is not None:
                found = start + local
                if self._selection.rank(found) is not None:
                    return found
        return found


def find(block: Block, config: Config) -> int | None:
    """Return where in `block` a configuration equal to `config` is."""
    values: dict[str, Any] = config.asdict()
    if config.replicate is not None:
        values[REPLICATE] = config.replicate
    if values.keys() != block.places.keys():
        return None
    source, at = source_of(config), position_of(config)
    try:
        digests, settings = source.digests_at(at), source.setting_digests_at(at)
    except UnkeyableValue:  # then it equals nothing that could be keyed
        return None
    if settings != block.setting_digests:
        return None
    position = 0
    for axis, stride in zip(block.axes, block.strides, strict=True):
        index = axis.find(values, digests)
        if index is None:
            return None
        position += index * stride
    return position


def _batches(space: Space, positions: Iterator[int]) -> Iterator[list[Config]]:
    # Every step is one C function over a whole batch: a million configurations in a fifth of a second.
    while batch := list(islice(positions, _BATCH)):
        made = list(map(Config.__new__, repeat(Config, len(batch))))
        deque(map(set_source, made, repeat(space)), maxlen=0)
        deque(map(set_position, made, batch), maxlen=0)
        yield made
