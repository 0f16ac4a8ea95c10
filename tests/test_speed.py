"""The short form of the benchmarks: memento's costs as ratios to the least that the same work can cost, never as times.

`make bench` measures everything, beside the peers; what it found is in benchmarks/RESULTS.md. Here each job is done in
turn with its limit (benchmarks/systems/limit.py), and the best of a few rounds is held to a bound several times what
was measured: it is there for what became quadratic, or is done for each configuration where once for each run would do,
and must hold on a machine that does other things as well.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks import growth, measuring, report, rows
from benchmarks.jobs import JOBS, Job
from benchmarks.measuring import Measured, stages
from benchmarks.peers import GROWTH, LIMIT, OURS
from memento import open_store
from memento.heads import frame_of, pack_head, unpack_head
from memento.overview import overview
from memento.task import Outcome, Status

# Once is enough: what is measured does not depend on the version of Python.
pytestmark = pytest.mark.slow

INTERPRETER = Path(sys.executable)


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "FOLDER", tmp_path)


def figures(system: str, size: int, *names: str) -> Mapping[str, Mapping[str, Any]]:
    job = Job(name="short", stages=names, size=size, systems=(system,))
    return dict(stages(INTERPRETER, system, job))


def ratios_to_limit(size: int, *names: str, rounds: int = 3) -> dict[str, float]:
    """Return how many times the limit's time each stage of memento takes, in the round that noise has touched least."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        ours, limit = figures(OURS, size, *names), figures(LIMIT, size, *names)
        for name in names:
            found[name].append(ours[name]["seconds"] / limit[name]["seconds"])
    return {name: min(some) for name, some in found.items()}


def program(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


# Costs


def test_trivial_experiments_cost_a_small_multiple_of_a_pipe_and_a_transaction() -> None:
    ratios = ratios_to_limit(10_000, "cold", "warm")
    assert ratios["cold"] < 60
    assert ratios["warm"] < 30


def test_a_million_configurations_cost_little_more_than_their_product() -> None:
    assert ratios_to_limit(1_000_000, "eager", rounds=2)["eager"] < 12


def test_a_million_configurations_take_neither_time_nor_memory_until_they_are_used() -> None:
    lazy, eager = figures(OURS, 1_000_000, "lazy")["lazy"], figures(LIMIT, 1_000_000, "eager")["eager"]
    assert lazy["seconds"] < eager["seconds"]
    assert lazy["above"] <= 20


def test_a_key_costs_little_more_than_the_hash_in_it() -> None:
    assert ratios_to_limit(100_000, "keys")["keys"] < 8


def test_a_metric_point_costs_a_small_multiple_of_two_numbers_appended_and_takes_their_room() -> None:
    ours, limit = figures(OURS, 300_000, "metrics")["metrics"], figures(LIMIT, 300_000, "metrics")["metrics"]
    assert ours["seconds"] < 40 * limit["seconds"]
    assert ours["bytes"] < 1.25 * limit["bytes"]


def test_large_arrays_are_stored_once_and_read_back_without_a_copy() -> None:
    found = figures(OURS, 10, "store", "fetch")
    assert found["store"]["bytes"] < 1.01 * 10 * 10_000_000
    assert found["fetch"]["private"] < 1


def test_importing_costs_less_than_starting_python_a_few_times() -> None:
    taken = [(program("pass"), program("import memento"), program("from memento import Memento")) for _ in range(5)]
    assert statistics.median(package / bare for bare, package, _ in taken) < 12
    assert statistics.median(used / bare for bare, _, used in taken) < 60


def test_looking_into_a_store_costs_little_more_than_unpacking_what_is_in_it_once(tmp_path: Path) -> None:
    outcomes = [
        Outcome(
            key=number.to_bytes(8, "little") * 2,
            run=b"run-one!",
            attempt=1,
            status=Status.SUCCEEDED,
            started=1.0,
            runtime=1.0,
        )
        for number in range(20_000)
    ]
    with open_store(tmp_path / "store") as store:
        store.save([frame_of(outcome) for outcome in outcomes])
    heads = [pack_head(outcome) for outcome in outcomes]

    def seconds(work: Callable[[], Any]) -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    def unpack() -> None:
        for head in heads:
            unpack_head(head)

    assert overview(tmp_path / "store").experiments["?"].stored == 20_000
    ratios = [seconds(lambda: overview(tmp_path / "store")) / seconds(unpack) for _ in range(5)]
    assert min(ratios) < 4


def test_the_store_of_ten_thousand_results_is_a_handful_of_files() -> None:
    assert figures(OURS, 10_000, "cold")["cold"]["files"] <= 10


def test_no_cost_grows_faster_than_the_configurations() -> None:
    def costs(size: int) -> Mapping[str, float]:
        job = Job(name="growth", stages=growth.STEPS, size=size, systems=(GROWTH,))
        found = [dict(stages(INTERPRETER, GROWTH, job)) for _ in range(2)]
        return {step: min(each[step]["seconds"] for each in found) for step in growth.STEPS}

    small, large = costs(2_000), costs(20_000)
    grown = {step: large[step] / small[step] for step in growth.STEPS}
    assert {step: ratio for step, ratio in grown.items() if ratio > 30} == {}


# The report


def measured(ours: list[float], theirs: list[float]) -> Measured:
    found = Measured()
    for system, all_seconds in ((OURS, ours), ("exca", theirs), ("exca, as it comes", theirs)):
        for turn, seconds in enumerate(all_seconds):
            found.add("trivial 100,000", "cold", system, turn, {"seconds": seconds, "peak": 100.0, "files": 3})
    return found


def cold_row() -> rows.Row:
    return next(row for row in rows.ROWS if row.title == "cold, 100,000")


def test_the_ratio_is_that_of_the_median_round_and_says_how_many_times_better_memento_is() -> None:
    row = cold_row()
    values = report.values(measured([1.0, 2.0, 4.0], [2.0, 2.0, 2.0]), row)
    assert values[OURS] == {0: 100_000.0, 1: 50_000.0, 2: 25_000.0}
    assert report.ratios(row, values) == {"exca": 1.0, "exca, as it comes": 1.0}


@pytest.mark.parametrize(("ours", "verdict"), [([1.0], "yes"), ([1.5], "**no**")])
def test_a_row_is_reached_when_memento_is_as_many_times_better_as_it_says(ours: list[float], verdict: str) -> None:
    assert report.verdict(cold_row(), measured(ours, [1.5])) == verdict


def test_without_the_peer_nothing_is_said_to_be_reached() -> None:
    assert report.verdict(cold_row(), measured([1.0], [])) == "–"


def test_a_peer_that_could_not_be_installed_is_a_row_that_says_so() -> None:
    found = measured([1.0], [])
    found.fail("", "diskcache", "not installed: ERROR: no such package")
    text = report.report(found, "Made by a test.", [])
    assert "| cold, 100,000; tasks/s | diskcache | not installed: ERROR: no such package | | 0 | |" in text


def test_a_program_that_fails_gives_its_reason_and_one_that_takes_too_long_is_ended() -> None:
    wrong = Job(name="short", stages=("keys",), size=7, systems=(LIMIT,))
    with pytest.raises(measuring.Failed, match=r"^failed: expected 7, found 100000$"):
        list(stages(INTERPRETER, LIMIT, wrong))
    slow = Job(name="short", stages=("sleep",), size=1000, systems=(OURS,), limit_of_seconds=0.5)
    with pytest.raises(measuring.Failed, match=r"^took more than 0\.5 s$"):
        list(stages(INTERPRETER, OURS, slow))


def test_the_exponent_of_a_linear_cost_is_one_and_of_a_quadratic_one_two() -> None:
    assert growth.exponent({1_000: 0.1, 10_000: 1.0, 100_000: 10.0}) == pytest.approx(1)
    assert growth.exponent({1_000: 0.1, 10_000: 10.0}) == pytest.approx(2)


def test_every_row_asks_for_a_stage_of_a_job_there_is() -> None:
    known = {(job.name, stage) for job in JOBS for stage in job.stages} | {("import", "package"), ("import", "script")}
    assert {(row.job, row.stage) for row in rows.ROWS} <= known
