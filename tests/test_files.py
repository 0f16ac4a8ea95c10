"""A reader of a file finds the old one or the new one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from memento import files
from memento.files import private_folder, sync_folder, write_atomically


def test_a_file_is_written_whole_private_and_alone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "x", [b"ab", memoryview(b"cd"), bytearray(b"ef")])
    assert (tmp_path / "x").read_bytes() == b"abcdef"
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["x"]


def test_bytes_the_kernel_did_not_take_are_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_atomically(tmp_path / "x", [b"0123456789"])
    assert (tmp_path / "x").read_bytes() == b"0123456789"


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_an_error_at_any_call_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    write_atomically(tmp_path / "x", [b"old"])

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, call, fail)
    with pytest.raises(OSError, match="No space left on device"):
        write_atomically(tmp_path / "x", [b"new"])
    monkeypatch.undo()
    assert (tmp_path / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_the_bytes_are_synced_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", noted_fsync)
    monkeypatch.setattr(files.os, "replace", noted_replace)
    write_atomically(tmp_path / "x", [b"new"])
    assert done == ["file", "rename", "folder"]


def test_new_folders_are_private_whatever_the_umask_and_their_names_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    before = os.umask(0o777)
    try:
        assert private_folder(tmp_path / "a" / "b" / "c") == tmp_path / "a" / "b" / "c"
    finally:
        os.umask(before)
    assert synced == [tmp_path.parent, tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", tmp_path / "a" / "b" / "c")] == [0o700] * 2
    (tmp_path / "a").chmod(0o755)
    private_folder(tmp_path / "a")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


def test_the_name_of_a_folder_is_synced_once_also_when_another_process_made_it_and_when_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other may have been killed between the two; what it leaves is then synced by whoever stores in it."""
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    (tmp_path / "a").mkdir()
    private_folder(tmp_path / "a")
    private_folder(tmp_path / "a")
    assert synced == [tmp_path]
    (tmp_path / "a").rmdir()
    private_folder(tmp_path / "a")
    assert synced == [tmp_path, tmp_path.parent, tmp_path]


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(FileExistsError):
        private_folder(tmp_path / "x")


def test_a_file_system_that_cannot_sync_folders_is_put_up_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(number: int) -> None:
        raise OSError(number, "told by the disk")

    monkeypatch.setattr(files.os, "fsync", lambda descriptor: fail(22))
    sync_folder(tmp_path)
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: fail(5))
    with pytest.raises(OSError, match="told by the disk"):
        sync_folder(tmp_path)
