"""`memento dashboard [STORE]`: the store as pages in a browser."""

from __future__ import annotations

import argparse
import webbrowser
from typing import Any

from memento.cli.arguments import add_store

ABOUT = """\
Show a store in a browser, until Ctrl-C: its experiments and runs, how far they are, a table of each experiment to sort
and filter, plots of results over parameters and of metrics, and of each configuration everything that is known: its
parameters, result, failure, attempts, metrics, output and files. Nothing is changed, and no result is unpickled.

Whoever has the address that is printed can read all of it; without the token in it, nobody can. To look at a store on
another machine, as on a login node, start it there, and here: ssh -L 8050:localhost:8050 THAT_MACHINE
"""
CODES = "exit status: 0, ended by Ctrl-C; 1, there is no store, no port, or no Dash; 2, wrong arguments"


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "dashboard",
        help="show the store in a browser",
        description=ABOUT,
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_store(parser)
    parser.add_argument("--host", default="127.0.0.1", help="where to listen: by default for this machine alone")
    parser.add_argument("--port", type=_port, default=8050, help="8050 by default; 0 is any port that is free")
    parser.add_argument("--open", action="store_true", help="open it in a browser")
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 1 << 16:
        raise ValueError
    return port


_port.__name__ = "port"  # what argparse calls a text that is none


def run(options: argparse.Namespace) -> int:
    """Serve the pages until Ctrl-C."""
    from memento.dashboard.serving import Dashboard  # late: it takes Dash a second to load, and it may be missing

    shown = Dashboard(options.store, host=options.host, port=options.port)
    print(f"{shown.address}\nCtrl-C ends it.", flush=True)
    if options.open:
        webbrowser.open(shown.address)
    try:
        shown.serve()
    except KeyboardInterrupt:
        print()
    return 0
