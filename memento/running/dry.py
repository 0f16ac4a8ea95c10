"""What a dry run prints: the configurations, what of them is stored, and nothing run."""

from __future__ import annotations

import sys

from memento.matrix.configurations import Configurations
from memento.plan import Plan
from memento.wording import encodable

# A dry run prints and looks up so many configurations, and of more the first few.
LISTED = 1_000_000
SHOWN = 100


def show(text: str) -> None:
    """Print `text`, whatever characters standard output takes."""
    print(encodable(text, sys.stdout))


def print_head(configurations: Configurations) -> None:
    """Print the beginning of what are too many configurations to list and to look up."""
    show("Running configurations:")
    for config in configurations[:SHOWN]:
        show(f"  {config}")
    show(f"  … and {len(configurations) - SHOWN:,} more")
    show(f"{len(configurations):,} configurations, too many to look each up in the store")
    show("Exiting due to dry run")


def print_dry_run(configurations: Configurations, plan: Plan) -> None:
    """Print every configuration, and what of them is stored."""
    show("Running configurations:")
    for config in configurations:
        show(f"  {config}")
    for note in plan.notes:
        show(note)
    show(plan.summary())
