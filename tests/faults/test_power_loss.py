"""Promise 1: what was reported as stored is there after a power cut, when what was never synced is not."""

from __future__ import annotations

import contextlib
import fcntl
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memento import open_store
from tests.faults import work
from tests.faults.conftest import Trials
from tests.faults.power import Disk
from tests.faults.shim import Change, Mode, Shim
from tests.faults.trial import run, start

COUNT = 60
KEYS = {key.hex(): str(x) for x, key in enumerate(work.keys_of(COUNT))}
RESUMED_EVERY = 25


def record(folder: Path, rng: random.Random, *, network: bool) -> list[Change]:
    """Return all that is done to a disk by a run that is killed, and one that goes on and ends."""
    folder.mkdir()
    (folder / "disk").mkdir()
    shim = Shim(folder, folder / "disk")
    shim.arm(Mode.RECORD)
    argument = work.options(shim.root / "store", count=COUNT, marks=str(shim.root / "marks"), network=network)
    killed = start(folder, work.SCRIPT, argument, env=shim.env)
    killed.wait_until((shim.root / "marks").exists)
    time.sleep(rng.random() * 0.1)
    with open(shim.trace, "rb") as trace:
        fcntl.flock(trace, fcntl.LOCK_EX)  # nobody is between doing something and writing it down
        killed.kill_everything(rng)
    ended = run(folder, work.SCRIPT, argument, env=shim.env)
    assert ended.status == 0, ended.err
    return list(shim.changes())


@pytest.mark.parametrize("network", [False, True], ids=["write-ahead log", "rollback journal"])
def test_power_is_cut_at_a_random_instant(
    network: bool, tmp_path: Path, trials: Callable[..., Trials], size: Callable[..., int], seeds: Iterator[int]
) -> None:
    journal = "the rollback journal of network file systems" if network else "the write-ahead log"
    counted = trials(promise=1, trial=f"power cut at a random instant, {journal}")
    reported_at_all = 0
    for _ in range(size(short=1, long=6)):
        seed = next(seeds)
        rng = random.Random(seed)
        changes = record(tmp_path / str(seed), rng, network=network)
        cuts = sorted(rng.randrange(len(changes) + 1) for _ in range(size(short=60, long=150)))
        disk, reported = Disk(), set[str]()
        position = 0
        for number, cut in enumerate(cuts):
            for change in changes[position:cut]:
                disk.follow(change)
                if change.path == "marks" and change.op == "write":
                    reported.add(KEYS[change.data.decode().strip()])
            position = cut
            reported_at_all += len(reported)
            image = tmp_path / str(seed) / "image"
            how = disk.leave(image, rng)
            reason = _wrong_in(image, reported, resume=number % RESUMED_EVERY == 0)
            if reason is None:
                counted.held()
            else:
                counted.broke(f"seed {seed}, cut at change {cut} of {len(changes)}, {how}: {reason}")
            shutil.rmtree(image)
    assert reported_at_all > 0
    counted.note(
        "of what was not synced each name and each sector there, gone, zeroed or torn; "
        f"{reported_at_all:,} results had been reported as stored"
    )


def _wrong_in(image: Path, reported: set[str], *, resume: bool) -> str | None:
    if not (image / "store").exists():
        return f"the store is gone with {reported}" if reported else None
    try:
        have, wrong = work.stored(image / "store", COUNT)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if wrong or not have >= reported:
        return f"lost {reported - have}, wrong {wrong}"
    if resume:
        ended = run(image, work.SCRIPT, work.options(image / "store", count=COUNT))
        if ended.status != 0 or not ended.out.startswith(f"{COUNT} of {COUNT} right, {len(have)} from the store"):
            return f"the next run: {ended.status} {ended.out}{ended.err}"
    return None


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_ledger_whose_beginning_was_being_written_is_mended_and_not_taken_for_anothers(
    mode: str, tmp_path: Path
) -> None:
    assert run(tmp_path, work.SCRIPT, work.options(tmp_path / "store", count=COUNT)).status == 0
    ledger = tmp_path / "store" / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(ledger, isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("PRAGMA cache_size = 1")  # what does not fit is written before the transaction ends
        database.execute("PRAGMA user_version = 2")
        database.execute("BEGIN")
        database.execute("PRAGMA user_version = 2")
        database.execute("INSERT INTO claims SELECT randomblob(8), zeroblob(90000) FROM outcomes")
        shutil.copytree(ledger.parent, tmp_path / "cut")
    with open(tmp_path / "cut" / "ledger.sqlite", "r+b") as file:
        file.write(bytes(512))
    (tmp_path / "cut" / "ledger.sqlite-shm").unlink(missing_ok=True)
    with open_store(tmp_path / "cut") as store:
        assert len(store.find(work.keys_of(COUNT))) == COUNT
