"""A sheet: the readable text of every configuration of a run, kept so that one can tell what a key stands for.

A text for each of a million configurations would cost more than running them; so a sheet holds the texts of the *axes*,
and puts together what is asked for::

    position ──> block ──> one text for each axis, and the settings ──> {"model": "SVC", "lr": "0.1", "epochs": "3"}

As bytes it is compressed JSON: ``{"rows": {position: text}}`` for a few configurations, else ``{"blocks": [[size, axes,
settings], …]}``; an axis is a list of texts, or ``[name, start, step, count]`` under ``"range"``.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from memento.matrix.axis import Axis, fragment
from memento.matrix.space import Space

# Below this many configurations their own texts are shorter than all axes of a large matrix.
FEW = 200
QUICKLY = 1  # zlib's fastest level: texts of axes repeat themselves, and any level finds that


def pack_sheet(space: Space, positions: Sequence[int] | None = None) -> bytes:
    """Return the sheet of the configurations at these positions of `space`, which are few; None: of all of them."""
    if positions is not None:
        return pack_rows({position: describe(space, position) for position in positions})
    blocks = [[block.size, [_axis(axis) for axis in block.axes], _settings(block.settings)] for block in space.blocks]
    return _packed({"blocks": blocks})


def pack_rows(texts: Mapping[int, str]) -> bytes:
    """Return the sheet of configurations whose texts are known."""
    return _packed({"rows": texts})


def describe(space: Space, position: int) -> str:
    """Return parameters and settings at `position` of `space` as the text of a JSON object with readable values."""
    block, local = space.locate(position)
    parts = [axis.fragment(index) for axis, index in zip(block.axes, block.indices(local), strict=True)]
    return _object(parts, _settings(block.settings))


class Sheet:
    """The sheet packed as `data`.

    Raises:
        ValueError: `data` is no sheet.
    """

    def __init__(self, data: bytes) -> None:
        try:
            content = json.loads(zlib.decompress(data).decode(errors="surrogatepass"))
        except zlib.error as error:
            raise ValueError(f"not a sheet: {error}") from error
        self._rows: dict[str, str] = content.get("rows", {})
        self._blocks: list[Any] = content.get("blocks", [])

    def describe(self, position: int) -> str | None:
        """Return the text of the configuration at `position`; None where it has none."""
        if not self._blocks:
            return self._rows.get(str(position))
        for size, axes, settings in self._blocks:
            if position < size:
                parts = []
                for axis in reversed(axes):
                    count = axis["range"][3] if isinstance(axis, dict) else len(axis)
                    position, index = divmod(position, count)
                    parts.append(_text_at(axis, index))
                return _object(parts[::-1], settings)
            position -= size
        return None


def _axis(axis: Axis) -> Any:
    values = axis.values
    if isinstance(values, range) and len(values) > FEW:
        return {"range": [axis.names[0], values.start, values.step, len(values)]}
    return axis.fragments()


def _text_at(axis: Any, index: int) -> str:
    if isinstance(axis, dict):
        name, start, step, _ = axis["range"]
        return fragment(name, start + index * step)
    return str(axis[index])


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(fragment(name, value) for name, value in settings.items())


def _object(parts: list[str], settings: str) -> str:
    return "{" + ", ".join([*parts, settings] if settings else parts) + "}"


def _packed(content: Any) -> bytes:
    return zlib.compress(json.dumps(content, ensure_ascii=False).encode(errors="surrogatepass"), QUICKLY)
