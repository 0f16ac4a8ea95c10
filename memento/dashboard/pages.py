"""The pages: all experiments and runs, one experiment, one configuration."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from memento.dashboard.details import Details
from memento.dashboard.figures import lines
from memento.dashboard.parts import (
    CONFIGURATION,
    EXPERIMENT,
    address_of,
    choice,
    clock,
    definition,
    plot,
    table,
)
from memento.dashboard.rows import KEY, PARAMETER, RESULT, RUNTIME, STARTED, Column
from memento.dashboard.toolkit import AgGrid, dcc, html
from memento.overview import DIED, Counts, Overview, RunOverview
from memento.task import Outcome
from memento.wording import duration, one_line, plural, size

# So many runs and jobs are shown; `memento status --all` lists them all.
SHOWN = 50
ROWS_AT_ONCE = 100


def home(seen: Overview) -> list[Any]:
    """Return what is in the store, and what goes on over it."""
    parts: list[Any] = []
    if seen.damaged:
        said = f"{seen.damaged:,} entries are damaged, and so not stored; running the matrix computes them anew"
        parts.append(html.P(said, className="problem"))
    if not seen.experiments:
        return [*parts, html.P("Nothing is stored here yet.", className="said")]
    parts += [html.H1("Experiments"), _experiments(seen), html.H1("Runs"), _runs(seen.runs[:SHOWN])]
    if len(seen.runs) > SHOWN:
        parts.append(html.P(f"… and {plural(len(seen.runs) - SHOWN, 'run')} more: memento status --all"))
    for run in seen.runs[:SHOWN]:
        parts += _jobs(run)
    return parts


def _experiments(seen: Overview) -> Any:
    titles = ("experiment", "", "stored", "failed", "cancelled", "running", "waiting", "failed of")
    rows = [
        (
            dcc.Link(name, href=address_of(EXPERIMENT, name)), _bar(counts), *_numbers(counts),
            ", ".join(f"{cause} {count:,}" for cause, count in counts.causes.most_common()),
        )
        for name, counts in seen.experiments.items()
    ]  # fmt: skip
    return table(titles, rows, right=range(2, 7), id="experiments")


def _runs(runs: Sequence[RunOverview]) -> Any:
    titles = (
        "run", "state", "experiment", "", "stored", "failed", "cancelled", "running", "waiting", "begun", "took", "by",
    )  # fmt: skip
    rows = [
        (
            html.Code(one.id), one.state, one.experiment, _bar(one.counts), *_numbers(one.counts), clock(one.started),
            _took(one), f"{one.about.get('user', '?')}@{one.about.get('host', '?')}",
        )
        for one in runs
    ]  # fmt: skip
    return table(titles, rows, right=range(4, 9), id="runs")


def _numbers(counts: Counts) -> tuple[str, ...]:
    numbers = counts.stored, counts.failed, counts.cancelled, counts.running, counts.waiting
    return tuple(f"{number:,}" if number else "" for number in numbers)


def _bar(counts: Counts) -> Any:
    parts = {name: getattr(counts, name) for name in ("stored", "failed", "cancelled", "running")}
    total = sum(parts.values()) + counts.waiting
    return html.Div(
        [
            html.Div(className=name, title=f"{count:,} {name}", style={"flex": f"0 0 {100 * count / total:.3f}%"})
            for name, count in parts.items()
            if count
        ],
        className="bar",
    )


def _took(one: RunOverview) -> str:
    ended = time.time() if one.goes_on else one.ended
    if ended is None:
        return "?"
    return ("at least " if one.state == DIED else "") + duration(ended - one.started)


def _jobs(run: RunOverview) -> list[Any]:
    if not run.jobs:
        return []
    titles = ("job", "node", "state", "exit", "done", "running", "waiting", "configurations")
    awaited = [job for job in run.jobs if job.standing.running or job.standing.waiting]
    rows = [
        (
            job.standing.job or "-", job.standing.node or "-", job.standing.state, job.standing.exit or "-",
            f"{job.standing.done:,}", f"{len(job.standing.running):,}", f"{len(job.standing.waiting):,}",
            one_line("; ".join(job.running[:3])),
        )
        for job in awaited[:SHOWN]
    ]  # fmt: skip
    said = f"{plural(len(awaited), 'job')} at work, {plural(len(run.jobs) - len(awaited), 'job')} delivered everything"
    asked = "" if run.asked else "; the cluster does not answer from here"
    return [
        html.H2(f"Jobs of run {run.id}"),
        html.P(said + asked, className="said"),
        table(titles, rows, right=(4, 5, 6)),
    ]


def experiment(name: str, columns: Sequence[Column], count: int) -> list[Any]:
    """Return the frame of the page of one experiment; its table and its plots fill themselves."""
    names = [column.name for column in columns]
    numbers = [column.name for column in columns if column.numeric]
    results = [each for each in numbers if each.startswith(RESULT)] or [RUNTIME]
    parameters = [each for each in names if each.startswith(PARAMETER)]
    numeric = [each for each in parameters if each in numbers]
    x = next(iter([*numeric, *parameters]), STARTED)
    return [
        html.H1(name),
        html.P(id="said", children=plural(count, "configuration"), className="said"),
        AgGrid(
            id="table",
            columnDefs=[definition(column) for column in sorted(columns, key=lambda column: column.name != KEY)],
            rowModelType="infinite",
            defaultColDef={"floatingFilter": True, "minWidth": 100, "maxWidth": 420},
            dashGridOptions={
                "suppressFieldDotNotation": True,  # a parameter may have a dot in its name
                "rowSelection": {"mode": "multiRow", "headerCheckbox": False},
                "autoSizeStrategy": {"type": "fitCellContents"},
                "cacheBlockSize": ROWS_AT_ONCE,
                "maxBlocksInCache": 20,
                "enableCellTextSelection": True,
                "tooltipShowDelay": 300,
            },
            getRowId="params.data['run:key']",
            style={"height": "480px"},
        ),
        html.H2("Plot of all that the table shows"),
        html.Div(
            [
                choice("x", "across", [*parameters, *numbers], x),
                choice("y", "up", numbers, results[0]),
                choice(
                    "colour",
                    "colour",
                    names[:-1],
                    next(iter(each for each in parameters if each != x), None),
                    clearable=True,
                ),
            ],
            className="choices",
        ),
        plot("scatter", {}),
        html.H2("Metrics of what is selected"),
        html.Div(choice("metric", "metric", [], None), className="choices"),
        plot("curves", {}),
    ]


def configuration(found: Details) -> list[Any]:
    """Return everything about one configuration."""
    outcome = found.outcome
    return [
        html.H1([dcc.Link(found.experiment, href=address_of(EXPERIMENT, found.experiment)), " ", html.Code(found.key)]),
        *([html.P(found.problem, className="problem")] if found.problem else []),
        html.H2("Parameters and settings"),
        table(("name", "value"), list(found.parameters.items()), id="parameters"),
        html.H2("Outcome"),
        table(("", ""), [(name, told) for name, told in _facts(found).items() if told], id="outcome"),
        *_failure(outcome),
        *_curves(found),
        *([html.H2("Output"), html.Pre(found.log, id="log")] if found.log else []),
        *_files(found),
        html.H2("Attempts of all runs"),
        table(
            ("begun", "run", "attempt", "status", "took", "where", "why"),
            [
                (
                    clock(one.started), html.Code(one.run.hex()), str(one.attempt), _status(one), duration(one.runtime),
                    one.host, one_line(one.failure.title) if one.failure is not None else "",
                )
                for one in found.attempts
            ],
            id="attempts",
        ),
    ]  # fmt: skip


def _facts(found: Details) -> dict[str, Any]:
    outcome = found.outcome
    return {
        "status": _status(outcome),
        "returned": html.Pre(found.value) if outcome.status.ok else "",
        "begun": clock(outcome.started),
        "took": duration(outcome.runtime),
        "processor time": duration(outcome.cpu_time),
        "most memory": size(outcome.hardware_peak) if outcome.hardware_peak else "",
        "where": f"{outcome.host}, process {outcome.pid}",
        "files": str(found.folder or ""),
    }


def _status(outcome: Outcome) -> Any:
    return html.Span(outcome.status.value, className=f"status {outcome.status.value}")


def _failure(outcome: Outcome) -> list[Any]:
    failure = outcome.failure
    if failure is None:
        return []
    return [html.H2("Why it failed"), html.P(failure.title, id="failure"), html.Pre(failure.traceback, id="traceback")]


def _curves(found: Details) -> list[Any]:
    if not found.curves:
        return []
    parts: list[Any] = [html.H2("Metrics")]
    for number, (name, curve) in enumerate(sorted(found.curves.items())):
        parts.append(plot(f"curve-{number}", lines({name: curve}, name)))
    return parts


def _files(found: Details) -> list[Any]:
    if not found.files:
        return []
    way = address_of(CONFIGURATION, found.key)
    links = [html.Li(html.A(str(path), href=f"{way}/files/{quote(path.as_posix())}")) for path in found.files]
    return [html.H2("Files"), html.Ul(links, id="files")]
