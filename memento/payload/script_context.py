"""Where the user's script is: what a worker takes over, so that an experiment finds there what it would find here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memento.fingerprint.project import with_loaded
from memento.hashing.naming import classes_of_script
from memento.payload.home import main_name
from memento.sources import Source


def whereabouts(sources: Iterable[Source]) -> dict[str, Any]:
    """Return those fields of a `Job` that say it: of the project's files, `sources` are what is to run."""
    return {
        "main": main_name(),
        "classes": classes_of_script(),
        "working_directory": os.getcwd(),
        "import_path": tuple(str(Path(entry).absolute()) for entry in sys.path),
        "arguments": tuple(map(str, sys.argv)),
        "sources": with_loaded(sources),
    }
