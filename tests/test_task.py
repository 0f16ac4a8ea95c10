"""How outcomes stand in spools and stores, pinned: a change of these bytes needs a migration."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memento.experiment import Experiment
from memento.heads import is_whole, key_in, pack_head, status_in, unpack_head
from memento.task import EMPTY_PART, STATUS_CODES, Failure, Outcome, Part, Status, type_name

OUTCOME = Outcome(
    key=bytes(range(16)),
    run=b"\xaa" * 8,
    attempt=258,
    status=Status.FAILED,
    started=1.5,
    runtime=2.0,
    position=2**40,
    cpu_time=0.5,
    hardware_peak=1,
    virtual_peak=2,
    pid=3,
    host="höst",
    summary=b"17",
    failure=Failure(type="ValueError", message="no", lineage=("Exception",)),
    value=Part(2, 3, b"\x11" * 16, b"abc"),
    metrics=EMPTY_PART,
    log=Part(1, 70_000, b"\x22" * 16, None),
)
PINNED = (
    "02000102030405060708090a0b0c0d0e0faaaaaaaaaaaaaaaa02010202050000000000010000000000000000f83f00000000"
    "00000040000000000000e03f010000000000000002000000000000000300000005020000005300000031377b227479706522"
    "3a202256616c75654572726f72222c20226d657373616765223a20226e6f222c20226361757365223a20226572726f72222c"
    "20226c696e65616765223a205b22457863657074696f6e225d7d68c3b6737402000300000000000000111111111111111111"
    "1111111111111101017011010000000000222222222222222222222222222222225be39fd0"
)


def test_the_head_of_an_outcome_stands_as_it_always_has() -> None:
    assert pack_head(OUTCOME).hex() == PINNED


def test_a_head_is_read_as_it_was_packed() -> None:
    head = bytes.fromhex(PINNED)
    assert unpack_head(head, (b"abc", b"", None)) == OUTCOME
    assert unpack_head(head).value == Part(2, 3, b"\x11" * 16, b"")
    assert key_in(head) == bytes(range(16))
    assert status_in(head) is Status.FAILED


def test_the_numbers_of_the_statuses_never_change() -> None:
    assert {status.name: code for status, code in STATUS_CODES.items()} == {
        "SUCCEEDED": 1, "FAILED": 2, "TIMED_OUT": 3, "KILLED": 4, "CANCELLED": 5,
    }  # fmt: skip
    assert [status for status in Status if status.ok] == [Status.SUCCEEDED]


def test_a_head_cut_anywhere_is_refused() -> None:
    head = bytes.fromhex(PINNED)
    for length in range(len(head)):
        with pytest.raises(ValueError, match="head"):
            unpack_head(head[:length])
    with pytest.raises(ValueError, match="checksum"):
        unpack_head(head + b"\0")
    newer = b"\x03" + head[1:-4]
    with pytest.raises(ValueError, match="unknown version 3 of an outcome's head"):
        unpack_head(newer + zlib.crc32(newer).to_bytes(4, "little"))


def test_no_flipped_bit_in_a_head_goes_unnoticed() -> None:
    head = bytearray.fromhex(PINNED)
    for place in range(len(head)):
        for bit in range(8):
            head[place] ^= 1 << bit
            assert not is_whole(bytes(head))
            head[place] ^= 1 << bit
    assert is_whole(bytes(head))


text = st.text(st.characters(exclude_categories=["Cs"]))


@given(text, st.lists(text).map(tuple), st.none() | st.integers(), st.none() | st.integers(), text)
def test_a_failure_is_read_as_it_was_written(
    message: str, lineage: tuple[str, ...], signal: int | None, exit_code: int | None, traceback: str
) -> None:
    failure = Failure(
        type="x.Y", message=message, lineage=lineage, signal=signal, exit_code=exit_code, traceback=traceback
    )
    assert Failure.from_json(failure.to_json()) == failure


def test_a_failure_stands_as_it_always_has() -> None:
    assert Failure(type="Killed", message="by SIGKILL", cause="killed", signal=9).to_json() == (
        b'{"type": "Killed", "message": "by SIGKILL", "cause": "killed", "signal": 9}'
    )


class Bad(Exception):
    class Worse(Exception):
        pass


def test_an_exception_is_known_by_its_qualified_name() -> None:
    assert [type_name(kind) for kind in (ValueError, struct.error, Bad.Worse)] == [
        "ValueError", "struct.error", "tests.test_task.Bad.Worse",
    ]  # fmt: skip


def test_an_experiment_says_which_functions_differ() -> None:
    today = Experiment(name="e", code={"a": "1", "b": "2", "c": "3"})
    assert today.changed_since({"a": "1", "b": "9", "d": "4"}) == ("b", "c", "d")
    assert today.changed_since(dict(today.code)) == ()
