"""A full disk is one clear error; what was stored stays, and with room made the same work goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILLING = """
import os, sys
from pathlib import Path
from memento.errors import StoreError
from memento.files import write_atomically
from memento.spool import SpoolWriter, read_frames
disk = Path(sys.argv[1])
ballast = disk / "ballast"
ballast.write_bytes(bytes(300_000))
store = open_store(disk / "store")
run = store.begin_run(experiment="e", code={}, about={})
saved, told = 0, None
while told is None:
    try:
        store.save([frame(number, os.urandom(4000)) for number in range(saved, saved + 10)])
        saved += 10
    except StoreError as error:
        told = str(error)
print(told.replace(str(disk), "DISK"))
keys = [key_of(number) for number in range(saved + 10)]
print(len(store.find(keys)) == saved)
writer = None
try:
    writer = SpoolWriter(run.spool / "w.spool")
    for number in range(1000):
        writer.append(outcome_of(number, bytes(4000), run=run.id))
except OSError as error:
    print(error.strerror)
ends = writer is not None and writer._end == (run.spool / "w.spool").stat().st_size
print(writer is None or ends)
try:
    write_atomically(disk / "blob", [bytes(100_000)])
except OSError as error:
    print(error.strerror)
print(sorted(path.name for path in disk.iterdir()))
try:
    open_store(disk / "another")
except StoreError as error:
    print("full" in str(error) or "No space" in str(error))
ballast.unlink()
store.save([frame(number, b"later") for number in range(saved, saved + 10)])
store.close()
with open_store(disk / "store") as again:
    found = again.find(keys)
    print(len(found) == saved + 10, all(len(again.load(entry, "value")) in (4000, 5) for entry in found.values()))
"""


def test_a_full_disk_is_an_error_that_says_so_and_not_a_loss(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    script = f'mount -t tmpfs -o size=2m tmpfs "$1" && exec {sys.executable} -c "$2" "$1"'
    code = f"from tests.store.helpers import *\nfrom memento.store import open_store\n{FILLING}"
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", str(tmp_path), code],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"this machine does not let tests mount: {done.stderr.strip()}")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "the store DISK/store/ledger.sqlite cannot be used (database or disk is full): the disk is full; what was "
        "stored stays: make room, and run again",
        "True",
        "No space left on device",
        "True",
        "No space left on device",
        "['ballast', 'store']",
        "True",
        "True True",
    ]
