"""Functions and properties that remember what they returned.

It is not called `memento.memoize`, because that is the decorator: an import of a module binds its name in the package,
and `memento.memoize` would be the one or the other, depending on what was imported first.
"""

from memento.memoizing.cache import Cache, memoize
from memento.memoizing.properties import memoized_property
from memento.memoizing.steps import CacheProvider

__all__ = ["Cache", "CacheProvider", "memoize", "memoized_property"]
