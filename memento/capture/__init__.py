"""Functions that remember what they were given and what they gave, in lists, files, callbacks and over the web."""

from memento.capture.files import memfile, read_memfile
from memento.capture.lists import memfunc, memlist
from memento.capture.runner import Runner
from memento.capture.timing import capture_time, time_taken
from memento.capture.web import memweb, send_unsent

__all__ = [
    "Runner",
    "capture_time",
    "memfile",
    "memfunc",
    "memlist",
    "memweb",
    "read_memfile",
    "send_unsent",
    "time_taken",
]
