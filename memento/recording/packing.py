"""A tree of keepers in memory as bytes, and back: how an experiment's records travel with its outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from memento.recording.chunks import Chunk, StoredLevel, join_last
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


def begin_with(top: RecordKeeper, data: Buffer) -> None:
    """Have recorded what was packed as `data` and nothing else, in its order; what is recorded later comes after it.

    Keepers below `top` stay where they are, and what is recorded by them counts as before. No bytes stand for nothing.
    """
    keepers: dict[int, RecordKeeper] = {}
    chunks: list[Chunk] = []
    for chunk in unpack(data).chunks if data else ():
        if id(chunk.level) not in keepers:
            # All that is above it in one: with a level for each time, a checkpoint would hold ever deeper trees.
            shared = chunk.shared()
            plain = chunks and not shared and not chunks[-1].level.data
            keepers[id(chunk.level)] = cast(RecordKeeper, chunks[-1].level) if plain else RecordKeeper(shared)
        chunks.append(Chunk(keepers[id(chunk.level)], chunk.length, chunk.columns))
        join_last(chunks)
    top._begin_with(chunks, list(dict.fromkeys(keepers.values())))


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
