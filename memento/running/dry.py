"""What a dry run prints: the configurations, what of them is stored, and nothing run."""

from __future__ import annotations

from memento.matrix.configurations import Configurations
from memento.plan import Plan

# A dry run prints and looks up so many configurations, and of more the first few.
LISTED = 1_000_000
SHOWN = 100


def print_head(configurations: Configurations) -> None:
    """Print the beginning of what are too many configurations to list and to look up."""
    print("Running configurations:")
    for config in configurations[:SHOWN]:
        print(f"  {config}")
    print(f"  … and {len(configurations) - SHOWN:,} more")
    print(f"{len(configurations):,} configurations, too many to look each up in the store")
    print("Exiting due to dry run")


def print_dry_run(configurations: Configurations, plan: Plan) -> None:
    """Print every configuration, and what of them is stored."""
    print("Running configurations:")
    for config in configurations:
        print(f"  {config}")
    for note in plan.notes:
        print(note)
    print(plan.summary())
