"""A remembered call costs a small multiple of the least that it can: of a plain call, of a locked write."""

from __future__ import annotations

import fcntl
import os
import time

import pytest

from memento import memfile, memlist

# Once is enough: what is measured does not depend on the version of Python.
pytestmark = pytest.mark.slow


def cost(func, calls=2_000, blocks=25):
    """Return the seconds of a call, in the block of calls that noise has touched least."""
    best = float("inf")
    for block in range(blocks):
        begun = time.perf_counter()
        for number in range(calls):
            func(block * calls + number, factor=3)
        best = min(best, time.perf_counter() - begun)
    return best / calls


def ratio(func, limit, calls):
    """Return how many times the cost of `limit` a call costs, in the round that noise has touched least."""
    return min(cost(func, calls, blocks=5) / cost(limit, calls, blocks=5) for _ in range(6))


def work(number, factor):
    return {"product": number * factor}


def test_a_list_costs_as_much_as_some_plain_calls():
    data = []

    assert ratio(memlist(data)(work), work, calls=2_000) < 40
    assert len(data) == 60_000


def test_a_file_costs_as_much_as_some_locked_writes(tmp_path):
    descriptor = os.open(tmp_path / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def locked_write(number, factor):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, b'{"number":1000,"factor":3,"product":3000}\n')
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    assert ratio(memfile(tmp_path / "results.jsonl")(work), locked_write, calls=400) < 20
    os.close(descriptor)


def test_to_skip_costs_no_more_in_a_large_file_than_in_a_small_one(tmp_path):
    def skipping(name, lines):
        path = tmp_path / name
        path.write_text("".join(f'{{"number":{n},"factor":3,"product":{3 * n}}}\n' for n in range(lines)))
        func = memfile(path, skip=True)(lambda number, factor: 1 / 0)
        func(0, 3)  # reads what there is
        return cost(lambda number, factor: func(number % 100, factor), calls=200, blocks=10)

    assert skipping("large", 50_000) < 10 * skipping("small", 100)
