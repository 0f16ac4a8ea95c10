"""What a run gave: results one by one, chosen, compared, as tables."""

from memento.results.collection import Results
from memento.results.result import Attempt, MemoryUsage, Metrics, Reader, Result, Stored

__all__ = ["Attempt", "MemoryUsage", "Metrics", "Reader", "Result", "Results", "Stored"]
