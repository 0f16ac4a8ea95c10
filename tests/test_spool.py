"""What a worker has appended to its spool survives every kill and is read back bit for bit."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memento import spool
from memento.heads import frame_of, pack_head
from memento.spool import SpoolWriter, pack_frame, read_all_frames, read_frames, unpack_body
from tests.store.helpers import frame, heard, kill, outcome_of, process

PINNED = "464d368fe3391700000004000000686561640300000001020300000000ffffffff"


def test_a_frame_stands_in_a_file_as_it_always_has() -> None:
    packed = pack_frame((b"head", (b"\x01\x02\x03", b"", None)))
    assert packed.hex() == PINNED


@given(st.binary(), st.tuples(*[st.none() | st.binary()] * 3))
def test_a_frame_is_read_as_it_was_packed(head: bytes, bodies: tuple[bytes | None, ...]) -> None:
    assert unpack_body(pack_frame((head, bodies))[spool.FRAME.size :]) == (head, bodies)


def test_what_was_appended_is_read_from_any_offset(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "w.spool")
    first = writer.append(outcome_of(1, b"one"))
    second = writer.append(outcome_of(2, b"two"))
    path = tmp_path / "w.spool"
    assert read_frames(path) == ([frame(1, b"one"), frame(2, b"two")], second)
    assert read_frames(path, first) == ([frame(2, b"two")], second)
    assert read_frames(path, second) == ([], second)
    assert path.read_bytes()[:8] == b"MSPOOL2\n"
    writer.close()
    writer.close()


def test_who_opens_a_spool_again_goes_on_behind_what_is_in_it(tmp_path: Path) -> None:
    for number in (1, 2):
        writer = SpoolWriter(tmp_path / "w.spool")
        writer.append(outcome_of(number, b"value"))
        writer.close()
    assert list(read_all_frames(tmp_path / "w.spool")) == [frame(1, b"value"), frame(2, b"value")]


def test_an_outcome_of_which_the_kernel_took_only_a_beginning_is_written_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SpoolWriter(tmp_path / "w.spool")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
    end = writer.append(outcome_of(1, b"one"))
    monkeypatch.undo()
    assert (tmp_path / "w.spool").stat().st_size == end
    writer.append(outcome_of(2, b"two"))
    writer.close()
    assert read_frames(tmp_path / "w.spool")[0] == [frame(1, b"one"), frame(2, b"two")]


def test_a_spool_cut_at_any_byte_gives_its_whole_frames(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "w.spool")
    ends = [writer.append(outcome_of(number, b"value")) for number in range(3)]
    writer.close()
    data = (tmp_path / "w.spool").read_bytes()
    path = tmp_path / "cut.spool"
    for length in range(len(data) + 1):
        path.write_bytes(data[:length])
        whole = sum(end <= length for end in ends)
        frames, end = read_frames(path)
        assert len(frames) == len(list(read_all_frames(path))) == whole
        assert end == ([0 if length < 8 else 8, *ends])[whole]


def test_a_flipped_bit_costs_one_frame_and_never_changes_one(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "w.spool")
    for number in range(3):
        writer.append(outcome_of(number, b"FMvalueFM"))
    writer.close()
    whole = [frame(number, b"FMvalueFM") for number in range(3)]
    data = bytearray((tmp_path / "w.spool").read_bytes())
    path = tmp_path / "flipped.spool"
    for place in range(len(data)):
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        found = list(read_all_frames(path))
        assert [one for one in whole if one in found] == found
        assert len(found) == (3 if place < 8 else 2)
        assert read_frames(path)[0] == found[: len(read_frames(path)[0])]
        data[place] ^= 1 << place % 8


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_frame_that_could_not_be_written_leaves_no_torn_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    writer = SpoolWriter(tmp_path / "w.spool")
    end = writer.append(outcome_of(1))

    def torn(descriptor: int, data: bytes) -> int:
        write(descriptor, data[:20])
        raise error

    write = os.write
    monkeypatch.setattr(spool.os, "write", torn)  # type: ignore[attr-defined]
    with pytest.raises(type(error)):
        writer.append(outcome_of(2))
    monkeypatch.undo()
    assert (tmp_path / "w.spool").stat().st_size == end
    writer.append(outcome_of(3))
    assert [head for head, _ in read_frames(tmp_path / "w.spool")[0]] == [frame(1)[0], frame(3)[0]]
    writer.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_keep_its_parents_spool_locked(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "w.spool")
    begun, (reading, writing) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.write(begun[1], b"!")
        os.read(reading, 1)
        os._exit(0)
    os.read(begun[0], 1)
    writer.close()
    try:
        with open(writer.path) as whoever:
            fcntl.flock(whoever, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(writing)
        os.waitpid(child, 0)
        for descriptor in (*begun, reading):
            os.close(descriptor)


def test_zeros_behind_the_mark_of_a_frame_are_no_frame(tmp_path: Path) -> None:
    """Their checksum is that of nothing."""
    path = tmp_path / "w.spool"
    path.write_bytes(spool.FILE_MAGIC + b"FM" + bytes(30) + pack_frame(frame(1)))
    assert list(read_all_frames(path)) == [frame(1)]
    assert read_frames(path) == ([], 8)


def test_a_frame_behind_damage_is_found_wherever_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "w.spool"
    for begin in (spool.PIECE - 1, spool.PIECE, spool.PIECE + 1):
        path.write_bytes(bytes(begin) + pack_frame(frame(1)))
        assert list(read_all_frames(path)) == [frame(1)]


WRITING = """
import sys
from pathlib import Path
from memento.spool import SpoolWriter
writer = SpoolWriter(Path(sys.argv[1]))
number = 0
while True:
    writer.append(outcome_of(number, bytes(20_000)))
    number += 1
    print(number, flush=True)
"""


def test_what_a_killed_worker_had_appended_is_there(tmp_path: Path) -> None:
    path = tmp_path / "w.spool"
    with process(WRITING, path) as worker:
        for _ in range(20):
            appended = int(heard(worker))
        kill(worker)
        assert worker.stdout is not None
        appended = max([appended, *(int(line) for line in worker.stdout.read().split())])
    assert worker.returncode == -signal.SIGKILL
    frames, _ = read_frames(path)
    assert len(frames) in (appended, appended + 1)
    assert frames[-1] == frame(len(frames) - 1, bytes(20_000))


def test_the_frame_of_an_outcome_is_its_head_and_bodies() -> None:
    outcome = outcome_of(1, b"value", in_file=True, log=b"printed")
    assert frame_of(outcome) == (pack_head(outcome), (None, b"", b"printed"))
