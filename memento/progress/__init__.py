"""Shows how far a run is: a bar on a terminal, lines in a file, HTML in a notebook."""

from memento.progress.choosing import make_progress

__all__ = ["make_progress"]
