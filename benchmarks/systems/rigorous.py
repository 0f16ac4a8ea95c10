"""rigorous-recorder: one record a point, saved at the end."""

from __future__ import annotations

from pathlib import Path

from common import Figures, Timed, check, value_of
from rigorous_recorder import Recorder

DISTRIBUTION = "rigorous-recorder"


def metrics(size: int, folder: Path) -> Figures:
    path = str(folder / "records.pickle")
    with Timed() as timed:
        recorder = Recorder(experiment=1)
        for step in range(size):
            recorder.push(index=step, loss=value_of(step))
        recorder.save_to(path)
    check(len(Recorder.load_from(path)), size)
    return timed.figures()


JOBS = {"metrics": metrics}
