"""Promise 1: kill -9 of everything, at any instant, loses nothing finished and repeats only what was in flight."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults import work
from tests.faults.conftest import FORM, Trials
from tests.faults.shim import Kind, Mode, Shim, When
from tests.faults.trial import kept, logged, start

COUNT = 40
CALLS_COUNT = 8
BOUND = 60.0
ENDED = f"{COUNT} of {COUNT} right"


class Campaign:
    """One store that is killed again and again, until everything is in it."""

    def __init__(self, folder: Path, method: str) -> None:
        folder.mkdir()
        self.folder, self.method, self.store = folder, method, folder / "store"
        self.have: set[str] = set()
        self.argument = work.options(self.store, method, count=COUNT)

    def after(self, before: dict[str, int]) -> str | None:
        """Return what is wrong after a kill, given how often each had begun before it; None if nothing is."""
        repeated = {key for key in self.have if logged(self.folder, "begun")[key] > before.get(key, 0)}
        if repeated:
            return f"stored, and run again: {repeated}"
        self.have, wrong = work.stored(self.store, COUNT)
        if wrong:
            return f"wrong: {wrong}"
        if lost := kept(self.folder) - self.have:
            return f"finished, and not in the store: {lost}"
        return None

    def conclude(self) -> str | None:
        """Run to the end undisturbed; return what is wrong then."""
        before = dict(logged(self.folder, "begun"))
        running = start(self.folder, work.SCRIPT, self.argument)
        ended = running.finish(BOUND)
        left = running.left_over()
        if ended.status != 0 or not ended.out.startswith(ENDED) or left:
            return f"the next run: status {ended.status}, left {left}, {ended.out}{ended.err}"
        return self.after(before)


def test_a_kill_at_a_random_instant(
    tmp_path: Path, trials: Callable[..., Trials], size: Callable[..., int], seeds: Iterator[int]
) -> None:
    counted = trials(promise=1, trial="kill -9 of everything at a random instant")
    campaign: Campaign | None = None
    wanted, finished_inside = size(short=40, long=300), 0
    while counted.many < wanted:
        seed = next(seeds)
        rng = random.Random(seed)
        if campaign is None or len(campaign.have) == COUNT:
            campaign = Campaign(tmp_path / str(seed), rng.choice(work.METHODS))
        before = dict(logged(campaign.folder, "begun"))
        running = start(campaign.folder, work.SCRIPT, campaign.argument)
        some = rng.randrange(COUNT // 2)
        if rng.random() < 0.7:
            running.wait_until(lambda: logged(campaign.folder, "begun").total() - sum(before.values()) > some)  # noqa: B023
            time.sleep(rng.random() * 0.005)
        else:
            time.sleep(rng.uniform(0.02, 0.4))
        finished_inside += running.process.poll() is not None
        running.kill_everything(rng)
        reason = campaign.after(before)
        if reason is None and len(campaign.have) == COUNT:
            reason = campaign.conclude()
        if reason is None:
            counted.held()
        else:
            counted.broke(f"seed {seed}, {campaign.method}: {reason}")
            campaign = None
    if campaign is not None and (reason := campaign.conclude()):
        counted.broke(f"{campaign.method}: {reason}")
    counted.note(f"executors {', '.join(work.METHODS)}; {finished_inside} were over before the kill came")


def test_a_kill_at_each_call(tmp_path: Path, trials: Callable[..., Trials], seeds: Iterator[int]) -> None:
    """At every write, sync, rename, truncation, removal and creation that a run makes below its store."""
    (tmp_path / "counting").mkdir()
    shim = Shim(tmp_path, tmp_path / "counting" / "store")
    shim.arm(Mode.COUNT)
    argument = work.options(shim.root, count=CALLS_COUNT)
    running = start(tmp_path / "counting", work.SCRIPT, argument, env=shim.env)
    assert running.finish(BOUND).status == 0
    calls = shim.state.count
    assert calls > 100, "the shim does not see SQLite's writes"
    everything = trials(promise=1, trial="kill -9 of everything at each write, sync and rename")
    one = trials(promise=1, trial="kill -9 of the one process at each write, sync and rename")
    seed = next(seeds)
    rng = random.Random(seed)
    cases = [(Mode.FREEZE_ALL, call) for call in range(1, calls + 1)]
    cases += [(Mode.KILL_CALLER, call) for call in range(1, calls + 1, 3)]
    for mode, call in cases if FORM == "long" else [*rng.sample(cases[:calls], 10), *rng.sample(cases[calls:], 5)]:
        when = rng.choice(list(When))
        counted = everything if mode is Mode.FREEZE_ALL else one
        reason = _kill_at(tmp_path / f"{mode.name}-{when.name}-{call}", mode, when, call)
        if reason is None:
            counted.held()
        else:
            counted.broke(f"seed {seed}: {reason}")
    everything.note(f"a run makes {calls} of them; the kill comes before, halfway or after")
    one.note("orchestrator or worker, whoever makes the call; the run goes on or ends, and the next one resumes")


def _kill_at(folder: Path, mode: Mode, when: When, call: int) -> str | None:
    """Return what is wrong after a kill at the call of that number, or None."""
    folder.mkdir()
    store = folder / "store"
    shim = Shim(folder, store)
    shim.arm(mode, call, when=when, kinds=Kind.CHANGES)
    argument = work.options(store, count=CALLS_COUNT, run={"retries": {"killed": 1}})
    running = start(folder, work.SCRIPT, argument, env=shim.env)
    if mode is Mode.FREEZE_ALL:
        running.wait_until(lambda: shim.fired, BOUND)
    else:
        running.finish(BOUND)
        if left := running.left_over():
            return f"{shim.what}: left behind {left}"
    running.kill_everything()
    where = f"{mode.name} {when.name} call {call}, {shim.what}"
    safe = kept(folder)
    have, wrong = work.stored(store, CALLS_COUNT)
    if wrong or not have >= safe:
        return f"{where}: wrong {wrong}, lost {safe - have}"
    before = logged(folder, "begun")
    again = start(folder, work.SCRIPT, argument)
    ended = again.finish(BOUND)
    if ended.status != 0 or not ended.out.startswith(f"{CALLS_COUNT} of {CALLS_COUNT} right"):
        return f"{where}: the next run: {ended.status} {ended.out}{ended.err}"
    if repeated := {key for key in logged(folder, "begun") - before if key in have}:
        return f"{where}: stored, and run again: {repeated}"
    if left := again.left_over():
        return f"{where}: the next run left {left}"
    return None
