"""Promise 8: a full or failing disk is an error, not a loss."""

from __future__ import annotations

import errno
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import work
from tests.faults.conftest import Trials
from tests.faults.shim import Kind, Mode, Shim, When
from tests.faults.trial import Running, kept, logged, start

COUNT = 12
LONG = 60
ON_TMPFS = 40
BOUND = 60.0
KEYS = {key.hex(): str(x) for x, key in enumerate(work.keys_of(ON_TMPFS))}
# An uncaught exception of ours, which says what happened to the disk.
SAID = re.compile(
    r"^memento\.errors\.\w+: .*(cannot be (used|made)|No space left on device|Input/output error)",
    re.MULTILINE | re.DOTALL,
)
FAILURES = {
    (name, mode): (number, mode)
    for name, number in (("ENOSPC", errno.ENOSPC), ("EIO", errno.EIO))
    for mode in (Mode.FAIL_ONCE, Mode.FAIL_ALWAYS)
}


def is_an_error_and_no_loss(folder: Path, running: Running, store: Path, count: int) -> str | None:
    """Return what is wrong with a run whose disk failed, now that it does no more; None if nothing is."""
    ended = running.finish(BOUND)
    if ended.status is None:
        return f"hangs: {ended.err}"
    if left := running.left_over():
        return f"left behind: {left}"
    if ended.status == 0 and not ended.out.startswith(f"{count} of {count} right"):
        return f"no error, and {ended.out}"
    if ended.status != 0 and not SAID.search(ended.err):
        return f"ended with {ended.status}, and no error of ours: {ended.err[-1500:]}"
    marks = folder / "marks"
    reported = {KEYS[line] for line in marks.read_text().split()} if marks.exists() else set()
    have, wrong = work.stored(store, count)
    if wrong or not have >= reported | kept(folder):
        return f"lost {(reported | kept(folder)) - have}, wrong {wrong}; it had said: {ended.err[-500:]}"
    before = logged(folder, "begun")
    again = start(folder, work.SCRIPT, work.options(store, count=count))
    ended = again.finish(BOUND)
    if ended.status != 0 or not ended.out.startswith(f"{count} of {count} right") or again.left_over():
        return f"the next run: {ended.status} {ended.out}{ended.err}"
    repeated = have & set(logged(folder, "begun") - before)
    return f"stored, and run again: {repeated}" if repeated else None


# What is done to the disk, and the calls that do it.
DOING = {
    "what is done to the ledger": (Kind.CHANGES, "ledger"),
    "what a worker writes into its spool": (Kind.WRITE, ".spool"),
    "what is done to large values": (Kind.CHANGES, "/blobs"),
    "what is changed at all": (Kind.CHANGES, ""),
    "what is read": (Kind.READ, ""),
}


@pytest.mark.parametrize("doing", DOING)
def test_a_call_fails(
    doing: str, tmp_path: Path, trials: Callable[..., Trials], size: Callable[..., int], seeds: Iterator[int]
) -> None:
    counted = trials(promise=8, trial=f"{doing} fails, once or from then on")
    kinds, only = DOING[doing]
    seed = next(seeds)
    rng = random.Random(seed)
    calls = _count(tmp_path, kinds, only)
    assert calls >= 12
    modes = [way for way in FAILURES.values() if kinds is not Kind.READ or way == (errno.EIO, Mode.FAIL_ONCE)]
    for call in sorted(rng.sample(range(1, calls + 1), min(calls, size(short=4, long=LONG)))):
        number, mode = rng.choice(modes)
        folder = tmp_path / f"{call}-{number}-{mode}"
        folder.mkdir()
        shim = Shim(folder, folder / "store")
        when = rng.choice([When.BEFORE, When.HALFWAY])
        shim.arm(mode, call, kinds=kinds, error=number, when=when, only=only)
        method = rng.choice(work.METHODS)
        argument = work.options(shim.root, method, count=COUNT, marks=str(folder / "marks"))
        running = start(folder, work.SCRIPT, argument, env=shim.env)
        reason = is_an_error_and_no_loss(folder, running, shim.root, COUNT)
        if reason is None:
            counted.held()
        else:
            counted.broke(f"{errno.errorcode[number]} {mode.name} at call {call}, {shim.what}, {method}: {reason}")
    counted.note(f"a run makes {calls}; by ENOSPC and EIO; executors {', '.join(work.METHODS)}")


def _count(folder: Path, kinds: Kind, only: str) -> int:
    (folder / "counting").mkdir()
    shim = Shim(folder / "counting", folder / "counting" / "store")
    shim.arm(Mode.COUNT, kinds=kinds, only=only)
    running = start(folder / "counting", work.SCRIPT, work.options(shim.root, count=COUNT), env=shim.env)
    assert running.finish(BOUND).status == 0
    return int(shim.state.count)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Give a function that makes a disk of so many kilobytes, or makes the one there is that large."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = []

    def of(kilobytes: int) -> Path:
        how = f"size={kilobytes}k" if not made else f"remount,size={kilobytes}k"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", disk], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"this machine does not let tests mount: {done.stderr.strip()}")
        made.append(kilobytes)
        return disk

    yield of
    if made:
        subprocess.run(["umount", disk], check=True)


def test_the_disk_becomes_full(
    tmp_path: Path, trials: Callable[..., Trials], size: Callable[..., int], seeds: Iterator[int],
    small_disk: Callable[[int], Path],
) -> None:  # fmt: skip
    counted = trials(promise=8, trial="a small disk becomes full")
    full = 0
    for _ in range(size(short=4, long=25)):
        seed = next(seeds)
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        kilobytes, method = rng.randrange(24, 1400, 4), rng.choice(work.METHODS)
        store = small_disk(kilobytes) / str(seed)
        argument = work.options(store, method, count=ON_TMPFS, marks=str(folder / "marks"))
        running = start(folder, work.SCRIPT, argument)
        full += running.finish(BOUND).status != 0
        small_disk(20_000)
        reason = is_an_error_and_no_loss(folder, running, store, ON_TMPFS)
        if reason is None:
            counted.held()
        else:
            counted.broke(f"seed {seed}, {kilobytes} kB, {method}: {reason}")
        subprocess.run(["rm", "-rf", store], check=True)
    assert full
    counted.note(f"tmpfs of 24 to 1,400 kB, {full} of them too small; executors {', '.join(work.METHODS)}")
