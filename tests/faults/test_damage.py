"""Promise 7: no silent wrong result, whatever bit flips and wherever a file is cut."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import trial
from tests.faults.conftest import Trials
from tests.faults.damage import AGAIN, COUNT, LOGGED, SCRIPT, SETTLED, SPOOLED, Damage, damage

AT_ONCE = 10  # stores that one process reads, one after another
AS_STORED = {SETTLED: [2] * AGAIN + [1] * (COUNT - AGAIN), SPOOLED: [1] * COUNT, LOGGED: [1] * COUNT}
KINDS = {
    SETTLED: "bits flipped in, and cuts of, the ledger and the files beside it",
    SPOOLED: "bits flipped in, and cuts of, the spools of a killed run",
    LOGGED: "bits flipped in, and cuts of, the write-ahead log of a killed run",
}


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_and_costs_the_damaged_entry_only(
    kind: str, tmp_path: Path, size: Callable[..., int], trials: Callable[..., Trials], seeds: Iterator[int]
) -> None:
    count = size(short=40, long=700) if kind == SETTLED else size(short=15, long=150)
    found = trials(promise=7, trial=KINDS[kind])
    whole = tmp_path / kind
    whole.mkdir()
    assert trial.run(tmp_path, SCRIPT, kind, whole).status == 0
    shutil.copytree(whole, tmp_path / "read")
    assert trial.run(tmp_path, SCRIPT, "facts", tmp_path / "read", whole).status == 0
    met: Counter[str] = Counter()
    numbers = [next(seeds) for _ in range(count)]
    for start in range(0, count, AT_ONCE):
        some = numbers[start : start + AT_ONCE]
        folders = [tmp_path / f"{kind}-{number}" for number in some]
        done = []
        for number, folder in zip(some, folders, strict=True):
            shutil.copytree(whole, folder)
            done.append(damage(folder / "store", kind, random.Random(number)))
        ended = trial.run(tmp_path, SCRIPT, "read", *folders, seconds=120)
        assert ended.status == 0, f"seeds {some}: {ended.err}"
        lines = [line for line in ended.out.splitlines() if line.startswith('{"refused"')]
        executed = trial.logged(tmp_path, "begun")
        for number, folder, what, line in zip(some, folders, done, lines, strict=True):
            again = {int(key.partition(":")[2]): n for key, n in executed.items() if key.startswith(f"{folder.name}:")}
            verdict, wrong = judge(what, json.loads(line), again)
            met[verdict] += 1
            if wrong:
                found.broke(f"seed {number}, {what.what}: {wrong}")
            else:
                found.held()
            shutil.rmtree(folder)
    found.note(", ".join(f"{n} {verdict}" for verdict, n in met.most_common()))


def judge(done: Damage, said: dict[str, Any], executed: dict[int, int]) -> tuple[str, str]:
    """Return how the damage showed, and what is wrong with that, if anything is.

    Every value that was read has to be the one that was stored last, or one that was computed anew; what was computed
    anew is what the damage hit, and nothing else.
    """
    if said["refused"] is not None:
        clear = "nothing was deleted" in said["refused"] or "left untouched" in said["refused"]
        return "refused with an error", "" if clear else said["refused"]
    expected = AS_STORED[done.kind]
    damaged = {index for index, got in enumerate(said["first"]) if got == "damaged"}
    for index, got in enumerate(said["second"]):
        if got != (3 if index in executed else expected[index]):
            return "wrong", f"configuration {index} gives {got} in the end, where {expected[index]} was stored: {said}"
    for index, got in enumerate(said["first"]):
        if index not in damaged and got != (3 if index in executed else expected[index]):
            return "wrong", f"configuration {index} gives {got}, where {expected[index]} was stored: {said}"
    if any(times > 1 for times in executed.values()) or not damaged <= executed.keys():
        return "wrong", f"executed {executed}, damaged {damaged}"
    # What a killed run had stored is in its spools as well, until the next has taken it in.
    if not done.cut and len(executed) > (0 if done.kind == LOGGED else 1):
        return "wrong", f"one bit cost {sorted(executed)}: {said}"
    if executed:
        return "computed anew", ""
    return ("reported" if said["warned"] else "in unused bytes"), ""
