"""Promise 6: several runs at once over one store execute each configuration once, and all of them get all results."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import work
from tests.faults.conftest import FORM, Trials
from tests.faults.trial import Running, kept, logged, start

COUNT = 400
BOUND = 90.0
SHORT = [(2, False), (4, True)]
LONG = [(2, False), (2, True), (4, False), (4, True)]


@pytest.mark.parametrize(("many", "kill"), LONG if FORM == "long" else SHORT)
def test_runs_at_once(
    many: int, kill: bool, tmp_path: Path, trials: Callable[..., Trials], size: Callable[..., int],
    seeds: Iterator[int],
) -> None:  # fmt: skip
    with_kill = "one of them killed" if kill else "nobody killed"
    counted = trials(promise=6, trial=f"{many} runs at once, {COUNT} experiments, {with_kill}")
    again = 0
    for _ in range(size(short=1, long=6)):
        seed = next(seeds)
        folder = tmp_path / str(seed)
        folder.mkdir()
        reason = _run(folder, random.Random(seed), many, kill=kill)
        again += logged(folder, "begun").total() - COUNT
        if reason is None:
            counted.held()
        else:
            counted.broke(f"seed {seed}: {reason}")
    counted.note(f"{again} executed twice" + (", all of them in flight when their run was killed" if kill else ""))


def _run(folder: Path, rng: random.Random, many: int, *, kill: bool) -> str | None:
    """Return what is wrong with `many` runs over one store, or None."""
    runs = []
    for _ in range(many):
        method = rng.choice(work.METHODS)
        runs.append(start(folder, work.SCRIPT, work.options(folder / "store", method, count=COUNT)))
        time.sleep(rng.random() * 0.1)
    reasons = []
    killed = runs.pop() if kill else None
    if killed is not None:
        some = rng.randrange(COUNT // 2)
        killed.wait_until(lambda: logged(folder, "begun").total() > some)
        killed.kill_everything(rng)
    for running in runs:
        reasons += _wrong_with(running)
    begun = logged(folder, "begun")
    # What the killed run had in flight: begun, and not known to have been kept.
    lost = set() if killed is None else set(logged(folder, "begun", killed.tag)) - kept(folder, killed.tag)
    if repeated := {key for key, times in begun.items() if times > 1 + (key in lost)}:
        reasons.append(f"executed twice: {sorted(repeated)}")
    if len(begun) != COUNT:
        reasons.append(f"{len(begun)} of {COUNT} were executed")
    have, wrong = work.stored(folder / "store", COUNT)
    if wrong or len(have) != COUNT:
        reasons.append(f"stored {len(have)}, wrong {wrong}")
    return "; ".join(reasons) or None


def _wrong_with(running: Running) -> list[str]:
    ended = running.finish(BOUND)
    left = running.left_over()
    if ended.status != 0 or not ended.out.startswith(f"{COUNT} of {COUNT} right") or ended.err or left:
        return [f"a run ended with {ended.status}: {ended.out}{ended.err}, left {left}"]
    return []


def test_two_runs_at_once_take_little_longer_than_one(tmp_path: Path) -> None:
    """Whoever comes second must not go through what the first has done a few at a time."""

    def seconds(many: int) -> float:
        folder = tmp_path / str(many)
        folder.mkdir()
        begun = time.monotonic()
        argument = work.options(folder / "store", "serial", count=COUNT)
        for running in [start(folder, work.SCRIPT, argument) for _ in range(many)]:
            assert _wrong_with(running) == []
        return time.monotonic() - begun

    assert seconds(2) < 5 * seconds(1)
