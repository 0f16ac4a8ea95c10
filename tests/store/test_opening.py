"""Where a store is made, what is refused, and what is left untouched."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from memento.errors import StoreError, StoreForeign, StoreTooNew
from memento.files import private_folder
from memento.filesystem import is_network
from memento.store import open_store, opening, schema
from memento.store.ledger_header import lock_path
from tests.store.helpers import frame, heard, key_of, process, save_in_file


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_it_is_private_to_the_user_whatever_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with open_store(path) as store:
            save_in_file(store, 1, b"large")
            run = store.begin_run(experiment="e", code={}, about={})
            assert all(
                stat.S_IMODE(folder.stat().st_mode) == 0o700
                for folder in (store.root, *store.root.rglob("*"))
                if folder.is_dir()
            )
            files = [path for path in store.root.rglob("*") if path.is_file() and path.name != ".gitignore"]
            assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (*files, store.database))
            assert len(files) >= 2
            store.end_run(run)
    finally:
        os.umask(before)


def test_a_folder_that_was_made_is_ignored_by_git(path: Path) -> None:
    with open_store(path) as store:
        assert (store.root / ".gitignore").read_text() == "*\n"


def test_a_file_form_has_its_files_beside_it(tmp_path: Path) -> None:
    with open_store(tmp_path / "x.sqlite") as store:
        assert (store.database, store.root) == (tmp_path / "x.sqlite", tmp_path / "x.sqlite.files")


def test_an_empty_file_becomes_a_store_private_to_the_user(tmp_path: Path) -> None:
    (tmp_path / "results").touch()
    (tmp_path / "results").chmod(0o644)
    with open_store(tmp_path / "results") as store:
        store.save([frame(1)])
    assert (tmp_path / "results").read_bytes().startswith(b"SQLite format 3\0")
    assert stat.S_IMODE((tmp_path / "results").stat().st_mode) == 0o600


def test_the_ledger_of_a_folder_stands_for_the_folder(tmp_path: Path) -> None:
    with open_store(tmp_path / "store") as store:
        save_in_file(store, 1, b"large")
    with open_store(tmp_path / "store" / "ledger.sqlite") as again:
        assert again.root == tmp_path / "store"
        assert again.load(again.find([key_of(1)])[key_of(1)], "value") == b"large"


def test_a_link_to_a_file_finds_the_files_beside_it(tmp_path: Path) -> None:
    with open_store(tmp_path / "x.sqlite") as store:
        save_in_file(store, 1, b"large")
    (tmp_path / "link").symlink_to("x.sqlite")
    with open_store(tmp_path / "link") as again:
        assert again.load(again.find([key_of(1)])[key_of(1)], "value") == b"large"


def test_a_folder_with_other_files_is_used_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / "script.py").write_text("print()")
    with open_store(folder) as store:
        store.save([frame(1)])
    assert sorted(path.name for path in folder.iterdir()) == ["ledger.sqlite", "ledger.sqlite.lock", "script.py"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_the_default_is_the_variable_and_then_a_folder_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMENTO_CACHE_PATH", "named")
    for given in (None, ""):
        with open_store(given) as store:
            assert store.root == tmp_path / "named"
    monkeypatch.delenv("MEMENTO_CACHE_PATH")
    with open_store() as store:
        assert store.root == tmp_path / ".memento"


def test_a_change_of_the_working_directory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store("here/store") as store:
        monkeypatch.chdir("/")
        save_in_file(store, 1, b"large")
        store.close()
        assert store.load(store.find([key_of(1)])[key_of(1)], "value") == b"large"
    assert (tmp_path / "here" / "store" / "ledger.sqlite").exists()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"x", b"SQLite format 2\0" + bytes(200)])
def test_another_programs_file_is_refused_and_untouched(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(StoreForeign) as caught:
        open_store(tmp_path / "data.csv")
    assert str(caught.value) == (
        f"{tmp_path}/data.csv is not a store: it does not begin as one; it was left untouched, give another cache_path"
    )
    assert snapshot(tmp_path) == {f"{tmp_path}/data.csv": content}
    assert not (tmp_path / "data.csv.files").exists()


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_another_programs_database_is_refused_and_untouched(tmp_path: Path, journal: str) -> None:
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute(f"PRAGMA journal_mode = {journal}")
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = snapshot(tmp_path)
    with pytest.raises(StoreForeign) as caught:
        open_store(tmp_path / "other.sqlite")
    assert str(caught.value) == (
        f"{tmp_path}/other.sqlite is another program's database; it was left untouched, give another cache_path"
    )
    assert snapshot(tmp_path) == before


def test_a_newer_format_is_refused_and_untouched(path: Path) -> None:
    with open_store(path) as store:
        database = store.database
    newer = sqlite3.connect(database)
    newer.execute("PRAGMA user_version = 7")
    newer.close()
    before = snapshot(path.parent)
    with pytest.raises(StoreTooNew) as caught:
        open_store(path)
    assert str(caught.value) == (
        f"{database} has format 7, this memento knows formats up to 2; it was left untouched, upgrade memento or give "
        "another cache_path"
    )
    assert snapshot(path.parent) == before


def test_a_newer_format_that_only_the_log_tells_of_is_refused(path: Path) -> None:
    store = open_store(path)
    newer = sqlite3.connect(store.database, isolation_level=None)
    newer.execute("PRAGMA user_version = 7")
    with pytest.raises(StoreTooNew):
        open_store(path)
    with pytest.raises(StoreTooNew, match="brought to format 7 by a newer memento while this process had it open"):
        store.save([frame(1)])
    newer.close()
    store.close()


@pytest.mark.parametrize("length", [1, 15, 16, 50, 99, 100, 4095, 4096, 5000, 8192])
def test_a_cut_off_ledger_is_a_clear_error_and_stays(path: Path, length: int) -> None:
    with open_store(path) as store:
        store.save([frame(number, bytes(100)) for number in range(100)])
        database = store.database
    os.truncate(database, length)
    before = database.read_bytes()
    with pytest.raises(StoreError), open_store(path) as store:
        store.find([key_of(number) for number in range(100)])
    assert database.read_bytes() == before


def test_a_ledger_cut_to_nothing_is_not_taken_for_a_new_one(path: Path) -> None:
    with open_store(path) as store:
        database = store.database
    os.truncate(database, 0)
    with pytest.raises(StoreError) as caught:
        open_store(path)
    assert str(caught.value) == (
        f"the store {database} is empty, though it was not: the file is damaged. Put a backup in its place, or remove "
        "it to begin anew"
    )
    database.unlink()
    open_store(path).close()


def test_a_damaged_ledger_says_what_to_do(path: Path) -> None:
    with open_store(path) as store:
        database = store.database
    with open(database, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    with pytest.raises(StoreError) as caught:
        open_store(path)
    assert str(caught.value) == (
        f"the store {database} cannot be used (database disk image is malformed): its file is damaged; nothing was "
        "deleted: move it aside or put a backup in its place, and run again (what is still readable of it stays in the "
        "file)"
    )


def test_a_place_where_nothing_can_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/below cannot be made: Not a directory; give another cache_path"):
        open_store(tmp_path / "file" / "below")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match=r"pipe cannot be made: Not a directory; give another cache_path"):
        open_store(tmp_path / "pipe")


def test_processes_that_open_a_new_store_at_once_all_get_it(path: Path) -> None:
    code = (
        "import sys\nprint('ready', flush=True); sys.stdin.readline()\n"
        "with open_store(sys.argv[1]) as store:\n    store.save([frame(int(sys.argv[2]))])\nprint('saved', flush=True)"
    )
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(process(code, path, number)) for number in range(6)]
        assert [heard(one) for one in running] == ["ready"] * 6
        for one in running:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        assert [heard(one) for one in running] == ["saved"] * 6
    with open_store(path) as store:
        assert len(store.find([key_of(number) for number in range(6)])) == 6


READING = """
import sys
from memento.errors import MatrixError, StoreError
store = open_store(sys.argv[1])
entry = store.find([key_of(1)])[key_of(1)]
print(bytes(store.load(entry, "value")).decode(), store.take_over(), store.writable)
for ask in (lambda: store.save([frame(2)]), lambda: store.begin_run(experiment="e", code={}, about={})):
    try:
        ask()
    except StoreError as error:
        print(error)
store.introduce("train", "depth", b"digest of 3", "3")
store.introduce("train", "width", b"digest of 5", "5")
try:
    store.introduce("train", "depth", b"digest of 4", "4")
except MatrixError as error:
    print(error)
"""


def test_a_ledger_is_made_or_migrated_by_one_process_at_a_time(path: Path) -> None:
    root, database = opening.existing(path)
    private_folder(root)
    opened = threading.Event()
    with open(lock_path(database), "wb") as another:
        fcntl.flock(another, fcntl.LOCK_EX)
        thread = threading.Thread(target=lambda: (open_store(path).close(), opened.set()))
        thread.start()
        assert not opened.wait(0.5)
    assert opened.wait(60)
    thread.join()


def test_a_store_on_a_read_only_disk_can_be_read(path: Path) -> None:
    with open_store(path) as store:
        save_in_file(store, 1, b"large")
        store.introduce("train", "depth", b"digest of 3", "3")
    root = Path(__file__).parents[2]
    script = f'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec {sys.executable} -c "$2" "$3"'
    code = f"from tests.store.helpers import *\nfrom memento.store import open_store\n{READING}"
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", str(path.parent), code, str(path)],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"this machine does not let tests mount: {done.stderr.strip()}")
    read_only = (
        f"the store {store.database} is read-only here: nothing can be run or kept; give another cache_path, or make "
        "it writable"
    )
    other = (
        "introduced['depth'] is 4, but earlier runs of train declared 3: the same old results cannot have had both; "
        "write 3 again, or give the experiment another version"
    )
    assert (done.stdout.splitlines(), done.stderr) == (["large 0 False", read_only, read_only, other], "")


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:28 / /home rw shared:2 - nfs4 server:/home rw,vers=4.2
31 30 0:29 / /home/local\\040disk rw shared:3 - xfs /dev/sdb rw
32 22 0:30 / /scratch rw - lustre a@tcp:/fs rw
33 32 0:31 / /scratch rw - ext4 /dev/sdc rw
34 22 0:32 / /mnt/ssh rw - fuse.sshfs host: rw
35 22 0:33 / /mnt/usb rw - fuseblk /dev/sdd rw
"""


@pytest.mark.parametrize(
    ("folder", "network"),
    [
        ("/", False), ("/home", True), ("/home/me/x", True), ("/home/local disk/x", False), ("/homes", False),
        ("/scratch/x", False), ("/mnt/ssh/x", True), ("/mnt/usb", False),
    ],
)  # fmt: skip
def test_a_network_file_system_is_known_by_its_mount(folder: str, network: bool) -> None:
    assert is_network(Path(folder), MOUNTS) is network


def test_a_store_on_a_network_file_system_has_no_write_ahead_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "is_network", lambda folder: True)
    with open_store(path) as store:
        store.save([frame(1)])
        assert store.database.read_bytes()[18] == 1  # 2 where readers need the shared memory
    monkeypatch.undo()
    with open_store(path) as store:
        assert store.find([key_of(1)])
        store.close()
        assert store.database.read_bytes()[18] == 2
