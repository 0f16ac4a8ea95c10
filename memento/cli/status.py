"""`memento status [STORE]`: what is stored, what failed and why, what goes on now, and in which jobs of a cluster."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from memento.cli.arguments import add_store
from memento.overview import DIED, Counts, FailureOverview, Overview, RunOverview, overview
from memento.task import Failure
from memento.wording import duration, node_and_job, one_line, plural

SHOWN = 20
LONGEST_TEXT = 60
LONGEST_LINE = 2000  # where it is no terminal, whoever reads it can cut it
GAP = "  "

ABOUT = """\
Say what is in a store and what goes on over it: how many configurations of each experiment are stored, failed (and of
what), running or waiting; its runs; of runs in a Slurm cluster the jobs, with their nodes, states and exit codes; and
the failures, newest first. Nothing is changed, and no result is opened.

"running" and "waiting" are what runs have begun or taken up. Of a run on this machine or another one that means: what
its workers are at, and what it has handed out to them beyond that. Where the cluster does not answer from here, jobs
are shown as far as they have told themselves, with "?" for their state. "stored" and "failed" of a run are what it
gave, also where a later run has replaced that; one whose process died took as long as anything was written, or longer.
"""
CODES = "exit status: 0, it was told, whatever it was; 1, there is no store, or it cannot be read; 2, wrong arguments"


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "status",
        help="say what is stored, failed, running and waiting",
        description=ABOUT,
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_store(parser)
    parser.add_argument("--all", action="store_true", help=f"show more than {SHOWN} runs, jobs and failures of each")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print how the store stands."""
    most = None if options.all else SHOWN
    seen = overview(options.store, failures=most)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else LONGEST_LINE
    for line in told(seen, most=most, now=time.time()):
        print(line if len(line) <= width else line[: width - 1] + "…")
    return 0


def told(seen: Overview, *, most: int | None, now: float) -> Iterable[str]:
    """Yield the lines; `now` is seconds since the epoch."""
    yield f"{seen.place}: {plural(len(seen.experiments), 'experiment')}, {plural(len(seen.runs), 'run')}"
    if seen.damaged:
        yield f"damaged, and so not stored: {seen.damaged:,}; running the matrix computes that anew"
    if seen.experiments:
        yield ""
        yield from _table(
            ("EXPERIMENT", "STORED", "FAILED", "CANCELLED", "RUNNING", "WAITING", "FAILED OF"),
            [
                (name, *_numbers(counts), f"{counts.cancelled:,}", *_going(counts), _causes(counts))
                for name, counts in seen.experiments.items()
            ],
            right=range(1, 6),
        )
    if seen.runs:
        yield ""
        yield from _table(
            ("RUN", "STATE", "EXPERIMENT", "TO DO", "STORED", "FAILED", "RUNNING", "WAITING", "BEGUN", "TOOK", "BY"),
            [_run(one, now) for one in islice(seen.runs, most)],
            right=range(3, 8),
        )
        yield from _more(len(seen.runs), most, "run")
    for one in seen.runs:
        yield from _jobs(one, most)
    if seen.failures:
        yield ""
        yield from _table(
            ("FAILED", "CAUSE", "EXIT", "NODE", "JOB", "ATTEMPT", "CONFIGURATION", "WHY"),
            [_failure(one, several=len(seen.experiments) > 1) for one in seen.failures],
            right=(5,),
        )
        yield from _more(seen.failed, most, "failure")


def _numbers(counts: Counts) -> tuple[str, str]:
    return f"{counts.stored:,}", f"{counts.failed:,}"


def _going(counts: Counts) -> tuple[str, str]:
    return f"{counts.running:,}", f"{counts.waiting:,}"


def _causes(counts: Counts) -> str:
    return ", ".join(f"{cause} {count:,}" for cause, count in counts.causes.most_common())


def _run(one: RunOverview, now: float) -> Sequence[str]:
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.started))
    ended = now if one.goes_on else one.ended
    took = "?" if ended is None else ("at least " if one.state == DIED else "") + duration(ended - one.started)
    about = one.about
    by = f"{about.get('user', '?')}@{about.get('host', '?')}, process {about.get('pid', '?')}"
    todo = f"{about['todo']:,}" if "todo" in about else "?"
    return one.id, one.state, one.experiment, todo, *_numbers(one.counts), *_going(one.counts), begun, took, by


def _jobs(one: RunOverview, most: int | None) -> Iterable[str]:
    awaited = [job for job in one.jobs if job.standing.running or job.standing.waiting]
    if not one.jobs:
        return
    yield ""
    done = len(one.jobs) - len(awaited)
    yield f"jobs of run {one.id}{'' if one.asked else ' (the cluster does not answer from here)'}:"
    if awaited:
        yield from _table(
            ("JOB", "NODE", "STATE", "EXIT", "DONE", "RUNNING", "WAITING", "CONFIGURATION"),
            [
                (
                    job.standing.job or "-", job.standing.node or "-", job.standing.state, job.standing.exit or "-",
                    f"{job.standing.done:,}", f"{len(job.standing.running):,}", f"{len(job.standing.waiting):,}",
                    one_line("; ".join(job.running[:3]), LONGEST_TEXT),
                )
                for job in islice(awaited, most)
            ],
            right=(4, 5, 6),
        )  # fmt: skip
        yield from _more(len(awaited), most, "job")
    if done:
        yield f"{plural(done, 'job')} delivered everything"


def _failure(one: FailureOverview, *, several: bool) -> Sequence[str]:
    outcome = one.outcome
    failure = outcome.failure or Failure(type="unknown", message="")
    node, job = node_and_job(outcome.host)
    end = "" if failure.signal is None else f"signal {failure.signal}"
    end = end or ("" if failure.exit_code is None else str(failure.exit_code))
    name = f"{one.experiment} {one.text}" if several else one.text
    return (
        outcome.status.value, failure.cause, end or "-", node or "-", job or "-", str(outcome.attempt),
        one_line(name, LONGEST_TEXT), one_line(failure.title, LONGEST_LINE),
    )  # fmt: skip


def _more(count: int, most: int | None, noun: str) -> Iterable[str]:
    if most is not None and count > most:
        yield f"… and {plural(count - most, noun)} more: --all"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Iterable[int]) -> Iterable[str]:
    """Yield aligned lines; the columns in `right` are numbers."""
    numeric = set(right)
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (
            cell.rjust(width) if place in numeric else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield GAP.join(cells).rstrip()
