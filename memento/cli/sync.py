"""`memento sync [STORE]`: deliver to trackers what is still to be delivered."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from memento.cli.arguments import add_store
from memento.tracking.sync import sync
from memento.wording import plural


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser("sync", help="deliver to trackers what could not be delivered before")
    add_store(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Deliver, and say what was delivered and what was not."""
    done = sync(options.store)
    for problem in done.problems:
        print(problem, file=sys.stderr)
    print(f"{plural(done.delivered, 'configuration')} delivered, {plural(done.left, 'run')} left to deliver")
    return 1 if done.left or done.problems else 0
