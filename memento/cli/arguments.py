"""What subcommands take alike."""

from __future__ import annotations

import argparse


def add_store(parser: argparse.ArgumentParser) -> None:
    """Declare the store that a subcommand is about."""
    parser.add_argument("store", nargs="?", help="the store: by default $MEMENTO_CACHE_PATH, or .memento")
