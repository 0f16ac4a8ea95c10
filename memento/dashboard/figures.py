"""Plots as data for Plotly (https://plotly.com/javascript/reference/), made without it."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from memento.dashboard.details import Curve
from memento.dashboard.rows import Cell, Row, title_of

Figure = dict[str, Any]

# A legend of more entries than these helps nobody; numbers get a scale instead.
MOST_COLOURS = 12
# Of a longer curve so many points are drawn, which are more than a screen has columns.
MOST_POINTS = 4000
# A plot of more dots than these shows no more, and takes long.
MOST_DOTS = 20_000
DRAWN_AS_SHAPES = 10_000
DRAWN_AS_DOTS = 50


def scatter(rows: Sequence[Row], x: str, y: str, colour: str | None) -> Figure:
    """Return a point for each of `rows` that has something in both columns, coloured by a third."""
    rows = [row for row in rows if row.get(x) is not None and row.get(y) is not None]
    shown, rows = len(rows), rows[:: -(-len(rows) // MOST_DOTS) or 1]
    groups: list[tuple[str, list[Row]]] = [("", list(rows))]
    scale: dict[str, Any] = {}
    if colour is not None:
        cells = {row.get(colour) for row in rows}
        if len(cells) > MOST_COLOURS and all(_is_number(cell) for cell in cells):
            title = {"text": _safe(title_of(colour))}
            scale = {"color": [row[colour] for row in rows], "showscale": True, "colorbar": {"title": title}}
        else:
            groups = _grouped(rows, colour, len(cells))
    traces = [
        {
            "mode": "markers", "name": _safe(name),
            "x": [_axis_value(row[x]) for row in some], "y": [_axis_value(row[y]) for row in some],
            "marker": dict[str, Any](size=7, opacity=0.8, **scale), "customdata": [row["run:key"] for row in some],
        }
        for name, some in groups
    ]  # fmt: skip
    figure = _figure(traces, title_of(x), title_of(y), legend=len(groups) > 1)
    if len(rows) < shown:
        figure["layout"]["title"] = {"text": f"{len(rows):,} of {shown:,} points, evenly chosen", "font": {"size": 13}}
        figure["layout"]["margin"]["t"] = 40
    if not all(_is_number(row[x]) for row in rows):
        figure["layout"]["xaxis"]["type"] = "category"  # or Plotly would leave out the texts among numbers
    return figure


def lines(curves: Mapping[str, Curve], title: str) -> Figure:
    """Return `curves` by what tells them apart; a long one by its extremes."""
    traces: list[Figure] = []
    for name, (xs, ys) in curves.items():
        places = _places(ys)
        shown = [[column[place] for place in places] for column in (xs, ys)]
        mode = "lines" if len(places) > DRAWN_AS_DOTS else "lines+markers"  # a line beside a NaN has one end only
        traces.append({"mode": mode, "name": _safe(name), "x": shown[0], "y": shown[1]})
    return _figure(traces, "x, or seconds since the beginning", title, legend=len(traces) > 1)


def _places(ys: Sequence[float]) -> list[int]:
    """Return which points of a curve to draw: all, or of each stretch the ends, the extremes, and what is no number."""
    if len(ys) <= MOST_POINTS:
        return list(range(len(ys)))
    places = {0, len(ys) - 1}
    step = -(-4 * len(ys) // MOST_POINTS)
    for start in range(0, len(ys), step):
        stretch = range(start, min(start + step, len(ys)))
        numbers = [place for place in stretch if ys[place] == ys[place]]
        places.add(start)
        if numbers:
            places |= {min(numbers, key=ys.__getitem__), max(numbers, key=ys.__getitem__)}
        if len(numbers) < len(stretch):
            places.add(next(place for place in stretch if ys[place] != ys[place]))
    return sorted(places)


def _grouped(rows: Sequence[Row], colour: str, count: int) -> list[tuple[str, list[Row]]]:
    """Return `rows` by what they have in the column `colour`; of many such values the most frequent, and the others."""
    groups = defaultdict[str, list[Row]](list)
    for row in rows:
        groups[repr(row.get(colour))].append(row)  # a number and its text are two
    named = [(str(some[0].get(colour)), some) for some in groups.values()]
    if count <= MOST_COLOURS:
        return sorted(named, key=lambda group: group[0])
    named.sort(key=lambda group: -len(group[1]))
    kept, left = named[: MOST_COLOURS - 1], named[MOST_COLOURS - 1 :]
    return [*kept, ("others", [row for _, some in left for row in some])]


def _axis_value(cell: Cell) -> Cell:
    return cell if _is_number(cell) else _safe(str(cell))


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _safe(text: str) -> str:
    """Return `text` for Plotly, which takes some of HTML for what it means."""
    return html.escape(text, quote=False)


def _figure(traces: list[Figure], x: str, y: str, *, legend: bool) -> Figure:
    # Few points are drawn by what every browser has, and are sharp; for many there is WebGL.
    kind = "scatter" if sum(len(trace["x"]) for trace in traces) <= DRAWN_AS_SHAPES else "scattergl"
    axis = {"automargin": True, "gridcolor": "#e5e7eb", "zerolinecolor": "#d1d5db"}
    return {
        "data": [{"type": kind, **trace} for trace in traces],
        "layout": {
            "xaxis": {**axis, "title": {"text": _safe(x)}},
            "yaxis": {**axis, "title": {"text": _safe(y)}},
            "showlegend": legend,
            "uirevision": f"{x} {y}",  # what a reader has zoomed into stays when new points come
            "margin": {"l": 60, "r": 20, "t": 20, "b": 50},
            "plot_bgcolor": "white",
            "hovermode": "closest",
        },
    }
