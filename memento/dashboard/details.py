"""Everything that is known of one configuration: its newest outcome, all attempts, curves, what it printed, its files.

No value is unpickled: it may run whatever its author wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from memento import payload
from memento.dashboard.rows import Row, parameters_of, row_of
from memento.dashboard.window import Window
from memento.entry import Entry
from memento.errors import MementoError
from memento.results import Attempt
from memento.store.survey import Survey, survey
from memento.task import Outcome
from memento.wording import size

Curve = tuple[Sequence[float], Sequence[float]]
"""The points of a metric: x and y. Where x is when they were recorded, it is seconds since the experiment began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """One configuration.

    `parameters` are readable values by name, `value` says what was returned, as far as that is known without opening
    it, `attempts` are all outcomes of all runs, the newest first. `curves` are the metrics by name, `log` is what was
    printed, `files` what was written into `context.directory`. `problem` says what could not be read.
    """

    key: str
    experiment: str
    parameters: dict[str, str]
    outcome: Outcome
    row: Row
    value: str
    attempts: list[Outcome]
    curves: dict[str, Curve]
    log: str
    files: list[Path]
    folder: Path | None
    problem: str


def details_of(window: Window, key: str) -> Details | None:
    """Return what is known of the configuration with this `key` (32 hex digits); None where nothing is."""
    try:
        entry = window.seen().newest.get(bytes.fromhex(key))
    except ValueError:
        return None
    if entry is None:
        return None
    with survey(window.path) as store:
        sheet = store.sheets([entry.run]).get(entry.run)
        outcome = entry.outcome
        text = sheet.describe(outcome.position) if sheet is not None else None
        curves, log, problem = _loaded(entry, store)
        folder = Attempt(entry, store).directory
        return Details(
            key=key, experiment=_experiment(window, outcome.run), parameters=parameters_of(text), outcome=outcome,
            row=row_of(outcome, text), value=_told(outcome), attempts=_attempts(entry, store), curves=curves, log=log,
            files=files_in(folder) if folder is not None else [], folder=folder, problem=problem,
        )  # fmt: skip


def curves_of(window: Window, keys: Sequence[str]) -> dict[str, dict[str, Curve]]:
    """Return the metrics by name of the configurations with these `keys`; those that cannot be read are left out."""
    newest, found = window.seen().newest, dict[str, dict[str, Curve]]()
    with survey(window.path) as store:
        for key in keys:
            entry = newest.get(bytes.fromhex(key))
            if entry is not None:
                found[key], _, _ = _loaded(entry, store, log=False)
    return found


def files_in(folder: Path) -> list[Path]:
    """Return the files below `folder`, relative to it; links that lead out of it are left out."""
    root = folder.resolve()
    there = (path for path in folder.rglob("*") if path.is_file() and path.resolve().is_relative_to(root))
    return sorted(path.relative_to(folder) for path in there)


def _experiment(window: Window, run: bytes) -> str:
    return next((one.experiment for one in window.seen().runs if one.id == run.hex()), "?")


def _attempts(newest: Entry, store: Survey) -> list[Outcome]:
    outcomes = [entry.outcome for entry in store.history(newest.key)]
    if newest.outcome not in outcomes:
        outcomes.append(newest.outcome)  # it lies in a spool, and nobody has taken it in yet
    return outcomes[::-1]


def _loaded(entry: Entry, store: Survey, *, log: bool = True) -> tuple[dict[str, Curve], str, str]:
    """Return metrics, log, and what could not be read."""
    if not entry.id:
        return (
            {},
            "",
            "its run has not taken it into the store yet, so its metrics and its log cannot be read from here",
        )
    outcome = entry.outcome
    curves, printed, problems = dict[str, Curve](), "", list[str]()
    try:
        if outcome.metrics.size:
            series = payload.unpack_metrics(store.load(entry, "metrics"))
            curves = {name: (_since(outcome, xs), ys) for name, (xs, ys) in series.items()}
    except MementoError as error:
        problems.append(str(error))
    try:
        if log and outcome.log.size:
            printed = bytes(store.load(entry, "log")).decode(errors="replace")
    except MementoError as error:
        problems.append(str(error))
    return curves, printed, "; ".join(problems)


def _since(outcome: Outcome, xs: Sequence[float]) -> Sequence[float]:
    """Return `xs` as seconds since the beginning, if they are moments; another x is left as it is."""
    first, last = outcome.started - 1.0, outcome.started + outcome.runtime + 1.0
    if not xs or not (first <= xs[0] <= xs[-1] <= last):
        return xs
    return [x - outcome.started for x in xs]


def _told(outcome: Outcome) -> str:
    if not outcome.status.ok:
        return "nothing"
    if outcome.value.codec == payload.JSON:
        return outcome.summary.decode()
    entries = f", of which {outcome.summary.decode()}" if outcome.summary else ""
    return f"a pickled value of {size(outcome.value.size)}{entries}; results[…].inner loads it"
