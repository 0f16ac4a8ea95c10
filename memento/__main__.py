"""`python -m memento`: the same as the command `memento`."""

import sys

from memento.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
