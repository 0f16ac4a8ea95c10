"""The `__main__` of a process that an experiment started: has what the experiment's script has."""

from memento.payload.children import be_child

if __name__ == "__mp_main__":  # what multiprocessing calls it
    globals().update(be_child())
