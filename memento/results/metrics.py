"""The metrics of one experiment: series of points by name, a DataFrame each where pandas is."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from memento import payload
from memento.errors import UnknownMetric

if TYPE_CHECKING:
    import pandas as pd


class Metrics(Mapping[str, "pd.DataFrame"]):
    """The metrics that an experiment recorded, by name: each a DataFrame with the columns `x` and `y`.

    Example:
        ``results[0].metrics["loss"].plot(x="x", y="y")``
    """

    __slots__ = ("_owner", "_series")

    def __init__(self, series: Mapping[str, payload.Points], owner: object = "this result") -> None:
        self._series = series
        self._owner = owner

    def __getitem__(self, name: str) -> pd.DataFrame:
        from memento.results.frames import frame_of_points

        return frame_of_points(self.points(name))

    def points(self, name: str) -> tuple[array[float], array[float]]:
        """Return the columns x and y of one metric as arrays, which needs no pandas.

        Raises:
            UnknownMetric: no metric of that name was recorded.
        """
        try:
            return self._series[name]
        except KeyError:
            raise UnknownMetric(name, self._series, where=f"recorded by {self._owner}") from None

    def last(self) -> dict[str, float]:
        """Return the value recorded last of each metric."""
        return {name: ys[-1] for name, (_, ys) in self._series.items() if ys}

    def __iter__(self) -> Iterator[str]:
        return iter(self._series)

    def __len__(self) -> int:
        return len(self._series)

    def __contains__(self, name: object) -> bool:
        return name in self._series

    def __repr__(self) -> str:
        lengths = ", ".join(f"{name!r}: {len(ys)} points" for name, (_, ys) in self._series.items())
        return f"Metrics({{{lengths}}})"
