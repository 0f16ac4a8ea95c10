"""Functions and properties that remember what they returned."""

from memento.memoizing.cache import Cache, memoize
from memento.memoizing.properties import memoized_property
from memento.memoizing.steps import CacheProvider

__all__ = ["Cache", "CacheProvider", "memoize", "memoized_property"]
