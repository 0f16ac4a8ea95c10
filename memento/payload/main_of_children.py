"""The `__main__` of a process that an experiment started: has what the experiment's script has. Run, never imported."""

from memento.payload.children import be_child

globals().update(be_child())
