"""What one experiment took, and no other."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from memento.executors.processes.worker_pool import usable_cpus
from memento.measure import Meter

MEGABYTE = 2**20


def test_the_peak_of_memory_is_the_experiments_own() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux lets a process reset its high-water mark")
    meter = Meter()
    meter.start()
    large = bytearray(200 * MEGABYTE)
    del large
    first = meter.stop()
    meter.start()
    second = meter.stop()
    meter.close()
    assert first.hardware_peak - second.hardware_peak > 150 * MEGABYTE
    assert first.virtual_peak >= first.hardware_peak


def test_waiting_takes_time_on_the_wall_and_none_on_the_cpu() -> None:
    meter = Meter()
    meter.start()
    time.sleep(0.2)
    waited = meter.stop()
    meter.start()
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    worked = meter.stop()
    meter.close()
    assert waited.runtime >= 0.2
    assert waited.cpu_time < 0.1
    assert worked.cpu_time >= 0.2
    assert abs(waited.started - time.time()) < 60


def test_the_cpus_of_a_process_are_those_it_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= usable_cpus() <= len(allowed)


def test_experiments_that_take_no_time_have_the_memory_of_a_moment_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1000))
    monkeypatch.setattr(time, "perf_counter", lambda: next(now) * 1e-5)
    meter = Meter()
    peaks = []
    for _ in range(20):
        meter.start()
        peaks.append(meter.stop().hardware_peak)
    meter.close()
    assert len(set(peaks)) == 1
    assert peaks[0] > MEGABYTE
