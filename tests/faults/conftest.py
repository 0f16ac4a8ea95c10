"""The trials' two forms, how they count, and the table of what they found.

`MEMENTO_FAULTS=long` selects the long form, which `make faults` runs; otherwise the short one, a part of the tests.
`MEMENTO_FAULTS_TABLE` names the file that the table is written to. A trial that is random takes its seed from `seeds`,
which are printed with what broke: `MEMENTO_FAULTS_SEED=<seed>` begins with that one again.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

FORM = os.environ.get("MEMENTO_FAULTS", "short")
TABLE_VARIABLE = "MEMENTO_FAULTS_TABLE"
SEED_VARIABLE = "MEMENTO_FAULTS_SEED"
PROPERTY = "memento-faults"
LONG_TIMEOUT = 2400
SHORT_TIMEOUT = 300
HERE = Path(__file__).parent
PROMISES = {
    1: "kill -9 at any instant, and power loss, lose nothing finished",
    2: "a broken experiment breaks only itself",
    3: "it never hangs",
    4: "the report names line, configuration and cause",
    5: "Ctrl-C, SIGTERM and SIGKILL of the orchestrator",
    6: "several runs at once on one store",
    7: "no silent wrong result",
    8: "a full or failing disk is an error, not a loss",
    9: "keys are equal for equal values, and different for different ones",
    10: "no silent stale result",
    11: "checkpoints: at most one step repeated",
    12: "secrets are found nowhere",
}
BREAKAGES = 0
"""The number that stands, in place of a promise's, for the library broken on purpose."""

_rows: list[dict[str, Any]] = []


@dataclass
class Trials:
    """Counts the trials of one kind; the test fails at its end when one of them broke the promise, or none was made."""

    promise: int
    trial: str
    many: int = 0
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def held(self) -> None:
        """Count one more trial in which the promise held."""
        self.many += 1

    def broke(self, reason: str) -> None:
        """Count one more trial, in which the promise did not hold; the others go on."""
        self.many += 1
        self.broken.append(reason)

    def note(self, text: str) -> None:
        """Say `text` in the table's last column."""
        self.notes.append(text)


MADE = pytest.StashKey[list[Trials]]()


@pytest.fixture
def size() -> Callable[..., int]:
    """``size(short=40, long=300)``: the count of the form that runs."""
    return lambda *, short, long: long if FORM == "long" else short


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Iterator[Callable[..., Trials]]:
    """``trials(promise=1, trial="kill -9 at a random instant")``: counts what is tried, see `Trials`."""
    made: list[Trials] = []
    request.node.stash[MADE] = made

    def make(*, promise: int, trial: str) -> Trials:
        made.append(Trials(promise, trial))
        return made[-1]

    yield make
    for each in made:
        request.node.user_properties.append((PROPERTY, json.dumps(asdict(each))))


@pytest.fixture
def seeds() -> Iterator[int]:
    """Random numbers without end, each to seed one trial with; say it in `Trials.broke`."""
    first = os.environ.get(SEED_VARIABLE)
    source = random.SystemRandom()

    def endless() -> Iterator[int]:
        if first is not None:
            yield int(first)
        while True:
            yield source.getrandbits(32)

    return endless()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Fail a test whose trials did not all hold, or that tried nothing."""
    result = yield
    for each in pyfuncitem.stash.get(MADE, []):
        if each.broken:
            told = "\n".join([f"{each.trial}: {len(each.broken)} of {each.many} broke the promise", *each.broken[:20]])
            pytest.fail(f"{told}\n({SEED_VARIABLE}=… begins with the seed said above)", pytrace=False)
        if not each.many:
            pytest.fail(f"{each.trial}: nothing was tried", pytrace=False)
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(LONG_TIMEOUT if FORM == "long" else SHORT_TIMEOUT))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what was tried; with several processes, this one hears the reports of all."""
    if report.when == "teardown":
        for name, value in report.user_properties:
            if name == PROPERTY:
                _rows.append({**json.loads(str(value)), "test": report.nodeid})
    elif report.failed and FORM == "long":
        _rows.append({"test": report.nodeid, "failed": True})
    elif report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        _rows.append({"test": report.nodeid, "skipped": reason})


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    target = os.environ.get(TABLE_VARIABLE)
    if target and FORM == "long" and not hasattr(session.config, "workerinput"):
        Path(target).write_text(table(_rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Return what was tried as a page."""
    failed = {row["test"] for row in rows if row.get("failed")}
    skipped = {row["test"]: row["skipped"] for row in rows if "skipped" in row}
    counted = sorted((row for row in rows if "many" in row), key=lambda row: (row["promise"], row["trial"]))
    parts = ["# What the trials found", "", *_circumstances(), ""]
    parts += ["| promise | trial | tried | held | note |", "|---|---|---:|---:|---|"]
    parts += [_line(row, f"{row['promise']}. {PROMISES[row['promise']]}", failed) for row in counted if row["promise"]]
    if silent := failed - {row["test"] for row in counted}:
        parts += ["", "Failed before anything could be counted: " + ", ".join(sorted(silent)) + "."]
    if skipped:
        parts += ["", "Not tried here:", "", *(f"- {test}: {reason}" for test, reason in sorted(skipped.items()))]
    broken = [row for row in counted if row["promise"] == BREAKAGES]
    if broken:
        parts += ["", "## The library broken on purpose", ""]
        parts += ["Each is a change to a copy of the library; the trial named has to fail on it.", ""]
        parts += ["| broken | what | trials | noticed | by |", "|---|---|---:|---:|---|"]
        parts += [_line(row, str(number), failed) for number, row in enumerate(broken, start=1)]
    return "\n".join(parts) + "\n"


def _line(row: dict[str, Any], first: str, failed: set[str]) -> str:
    notes = list(dict.fromkeys(row["notes"]))
    if row["broken"]:
        notes.insert(0, f"**broke**: {row['broken'][0].splitlines()[0]}")
    elif row["test"] in failed:
        notes.insert(0, "**its test failed**")
    cells = [first, row["trial"], str(row["many"]), str(row["many"] - len(row["broken"])), "; ".join(notes)]
    return "| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in cells) + " |"


def _circumstances() -> list[str]:
    commit = _said("git", "rev-parse", "--short", "HEAD") or "unknown"
    changed = " with changes" if _said("git", "status", "--porcelain", "--", "memento", "tests/faults/*.py") else ""
    return [
        "Written by `make faults`, the long form; the short one is part of `make test`. A trial is one run of the "
        "library in processes of its own; it holds when what the promise says is true afterwards.",
        "",
        f"- {datetime.date.today().isoformat()}, commit {commit}{changed}",
        f"- {platform.system()} {platform.release()}, {platform.machine()}, {len(os.sched_getaffinity(0))} processors",
        f"- Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, pytest {pytest.__version__}",
    ]


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
