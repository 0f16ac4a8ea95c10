"""What the pages are put together from."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from memento.dashboard.rows import FURTHER, KEY, RUNTIME, STARTED, Cell, Column, Row, title_of
from memento.dashboard.toolkit import dcc, html

GRID = {"config": {"displaylogo": False}, "style": {"height": "420px"}}
EXPERIMENT, CONFIGURATION = "experiment", "configuration"
LINK = "link"
# Columns that are there when somebody asks for them, by the menu of the table.
HIDDEN = (f"{FURTHER[0]}", f"{FURTHER[3]}", f"{FURTHER[4]}")


def address_of(kind: str, name: str) -> str:
    """Return the path of the page of an experiment or of a configuration."""
    return f"/{kind}/{quote(name, safe='')}"


def table(titles: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = (), id: str = "") -> Any:
    """Return a plain table; the columns at `right` hold numbers."""
    sides = ["number" if place in right else "" for place in range(len(titles))]
    head = html.Tr([html.Th(title, className=side) for title, side in zip(titles, sides, strict=True)])
    body = [html.Tr([html.Td(cell, className=side) for cell, side in zip(row, sides, strict=True)]) for row in rows]
    return html.Table([html.Thead(head), html.Tbody(body)], **({"id": id} if id else {}))


def plot(id: str, figure: Mapping[str, Any]) -> Any:
    """Return a plot."""
    return dcc.Graph(id=id, figure=figure, **GRID)


def choice(id: str, title: str, names: Sequence[str], chosen: str | None, *, clearable: bool = False) -> Any:
    """Return a menu of columns."""
    options = [{"label": title_of(name), "value": name} for name in names]
    menu = dcc.Dropdown(id=id, options=options, value=chosen, clearable=clearable)
    return html.Label([html.Span(title), menu], className="choice")


def clock(seconds: float) -> str:
    """Return a moment, in seconds since the epoch, as it is on the clock of this machine."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def definition(column: Column) -> dict[str, Any]:
    """Return how AG Grid is to show `column`."""
    name = column.name
    defined: dict[str, Any] = {
        "colId": name,
        "field": name,
        "headerName": title_of(name),
        "filter": "agNumberColumnFilter" if column.numeric else "agTextColumnFilter",
        "filterParams": {"inRangeInclusive": True, "debounceMs": 300},
        "hide": name in HIDDEN,
    }
    if column.numeric:
        defined["type"] = "rightAligned"
    shown = _FORMATS.get(name, "number" if column.numeric else None)
    if shown is not None:
        defined["valueFormatter"] = {"function": f"{shown}(params.value)"}
    if name == STARTED:
        defined["filter"] = False  # the number behind a date is nothing to ask for
    if name == KEY:
        defined |= {"field": LINK, "cellRenderer": "markdown", "sortable": False, "pinned": "left"}
    return defined


def cells_of(row: Row) -> dict[str, Cell]:
    """Return what AG Grid is sent of `row`: itself, and the way to its page."""
    key = str(row[KEY])
    shown = {name: _finite(cell) for name, cell in row.items()}
    return {**shown, LINK: f"[{key[:8]}]({address_of(CONFIGURATION, key)})"}


def _finite(cell: Cell) -> Cell:
    """Return `cell`, as a text where JSON has no number for it, or it would be shown as missing."""
    return str(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell


# Functions in assets/formats.js.
_FORMATS = {RUNTIME: "seconds", FURTHER[0]: "seconds", FURTHER[1]: "megabytes", STARTED: "moment"}
