"""Does one job with one system, once, and prints its figures as a line of JSON.

    python run.py SYSTEM JOB SIZE FOLDER

Called by the interpreter of the system's own environment. The experiments are functions of an importable module, as
exca needs them, and not of a script.
"""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path


def main() -> None:
    """Do what the command line says."""
    system, job, size, folder = sys.argv[1:]
    module = importlib.import_module(system)
    figures = module.JOBS[job](int(size), Path(folder))
    told = version(module.DISTRIBUTION) if module.DISTRIBUTION else ""
    print(json.dumps({**figures, "version": told, "python": sys.version.split()[0]}))


if __name__ == "__main__":
    main()
