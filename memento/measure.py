"""What one experiment took: time on the wall, time on the CPU, peaks of memory."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import time
from typing import NamedTuple

# Below this the 10 µs of reading /proc/self/status would show in the experiment's cost.
WORTH_A_LOOK = 0.005
# What is over sooner than this has no time for a child process and touches a few megabytes at most. Of experiments that
# quick the memory is looked at now and then, `LOOK_EACH` seconds apart: asking for it would take longer than they do.
QUICK = 0.0003
LOOK_EACH = 0.01
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Usage(NamedTuple):
    """Seconds and bytes; a peak of 0 was not measured."""

    started: float
    runtime: float
    cpu_time: float
    hardware_peak: int
    virtual_peak: int


class Meter:
    """Measures one experiment after another.

    Linux lets a process reset its own high-water mark of resident memory (`/proc/self/clear_refs`, value 5), so the
    peak belongs to the experiment and not to the worker's whole life. The peak of virtual memory cannot be reset:
    where it did not grow during the experiment, the size at its end is taken.

    An experiment that takes less than `QUICK` seconds may have the peaks of one that ended up to `LOOK_EACH` before.
    """

    def __init__(self) -> None:
        self._reset = self._status = self._statm = -1
        with contextlib.suppress(OSError):
            self._reset = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
            self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
            self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._virtual_before = 0
        self._peaks = 0, 0
        self._looked = -LOOK_EACH
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._children = children.ru_utime + children.ru_stime
        # Among threads the process's clock would charge everybody's work to each.
        self._alone = threading.current_thread() is threading.main_thread()
        self._cpu_clock = time.process_time if self._alone else time.thread_time

    def start(self) -> None:
        """Begin with the next experiment."""
        if self._reset >= 0 and time.perf_counter() - self._looked >= LOOK_EACH:
            try:
                os.pwrite(self._reset, b"5", 0)
            except OSError:  # some sandboxes forbid it: the peak is then that of the whole process
                self._reset = -1
        self._cpu = self._cpu_clock()
        self._started = time.time()
        self._begun = time.perf_counter()

    def stop(self) -> Usage:
        """Return what has been used since `start`."""
        ended = time.perf_counter()
        runtime = ended - self._begun
        cpu_time = self._cpu_clock() - self._cpu
        if runtime >= QUICK or ended - self._looked >= LOOK_EACH:
            self._looked = ended if runtime < QUICK else -LOOK_EACH  # what it has grown to is not the next one's
            children = resource.getrusage(resource.RUSAGE_CHILDREN)
            # Between two experiments no child is waited for: the next one begins with this.
            before, self._children = self._children, children.ru_utime + children.ru_stime
            if self._alone:
                cpu_time += self._children - before
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
            self._peaks = peak, self._virtual_peak(runtime)
        return Usage(self._started, runtime, cpu_time, *self._peaks)

    def _virtual_peak(self, runtime: float) -> int:
        if self._statm < 0:
            return 0
        if runtime < WORTH_A_LOOK:
            return int(os.pread(self._statm, 64, 0).split(b" ", 1)[0]) * self._page
        text = os.pread(self._status, 4096, 0)
        peak, now = (int(text.split(name, 1)[1].split(None, 1)[0]) * 1024 for name in (b"VmPeak:", b"VmSize:"))
        grew = peak > self._virtual_before
        self._virtual_before = max(self._virtual_before, peak)
        return peak if grew else now

    def close(self) -> None:
        """Close the files under /proc."""
        for descriptor in (self._reset, self._status, self._statm):
            if descriptor >= 0:
                os.close(descriptor)
        self._reset = self._status = self._statm = -1
