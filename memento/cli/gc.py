"""`memento gc [STORE]`: what in a store nothing asks for any more, and on demand out of the way, and then for good."""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from memento.cli.arguments import add_store
from memento.store.garbage import Garbage, purge, trashed
from memento.store.opening import open_store
from memento.store.survey import survey
from memento.wording import plural, size

DAY = 86_400.0

ABOUT = """\
Say which files in a store belong to nothing any more, and how large they are. Nothing is changed without --move, which
puts them into the store's trash, and --purge, which removes for good what lies there. The record of every experiment
stays whatever is collected, and so does every result that can be found by running a matrix.
"""
CODES = "exit status: 0, done; 1, there is no store, it is damaged, or a run goes on over it; 2, wrong arguments"


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "gc",
        help="find files that nothing asks for any more, and make room",
        description=ABOUT,
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_store(parser)
    parser.add_argument(
        "--superseded",
        type=_days,
        metavar="DAYS",
        help="also large values and artifacts that newer results have replaced, of results older than so many days",
    )
    parser.add_argument("--move", action="store_true", help="move what is found into the trash of the store")
    parser.add_argument("--purge", action="store_true", help="then remove for good what lies in the trash")
    parser.add_argument("--all", action="store_true", help="name every file and folder")
    parser.set_defaults(run=run)


def _days(text: str) -> float:
    days = float(text)
    if not 0 <= days < float("inf"):
        raise ValueError
    return days


_days.__name__ = "number of days"  # what argparse calls a text that is none


def run(options: argparse.Namespace) -> int:
    """Find, and with the options move and remove; say what was done."""
    before = None if options.superseded is None else time.time() - DAY * options.superseded
    with survey(options.store) as seen:  # also before anything is moved: a store would be made where there is none
        found, left = ([], 0) if options.move else seen.garbage(before)
    if options.move:
        with open_store(options.store) as store:
            found = store.collect(dry_run=False, superseded_before=before)
    _tell(found, each=options.all)
    if left:
        print(f"what {plural(left, 'dead run')} left is not among it: --move takes that in first, as the next run does")
    if options.move and found:
        print("moved to the trash")
    if options.purge:
        print(f"{size(purge(seen.root))} removed for good")
    elif trash := trashed(seen.root):
        print(f"{size(trash)} lie in the trash; --purge removes them for good")
    return 0


def _tell(found: Sequence[Garbage], *, each: bool) -> None:
    by_reason: dict[str, list[Garbage]] = defaultdict(list)
    for item in found:
        by_reason[item.why].append(item)
    for why, items in by_reason.items():
        print(f"{plural(len(items), 'path')}, {size(sum(item.bytes for item in items))}: each {why}")
        for item in items if each else ():
            print(f"  {item.path}")
    print(f"{plural(len(found), 'path')}, {size(sum(item.bytes for item in found))} in all that nothing asks for")
