"""Functions and properties that remember what they returned."""

from memento.memoizing.cache import Cache, CacheProvider, memoize
from memento.memoizing.properties import memoized_property

__all__ = ["Cache", "CacheProvider", "memoize", "memoized_property"]
