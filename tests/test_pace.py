"""No worker is without work while there is some, and other runs find some too."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from memento import Memento
from memento.running.pace import Pace


@pytest.mark.parametrize("slots", [1, 2, 3, 4, 8, 64])
@pytest.mark.parametrize("rate", [0.001, 0.5, 1.5, 10, 1000, 30_000])
def test_there_is_room_wherever_a_worker_would_be_idle(
    slots: int, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace()
    pace.note()
    for done in (0, slots, 2 * slots, 3 * slots, 10 * slots, 1000 * slots):
        now = 1000.0 + done / (slots * rate)
        for out in range(2 * slots):
            room = pace.room(slots, done, out)
            assert room > 0 or out >= slots, (done, out)
            if rate >= 1.5:  # each is to find the next one waiting
                assert room >= 2 * slots - out, (done, out)
        if rate <= 0.5 and done >= 2 * slots:
            assert pace.room(slots, done, slots) == 0, "what takes long is left to other runs"


def lasting(context: Any, config: Any) -> None:
    """Takes longer than a second, each another time, and notes from when to when."""
    begun = time.time()
    time.sleep(config.settings.seconds + 0.4 * (config.x % 3))
    with open(config.settings.notes, "a") as file:
        file.write(json.dumps([begun, time.time()]) + "\n")


@pytest.mark.slow
def test_each_of_four_workers_has_its_next_long_experiment_as_soon_as_it_has_done_one(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    matrix = {"parameters": {"x": list(range(36))}, "settings": {"notes": str(notes), "seconds": 1.1}}
    Memento(lasting, num_workers=4).run(matrix, progress=False)

    spans = sorted(json.loads(line) for line in notes.read_text().splitlines())
    assert len(spans) == 36
    ends = sorted(ended for _, ended in spans)
    idle = sum(begun - ended for (begun, _), ended in zip(spans[4:], ends, strict=False))
    assert idle < 0.02 * sum(ended - begun for begun, ended in spans)
