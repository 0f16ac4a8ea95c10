"""Records: a hierarchy of keepers with a flat view, in memory or in a collection of experiments on the disk."""

from memento.recording.collection import ExperimentCollection
from memento.recording.keeper import RecordKeeper
from memento.recording.records import Record, Records

__all__ = ["ExperimentCollection", "Record", "RecordKeeper", "Records"]
