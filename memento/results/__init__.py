"""What a run gave: results one by one, chosen, compared, as tables."""

from memento.results.collection import Results
from memento.results.metrics import Metrics
from memento.results.reading import Reader
from memento.results.result import Attempt, MemoryUsage, Result

__all__ = ["Attempt", "MemoryUsage", "Metrics", "Reader", "Result", "Results"]
