"""Results as text for a terminal, HTML for a notebook and CSV for a file."""

from __future__ import annotations

import csv
import datetime
import html
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from memento.hashing import readable
from memento.hashing.text import WIDEST_INTEGER
from memento.results.tables import Columns, table_of
from memento.wording import one_line

if TYPE_CHECKING:
    from memento.results.result import Result
    from memento.task import Status

SHOWN_AS_TEXT, SHOWN_AS_HTML = 10, 20
WIDEST_CELL = 40
_GAP = "…"


def as_text(results: Sequence[Result], counts: Mapping[Status, int]) -> str:
    """Return a short table of the first and last results, under a line that counts them."""
    head = _headline(len(results), counts)
    columns, rows = _excerpt(results, SHOWN_AS_TEXT)
    if not rows:
        return head
    widths = [max(len(cells[place]) for cells in (columns, *rows)) for place in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in (columns, *rows)
    ]
    return "\n".join([head, *lines])


def as_html(results: Sequence[Result], counts: Mapping[Status, int]) -> str:
    """Return the same as an HTML table, without scripts and with everything escaped."""
    columns, rows = _excerpt(results, SHOWN_AS_HTML)
    caption = f"<caption>{html.escape(_headline(len(results), counts))}</caption>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>" for cells in rows)
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _headline(number: int, counts: Mapping[Status, int]) -> str:
    noun = "result" if number == 1 else "results"
    said = ", ".join(f"{count} {status.value}" for status, count in counts.items())
    return f"{number} {noun}: {said}" if said else f"{number} {noun}"


def _excerpt(results: Any, limit: int) -> tuple[list[str], list[list[str]]]:
    """Return names and cells of the first and the last results, with a row of dots for those between."""
    places: list[int | None] = list(range(len(results)))
    if len(results) > limit:
        half = limit // 2
        places[half:-half] = [None]
    there = [place for place in places if place is not None]
    table = table_of([results[place] for place in there], brief=True)
    columns = {name: column for name, column in table.items() if any(value is not None for value in column)}
    cells = {place: [_cell(column[row]) for column in columns.values()] for row, place in enumerate(there)}
    rows = [[_GAP] * (1 + len(columns)) if place is None else [str(place), *cells[place]] for place in places]
    return ["", *(one_line(name) for name in columns)], rows


def _cell(value: Any) -> str:
    if _is_wide(value):
        value = readable(value)
    return one_line("" if value is None else f"{value:.6g}" if isinstance(value, float) else value, WIDEST_CELL)


def write_csv(table: Columns, path: str | PathLike[str]) -> None:
    """Write `table` as a CSV file: UTF-8, times as ISO 8601, missing values empty, the widest integers in hex.

    Half a surrogate pair, which UTF-8 cannot hold, becomes an escape.
    """
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows([_field(value) for value in row] for row in zip(*table.values(), strict=True))


def _field(value: Any) -> Any:
    if isinstance(value, datetime.datetime) and value == value:  # pandas' NaT is no time
        return value.isoformat(sep=" ")
    return hex(value) if _is_wide(value) else value


def _is_wide(value: Any) -> bool:
    """Return whether Python may refuse to write `value` out in decimal digits."""
    return isinstance(value, int) and value.bit_length() > WIDEST_INTEGER
