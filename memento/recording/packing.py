"""A tree of keepers in memory as bytes, and back: how an experiment's records travel with its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from memento.recording.chunks import Chunk, StoredLevel
from memento.recording.keeper import RecordKeeper
from memento.recording.segments import MAGIC, pack_frame, unpack

if TYPE_CHECKING:
    from typing_extensions import Buffer


def pack_tree(top: RecordKeeper) -> bytes:
    """Return what `top` and all below it have recorded; nothing of what is above it. Empty if they have nothing."""
    chunks, keepers = [chunk for chunk, _ in top.records.parts()], list(top._below())
    if not chunks:
        return b""
    numbers: dict[Any, int] = {keeper: number for number, keeper in enumerate(keepers)}
    levels = [(number, numbers.get(keeper.parent, -1), keeper.data.copy()) for keeper, number in numbers.items()]
    return MAGIC + pack_frame(0.0, levels, [(numbers[chunk.level], chunk) for chunk in chunks])


def unpack_tree(data: Buffer) -> RecordKeeper:
    """Return a tree of keepers that have recorded what was packed as `data`."""
    segment = unpack(data)
    keepers: dict[int, RecordKeeper] = {}
    for level in segment.levels.values():
        keepers[id(level)] = RecordKeeper(level.data)
        if level.parent is not None:
            keepers[id(level)].set_parent(keepers[id(level.parent)])
    for chunk in segment.chunks:
        keepers[id(chunk.level)]._take_in(chunk.length, chunk.columns)
    return keepers[id(segment.levels[0])]


def unpack_chunks(data: Buffer, above: list[Mapping[str, Any]]) -> list[Chunk]:
    """Return the chunks packed as `data`, below keepers that know what `above` says, the topmost first."""
    segment = unpack(data)
    level = None
    for known in above:
        level = StoredLevel(known, level)
    segment.levels[0].parent = level
    return segment.chunks


def known_above(
    run: str, key: str, attempt: int, parameters: Mapping[str, Any], replicate: Any
) -> list[dict[str, Any]]:
    """Return what the keepers above an experiment's recorder know: that of the run, and that of the configuration."""
    own = dict(parameters) if replicate is None else {**parameters, "replicate": replicate}
    return [{"run": run, "key": key, "attempt": attempt}, own]
