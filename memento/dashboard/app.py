"""The application: which address shows which page, and what the pages ask for while they are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from memento.dashboard import figures, pages
from memento.dashboard.access import guard
from memento.dashboard.details import curves_of, details_of
from memento.dashboard.parts import CONFIGURATION, EXPERIMENT, cells_of
from memento.dashboard.query import chosen, ordered
from memento.dashboard.rows import KEY, PARAMETER, Row
from memento.dashboard.toolkit import Dash, Input, Output, State, abort, dcc, html, no_update, send_file
from memento.dashboard.window import Window
from memento.errors import MementoError
from memento.wording import plural

_ASSETS = Path(__file__).with_name("assets")
# Pages ask so often, in milliseconds, whether there is anything new.
TICK = 3000
MOST_CURVES = 50


def make_app(window: Window, token: str) -> Any:
    """Return the application over the store that `window` looks into, for those who have the `token`."""
    app = Dash(
        "memento.dashboard", title="memento", update_title="", suppress_callback_exceptions=True,
        assets_folder=str(_ASSETS), on_error=_keep_what_is_shown,
    )  # fmt: skip
    place = str(window.seen().place)
    app.layout = html.Div(
        [
            dcc.Location(id="url"),
            dcc.Interval(id="tick", interval=TICK),
            *(dcc.Store(id=name) for name in ("shown", "version", "refreshed")),
            html.Header([dcc.Link("memento", href="/"), html.Span(place, className="place")]),
            html.P(id="trouble", className="problem", hidden=True),
            html.Main(id="content"),
        ]
    )
    guard(app.server, token)
    _serve_files(app.server, window)
    _tell_trouble(app, window)
    _show_pages(app, window)
    _fill_table(app, window)
    _fill_plots(app, window)
    return app


def _place_of(path: str | None) -> tuple[str, str]:
    """Return of which kind the page at `path` is, and the name that it is about."""
    kind, _, name = (path or "/").strip("/").partition("/")
    return kind, unquote(name)


def _keep_what_is_shown(error: Exception) -> None:
    """Leave a page as it is where the store cannot be read just now, which `_tell_trouble` says; raise what else is."""
    if not isinstance(error, MementoError | OSError):
        raise error


def _tell_trouble(app: Any, window: Window) -> None:
    @app.callback(Output("trouble", "children"), Output("trouble", "hidden"), Input("tick", "n_intervals"))
    def tell(_: int | None) -> Any:
        try:
            window.seen()
        except MementoError as error:
            return f"{error}. What is shown here is from before that.", False
        return "", True


def _show_pages(app: Any, window: Window) -> None:
    @app.callback(
        Output("content", "children"), Output("shown", "data"), Output("version", "data"),
        Input("url", "pathname"), Input("tick", "n_intervals"), State("shown", "data"), State("version", "data"),
    )  # fmt: skip
    def show(path: str | None, _: int | None, shown: Any, version: Any) -> Any:
        seen = window.seen()
        now = window.version
        if shown == [path, now] and _place_of(path)[0]:
            return no_update, no_update, no_update
        kind, name = _place_of(path)
        if not kind:
            return pages.home(seen), [path, now], now
        if kind == EXPERIMENT and name in seen.experiments:
            rows, columns = window.table(name)
            # What the reader has chosen and selected stays, unless there is another column to show.
            mark = [path, [column.name for column in columns]]
            page = no_update if shown == mark else pages.experiment(name, columns, len(rows))
            return page, mark, now if version != now else no_update
        found = details_of(window, name) if kind == CONFIGURATION else None
        if found is None:
            return html.P(f"There is nothing at {path}.", className="problem"), [path, now], now
        return pages.configuration(found), [path, now], now


def _fill_table(app: Any, window: Window) -> None:
    @app.callback(
        Output("table", "getRowsResponse"), Output("said", "children"),
        Input("table", "getRowsRequest"), State("url", "pathname"),
    )  # fmt: skip
    def rows(asked: Mapping[str, Any] | None, path: str | None) -> Any:
        if asked is None:
            return no_update, no_update
        every, _ = window.table(_place_of(path)[1])
        passed = chosen(every, asked["filterModel"])
        some = ordered(passed, asked["sortModel"])[asked["startRow"] : asked["endRow"]]
        left_out = f" of {len(every):,}" if len(passed) < len(every) else ""
        said = f"{plural(len(passed), 'configuration')}{left_out}"
        return {"rowData": [cells_of(row) for row in some], "rowCount": len(passed)}, said

    app.clientside_callback(
        "function(version) { return window.dash_clientside.memento.refresh(version); }",
        Output("refreshed", "data"), Input("version", "data"),
    )  # fmt: skip


def _fill_plots(app: Any, window: Window) -> None:
    @app.callback(
        Output("scatter", "figure"),
        Input("x", "value"), Input("y", "value"), Input("colour", "value"), Input("table", "filterModel"),
        Input("version", "data"), State("url", "pathname"),
    )  # fmt: skip
    def scatter(x: str, y: str, colour: str | None, filters: Mapping[str, Any] | None, _: Any, path: str | None) -> Any:
        every, _columns = window.table(_place_of(path)[1])
        return figures.scatter(chosen(every, filters), x, y, colour)

    @app.callback(
        Output("metric", "options"), Output("metric", "value"), Output("curves", "figure"),
        Input("table", "selectedRows"), Input("metric", "value"),
    )  # fmt: skip
    def curves(selected: Sequence[Row] | None, metric: str | None) -> Any:
        rows = list(selected or ())[:MOST_CURVES]
        found = curves_of(window, [str(row[KEY]) for row in rows])
        names = sorted({name for each in found.values() for name in each})
        name = metric if metric in names else next(iter(names), None)
        labels = _labels(rows)
        shown = {labels[key]: each[name] for key, each in found.items() if name in each} if name is not None else {}
        return names, name, figures.lines(shown, name or "")


def _labels(rows: Sequence[Row]) -> dict[str, str]:
    """Return by key what tells each of `rows` from the others: the parameters in which they differ, and the key."""
    names = dict.fromkeys(name for row in rows for name in row if name.startswith(PARAMETER))
    differing = [name for name in names if len({row.get(name) for row in rows}) > 1]
    short = {
        str(row[KEY]): ", ".join(f"{name.removeprefix(PARAMETER)}={row.get(name)}" for name in differing)
        for row in rows
    }
    return {key: f"{text} ({key[:6]})" if text else key[:6] for key, text in short.items()}


def _serve_files(server: Any, window: Window) -> None:
    @server.route(f"/{CONFIGURATION}/<key>/files/<path:name>")
    def file(key: str, name: str) -> Any:
        try:
            found = details_of(window, key)
        except (MementoError, OSError):  # the store is gone, or its files are just going
            found = None
        if found is None or found.folder is None or name not in {path.as_posix() for path in found.files}:
            abort(404)
        # Never shown in the page's own place: what an experiment has written may be a page with scripts.
        return send_file((found.folder / name).resolve(), as_attachment=True)
