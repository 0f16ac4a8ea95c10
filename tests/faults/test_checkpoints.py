"""Promise 11: whoever is killed, at most one step of each running experiment is repeated after its last checkpoint."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults import work
from tests.faults.conftest import Trials
from tests.faults.trial import Running, logged, start

COUNT = 4
BOUND = 60.0
METHODS = (*work.PROCESSES, "serial")


class Campaign:
    """One store whose runs are killed until every experiment has made all its steps."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        folder.mkdir()
        self.folder, self.rng, self.method = folder, rng, rng.choice(METHODS)
        # Retried in the same run where a worker is killed alone.
        self.argument = work.options(
            folder / "store", self.method, count=COUNT, experiment="stepping", run={"retries": {"killed": 1000}}
        )

    def kill_once(self) -> bool:
        """Run, and kill at a random instant everything or one worker; return whether all was done before that."""
        before = logged(self.folder, "begun").total()
        some = before + self.rng.randrange(work.STEPS)
        running = start(self.folder, work.SCRIPT, self.argument)
        running.wait_until(lambda: logged(self.folder, "begun").total() > some, BOUND)
        time.sleep(self.rng.random() * 0.006)
        alone = self.method != "serial" and self.rng.random() < 0.5
        workers = self._running_workers(running)
        if alone and workers:
            os.kill(self.rng.choice(workers), signal.SIGKILL)
            running.wait_until(lambda: False, self.rng.random() * 0.2)
        over = running.process.poll() is not None
        running.kill_everything(self.rng)
        return over

    def _running_workers(self, running: Running) -> list[int]:
        """Return the processes that have begun a step in this run and still live."""
        lines = (self.folder / "log").read_text().splitlines()
        begun = {int(line.split(" ")[2]) for line in lines if line.endswith(running.tag)}
        return sorted(begun & set(running.processes()))

    def repeated(self) -> list[str]:
        """Return the steps that were made more often than the kills allow.

        A process that dies in an experiment may have finished one step without its checkpoint, or be within one: that
        step, its last, may be made again, once for each such death.
        """
        last: dict[tuple[str, str], str] = {}
        for line in (self.folder / "log").read_text().splitlines():
            _, key, pid, _, tag = line.split(" ")
            last[pid, tag] = key
        deaths = Counter(last.values())
        return [key for key, times in logged(self.folder, "begun").items() if times > 1 + deaths[key]]


def test_a_kill_between_checkpoints(
    tmp_path: Path, trials: Callable[..., Trials], size: Callable[..., int], seeds: Iterator[int]
) -> None:
    counted = trials(promise=11, trial=f"kills during {work.STEPS} steps with a checkpoint after each")
    wanted, repeated = size(short=15, long=200), 0
    while counted.many < wanted:
        seed = next(seeds)
        campaign = Campaign(tmp_path / str(seed), random.Random(seed))
        over = False
        while not over and counted.many < wanted:
            over = campaign.kill_once()
            if again := campaign.repeated():
                counted.broke(f"seed {seed}, {campaign.method}: made again though their checkpoint was there: {again}")
                over = True
            elif not over:
                counted.held()
        ended = start(campaign.folder, work.SCRIPT, campaign.argument).finish(BOUND)
        again = campaign.repeated()
        if ended.status != 0 or not ended.out.startswith(f"{COUNT} of {COUNT} right") or again:
            counted.broke(f"seed {seed}, {campaign.method}: at the end {ended.status} {ended.out}{ended.err} {again}")
        begun = logged(campaign.folder, "begun")
        repeated += begun.total() - len(begun)
    counted.note(
        f"of everything, or of one worker; executors {', '.join(METHODS)}; {repeated} steps repeated in all, "
        "none but the last of a process that died"
    )
