"""What holds around every test: a store of its own, no process left behind, repeatable random examples.

A process belongs to a test when it descends from this one, or carries `MARK` in the environment it was started with:
the second finds orphans too, whose parent has been killed and who therefore descend from nobody.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background: whoever is started from here would be deaf to the interrupts that are tested.
    signal.signal(signal.SIGINT, signal.default_int_handler)

MARK = f"memento-tests-{uuid.uuid4().hex}"
MARK_VARIABLE = "MEMENTO_TEST_SESSION"
# A worker whose orchestrator was killed may take three seconds to notice; a busy machine needs some more.
GRACE = 6.0
# The standard library starts these once for a whole process, and they end with it.
LASTING = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")

Process = tuple[int, int]
"""A process's id and its start time in clock ticks: ids are used again, pairs are not."""

_foreign: set[Process] = set()
lasting: set[int] = set()
"""Who serves a whole session, with all descendants; whoever starts them sees to their end."""


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name a parameter so that every process names it alike: an address differs in each, and breaks parallel runs."""
    text = repr(val)
    return f"{argname}:{type(val).__name__}" if " at 0x" in text or len(text) > 80 else None


@pytest.fixture(scope="session", autouse=True)
def _marked_environment() -> Iterator[None]:
    """Whatever this session starts can be recognised, and leaves no core where it crashes, as many tests have it do."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    os.environ[MARK_VARIABLE] = MARK
    os.environ["MPLBACKEND"] = "Agg"
    yield
    del os.environ[MARK_VARIABLE]


@pytest.fixture(autouse=True)
def store_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default store of the test: a folder below its own `tmp_path`, not made yet."""
    path = tmp_path / "store"
    monkeypatch.setenv("MEMENTO_CACHE_PATH", str(path))
    for name in ("NO_COLOR", "FORCE_COLOR", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    return path


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    """The test fails if a process that it started, at any depth, outlives it."""
    if not Path("/proc/self/stat").exists():
        yield
        return
    before = own_processes()
    yield
    deadline = time.monotonic() + GRACE
    while (left := own_processes() - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    if left:
        described = ", ".join(f"{pid} ({_read(pid, 'cmdline').replace(bytes(1), b' ').decode()})" for pid, _ in left)
        for pid, _ in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        pytest.fail(f"this test left processes behind: {described}")


def own_processes() -> set[Process]:
    """Return the living processes that this one has started, directly or not."""
    parents: dict[int, int] = {}
    living: dict[int, Process] = {}
    for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):
        fields = _read(pid, "stat").rpartition(b")")[2].split()  # a program's name may itself have brackets and spaces
        if fields and fields[0] != b"Z":
            parents[pid] = int(fields[1])
            living[pid] = pid, int(fields[19])
    return {process for pid, process in living.items() if _is_ours(pid, process, parents)}


def _is_ours(pid: int, process: Process, parents: dict[int, int]) -> bool:
    if pid == os.getpid() or process in _foreign:
        return False
    ancestor = pid
    while ancestor in parents and ancestor != os.getpid():
        if ancestor in lasting:
            return False
        ancestor = parents[ancestor]
    if ancestor != os.getpid() and MARK.encode() not in _read(pid, "environ"):
        _foreign.add(process)  # nothing that is not ours becomes ours: spares reading its environment again
        return False
    return not any(name in _read(pid, "cmdline") for name in LASTING)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""
