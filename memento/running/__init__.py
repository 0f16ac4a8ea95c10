"""One run: what is claimed, handed out, taken in, tried again and told, and how it ends."""

from memento.running.session import Session

__all__ = ["Session"]
