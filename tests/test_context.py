"""What an experiment can do while it runs."""

from __future__ import annotations

import math
import struct
import threading
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memento import Config, Memento, checkpoints, payload
from memento.context import Context
from memento.errors import DamagedEntry, NotStored, UnreadableResult

KEY = bytes(range(16))


class Refusing:
    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise ValueError("not again")


def context(root: Path, **options: Any) -> Context:
    return Context(key=KEY, root=root, **options)


def recorded(of: Context) -> dict[str, tuple[list[float], list[float]]]:
    series = payload.unpack_metrics(b"".join(of.collect_metrics()))
    return {name: (list(xs), list(ys)) for name, (xs, ys) in series.items()}


def test_any_real_number_can_be_recorded_against_an_own_x(tmp_path: Path) -> None:
    one = context(tmp_path)
    for step, value in enumerate(
        [1, 0.5, True, np.float32(0.25), np.int64(3), np.array(4.0), Decimal("0.5"), Fraction(1, 4)]
    ):
        one.record({"value": (step, value)})
    assert recorded(one) == {"value": ([0, 1, 2, 3, 4, 5, 6, 7], [1, 0.5, 1, 0.25, 3, 4, 0.5, 0.25])}


def test_whatever_turns_into_a_float_can_be_recorded_as_a_tensor_can(tmp_path: Path) -> None:
    class Tensor:
        def __float__(self) -> float:
            return 0.25

    one = context(tmp_path)
    one.record({"loss": (Tensor(), Tensor())})
    assert recorded(one) == {"loss": ([0.25], [0.25])}


def test_values_of_one_call_share_their_time(tmp_path: Path) -> None:
    one = context(tmp_path)
    before = time.time()
    one.record({"loss": 1.0, "accuracy": 2.0, "own": (7, 3.0)})
    series = recorded(one)
    assert series["loss"][0] == series["accuracy"][0]
    assert before <= series["loss"][0][0] <= time.time()
    assert series["own"] == ([7.0], [3.0])


@pytest.mark.parametrize("value", ["0.5", None, 1j, [1.0], (1, 2, 3), ("a", 1)])
def test_what_is_no_number_is_refused_and_leaves_the_series_whole(value: Any, tmp_path: Path) -> None:
    one = context(tmp_path)
    one.record({"loss": (0, 1.0)})
    with pytest.raises(TypeError, match=r"metric 'loss' was given .* which is not a real number; write context.record"):
        one.record({"loss": value})
    assert recorded(one) == {"loss": ([0.0], [1.0])}


def test_a_checkpoint_is_restored_by_whoever_comes_next(tmp_path: Path) -> None:
    first = context(tmp_path)
    assert not first.checkpoint_exist()
    assert first.restore(default="nothing") == "nothing"
    first.checkpoint({"epoch": 3, "weights": np.arange(100_000.0)})
    first.checkpoint({"epoch": 4, "weights": np.arange(100_000.0)})
    second = context(tmp_path, attempt=2)
    assert second.checkpoint_exist()
    state = second.restore()
    assert state["epoch"] == 4
    assert (state["weights"] == np.arange(100_000.0)).all()
    checkpoints.forget(tmp_path, KEY)
    with pytest.raises(NotStored) as caught:
        second.restore()
    assert str(caught.value).startswith("there is no checkpoint for 000102")
    with pytest.raises(KeyError):
        second.restore()


def test_what_was_recorded_before_a_checkpoint_is_not_lost_with_the_attempt(tmp_path: Path) -> None:
    first = context(tmp_path)
    first.record({"loss": (0, 1.0), "lr": (0, 0.1)})
    first.checkpoint(1)
    first.record({"loss": (1, 9.0)})  # repeated after the kill
    second = context(tmp_path, attempt=2)
    assert second.restore() == 1
    second.record({"loss": (1, 0.5)})
    second.checkpoint(2)
    third = context(tmp_path, attempt=3)
    third.restore()
    assert recorded(third) == {"loss": ([0.0, 1.0], [1.0, 0.5]), "lr": ([0.0], [0.1])}


def steps(of: Context) -> list[Any]:
    return of.recorder.records.values("step")


def test_restore_rolls_metrics_and_records_back_to_the_checkpoint(tmp_path: Path) -> None:
    one = context(tmp_path)
    losses = one.recorder.sub_record_keeper(training=True)
    for step in range(5):
        one.record({"loss": (step, 0.5)})
        losses.push(step=step)
        if step == 2:
            one.checkpoint(step)
    one.record({"diverged": 1.0})
    assert one.restore() == 2
    assert recorded(one) == {"loss": ([0, 1, 2], [0.5] * 3)}
    assert steps(one) == [0, 1, 2]
    one.record({"loss": (3, 0.25)})
    losses.push(step=3)
    assert recorded(one) == {"loss": ([0, 1, 2, 3], [0.5] * 3 + [0.25])}
    assert steps(one) == [0, 1, 2, 3]
    assert len(one.recorder) == 4
    assert one.recorder.records.where(training=True).values("step") == [0, 1, 2, 3]


def test_to_restore_twice_changes_nothing(tmp_path: Path) -> None:
    first = context(tmp_path)
    first.record({"loss": (0, 0.5)})
    first.recorder.push(step=0)
    first.checkpoint("state")
    second = context(tmp_path, attempt=2)
    for _ in range(3):
        assert second.restore() == "state"
        assert recorded(second) == {"loss": ([0.0], [0.5])}
        assert steps(second) == [0]
        assert len(second.recorder) == 1


def test_records_stay_in_their_order_through_many_attempts_and_as_flat_as_they_were(tmp_path: Path) -> None:
    sizes = []
    for attempt in range(40):
        one = context(tmp_path, attempt=attempt)
        step = one.restore(default=0)
        one.recorder.data["phase"] = "late" if step >= 60 else "early"
        one.recorder.push(step=step)
        one.recorder.sub_record_keeper(training=True).push(step=step + 1)
        one.recorder.sub_record_keeper(training=False).push(step=step + 2)
        one.checkpoint(step + 3)
        sizes.append(len(b"".join(one.collect_metrics())))
    last = context(tmp_path)
    last.restore()
    assert steps(last) == list(range(120))
    assert last.recorder.records.values("training") == [None, True, False] * 40
    assert [record["phase"] for record in last.recorder.records] == ["early"] * 60 + ["late"] * 60
    assert sizes[39] - sizes[38] < 1.1 * (sizes[20] - sizes[19])


def test_records_stay_in_few_pieces_through_many_attempts(tmp_path: Path) -> None:
    for attempt in range(150):
        one = context(tmp_path, attempt=attempt)
        step = one.restore(default=0)
        one.recorder.push(step=step)
        one.checkpoint(step + 1)
    assert steps(one) == list(range(150))
    assert len(list(one.recorder.records.parts())) <= 64


def test_a_state_that_cannot_be_read_leaves_what_was_recorded_as_it_is(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.checkpoint(Refusing())
    one.record({"loss": (0, 0.5)})
    with pytest.raises(UnreadableResult, match="not again"):
        one.restore()
    assert recorded(one) == {"loss": ([0.0], [0.5])}


def test_what_was_recorded_stays_where_there_is_no_checkpoint_to_restore(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.record({"loss": (0, 0.5)})
    one.recorder.push(step=0)
    assert one.restore(default=0) == 0
    assert recorded(one) == {"loss": ([0.0], [0.5])}
    assert steps(one) == [0]


def test_a_checkpoint_made_before_anything_was_recorded_restores_to_nothing(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.checkpoint(0)
    one.record({"loss": (0, 0.5)})
    one.recorder.push(step=0)
    one.restore()
    assert recorded(one) == {}
    assert steps(one) == []
    assert one.collect_metrics() == []


def test_every_kind_of_state_comes_back(tmp_path: Path) -> None:
    one = context(tmp_path)
    for state in [None, 0, "text", {"a": 1.5}, [1, (2, 3)], np.float64(2)]:
        one.checkpoint(state)
        assert one.restore() == state
        assert type(one.restore()) is type(state)


def test_a_damaged_checkpoint_is_reported_not_used(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.checkpoint([1, 2, 3])
    (path,) = [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedEntry, match="does not match its checksum; delete it to begin this experiment anew"):
        one.restore()


@pytest.mark.parametrize("left", [0, 5, 20])
def test_a_checkpoint_that_was_cut_off_is_reported_to_who_restores_it_and_to_nobody_before(
    tmp_path: Path, left: int
) -> None:
    one = context(tmp_path, origin="../study.py", run=b"the-1st-")
    one.checkpoint([1, 2, 3])
    (path,) = [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]
    path.write_bytes(path.read_bytes()[:left])
    assert checkpoints.about(path)[:2] == ("", checkpoints.UNKNOWN)
    with pytest.raises(DamagedEntry, match="does not match its checksum"):
        one.restore()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    one = context(tmp_path)
    one.checkpoint(1)
    with pytest.raises(TypeError, match="cannot be pickled"):
        one.checkpoint(threading.Lock())
    assert one.restore() == 1
    assert [path.name for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()] == [KEY.hex()]


def test_seeds_depend_on_the_key_alone_and_suit_every_library(tmp_path: Path) -> None:
    seeds = {Context(key=bytes([number] * 16), root=tmp_path).seed for number in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert context(tmp_path, attempt=3).seed == context(tmp_path).seed == 418568148


def test_each_attempt_has_a_folder_of_its_own(tmp_path: Path) -> None:
    first, second = context(tmp_path, attempt=1).directory, context(tmp_path, attempt=2).directory
    assert first.is_dir()
    assert first != second
    assert first.stat().st_mode & 0o077 == 0


def test_time_left_counts_down_and_should_stop_says_when_it_is_up(tmp_path: Path) -> None:
    assert context(tmp_path).time_left() == math.inf
    assert 59 < context(tmp_path, timeout=60).time_left() <= 60
    late = context(tmp_path, timeout=0.001)
    time.sleep(0.01)
    assert late.time_left() == 0
    assert late.should_stop
    assert context(tmp_path, stopping=lambda: True).should_stop
    assert not context(tmp_path).should_stop


def test_progress_is_reported_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    told: list[Any] = []
    one = context(tmp_path, report=lambda done, total: told.append((done, total)))
    for _ in range(1000):
        one.progress(1, total=1000)
    assert told[0] == (1, 1000)
    assert told[-1] == (1000, 1000)
    assert len(told) < 20


def test_a_checkpoint_of_an_older_version_is_gone_on_from(tmp_path: Path) -> None:
    first = context(tmp_path)
    first.checkpoint({"epoch": 3})
    path = next(path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file())
    found = checkpoints.read(path)
    body = found.summary + bytes(found.metrics) + bytes(found.state)
    header = struct.pack("<8sBIQ16s", b"MCHECK1\n", found.codec, len(found.summary), 0, payload.digest_of([body]))
    path.write_bytes(header + body)
    assert context(tmp_path).restore() == {"epoch": 3}
    assert checkpoints.about(path)[:2] == ("", checkpoints.UNKNOWN)
    body = found.summary + bytes(found.metrics) + b"../study.py" + bytes(found.state)
    lengths = found.codec, len(found.summary), 0, 11
    path.write_bytes(struct.pack("<8sBIQH16s", b"MCHECK2\n", *lengths, payload.digest_of([body])) + body)
    assert context(tmp_path).restore() == {"epoch": 3}
    assert checkpoints.about(path)[:2] == ("../study.py", checkpoints.UNKNOWN)


def test_a_checkpoint_says_with_which_run_its_experiment_began(tmp_path: Path) -> None:
    first = context(tmp_path, run=b"the-1st-", origin="../study.py")
    first.checkpoint({"epoch": 3})
    (path,) = [path for path in (tmp_path / "checkpoints").rglob("*") if path.is_file()]
    assert path.read_bytes().endswith(b"../study.pythe-1st-" + bytes(checkpoints.read(path).state))
    assert checkpoints.about(path)[:2] == ("../study.py", b"the-1st-")
    second = context(tmp_path, run=b"the-2nd-")
    assert second.restore() == {"epoch": 3}
    second.checkpoint({"epoch": 4})
    assert checkpoints.about(path).run == checkpoints.read(path).run == b"the-1st-"
    anew = context(tmp_path, run=b"the-3rd-")
    anew.checkpoint({"epoch": 0})
    assert checkpoints.about(path).run == b"the-3rd-"


def test_the_log_goes_to_the_attempts_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = context(tmp_path)
    one.log.info("epoch %d", 3)
    one.log.debug("not shown")
    assert capsys.readouterr().err.endswith("INFO epoch 3\n")


def test_a_million_points_cost_sixteen_bytes_each(tmp_path: Path) -> None:
    one = context(tmp_path)
    for step in range(20_000):
        one.record({"loss": (step, 0.5)})
    size = sum(memoryview(chunk).nbytes for chunk in one.collect_metrics())
    assert size <= 20_000 * 16 + 100


def writes_before_it_fails(context: Context, config: Config) -> int:
    begun = context.restore(default=0)
    (context.directory / f"epoch {begun}.txt").write_text("weights")
    context.checkpoint(begun + 1)
    if context.attempt == 1:
        raise OSError
    return int(begun)


def test_an_attempt_that_goes_on_has_a_folder_of_its_own_and_the_files_of_the_one_before_stay_in_that_ones() -> None:
    result = Memento(writes_before_it_fails, executor="serial").run({"parameters": {"a": [1]}}, retries=1)[0]
    assert result.inner == 1
    folders = [attempt.directory for attempt in result.attempts]
    assert [[file.name for file in folder.iterdir()] for folder in folders] == [["epoch 0.txt"], ["epoch 1.txt"]]
    assert result.directory == folders[1]
