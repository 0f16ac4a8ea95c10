"""The process between the orchestrator and the workers: it makes them, sees them die, and leaves none behind.

    orchestrator ──JSON lines──▶ supervisor ──fork or spawn──▶ workers ──▶ whatever experiments start
         └──────────── one socket to each worker, made by the orchestrator ────▶┘

It has one thread and imports nothing of the user's, so forking it is safe and cheap (5 ms against 91 ms for a fresh
interpreter). It is a child subreaper: processes that an experiment has orphaned become its children, and it ends them.

Guarantee: when the orchestrator is gone, however it went, its end of the control socket closes; then the supervisor
kills all its descendants and ends. When the supervisor itself is killed, the kernel kills the workers (parent-death
signal), and the orchestrator kills what they leave in their sessions and makes another supervisor. Nobody finds what
left its worker's session then, or what was started by experiments whose supervisor and orchestrator are both killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from memento.executors.processes import worker_process
from memento.executors.processes.messages import Lines, send_line
from memento.executors.processes.proc import LAST_PATIENCE, descendants, start_of
from memento.executors.processes.reseeding import reseed

if TYPE_CHECKING:
    import subprocess

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# A worker that is being ended gets this long to write down where it was.
TRACE_TIME = 0.1
# Run with -P, so that a json.py beside the user's script is not ours.
BOOTSTRAP = (
    "import json, sys; options = json.loads(sys.argv[1]); sys.path[:] = options.pop('path'); "
    "from memento.executors.processes.supervisor import {entry}; {entry}(**options)"
)


def main(*, channel: int, method: str) -> NoReturn:
    """Serve the orchestrator at the other end of `channel` until it is gone; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.setsid()
    supervisor = _Supervisor(socket.socket(fileno=channel), method)
    try:
        supervisor.serve()
    finally:
        supervisor.end_all()
        os._exit(0)


class _Supervisor:
    def __init__(self, control: socket.socket, method: str) -> None:
        self._control = control
        self._method = method
        self._workers: dict[int, int] = {}  # worker number → process id
        self._doomed: list[tuple[float, int]] = []  # when to kill which worker, soonest first
        self._prctl = _prctl()
        self._is_subreaper = self._prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
        self._wake, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._waker = waker
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Do as told until the orchestrator closes its end."""
        lines = Lines()
        channels: list[int] = []  # they come with the beginning of a request, which may take several reads
        while True:
            sources: list[Any] = [self._control, self._wake]
            readable = select.select(sources, [], [], self._until_next_kill())[0]
            self._kill_doomed()
            if self._wake in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
                self._reap()
            if self._control in readable:
                try:
                    data, descriptors, _, _ = socket.recv_fds(self._control, 65536, 64)
                except ConnectionResetError:
                    return
                channels += descriptors
                if not data:
                    return
                for request in lines.feed(data):
                    if request["do"] == "make":
                        self._make(channels.pop(0), request)
                    else:
                        self._end(request["worker"])

    def _make(self, channel: int, request: dict[str, Any]) -> None:
        worker = request["worker"]
        try:
            process = self._begin(channel, request)
        except OSError as error:  # there are too many processes, or no memory: the workers that there are go on
            told: dict[str, Any] = {"unmade": str(error)}
        else:
            self._workers[worker] = process
            # So that the orchestrator can end what is left of its session, should this process be killed.
            told = {"process": process, "started": start_of(process)}
        os.close(channel)
        with contextlib.suppress(OSError):
            send_line(self._control, worker=worker, **told)

    def _begin(self, channel: int, request: dict[str, Any]) -> int:
        if self._method == "spawn":
            return self._spawn(channel, request)
        process = os.fork()
        if process == 0:
            self._become_worker(channel, request)
        return process

    def _become_worker(self, channel: int, request: dict[str, Any]) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            self._control.close()
            os.close(self._wake)
            os.close(self._waker)
            reseed()
            worker_process.main(channel, request["spool"], request["name"], request["environment"])
        finally:
            os._exit(1)

    def _spawn(self, channel: int, request: dict[str, Any]) -> int:
        options = {name: request[name] for name in ("spool", "name", "environment")}
        process = start_interpreter("spawned", channel=channel, **options)
        process.returncode = 0  # reaped by `_reap`; without this its finaliser would wait for it as well
        return process.pid

    def _end(self, worker: int) -> None:
        process = self._workers.get(worker)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, worker_process.TRACE_SIGNAL)
            self._doomed.append((time.monotonic() + TRACE_TIME, worker))

    def _until_next_kill(self) -> float | None:
        return max(0.0, self._doomed[0][0] - time.monotonic()) if self._doomed else None

    def _kill_doomed(self) -> None:
        now = time.monotonic()
        while self._doomed and self._doomed[0][0] <= now:
            process = self._workers.get(self._doomed.pop(0)[1])
            if process is not None:
                _kill_group(process)

    def _reap(self) -> None:
        for process, status in _exited():
            for worker, pid in list(self._workers.items()):
                if pid == process:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.killpg(process, signal.SIGKILL)  # what the experiment left behind in its session
                    del self._workers[worker]
                    with contextlib.suppress(OSError):
                        send_line(self._control, worker=worker, status=os.waitstatus_to_exitcode(status))

    def end_all(self) -> None:
        """Kill every descendant, also those that left their session, and wait for them."""
        for process in self._workers.values():
            _kill_group(process)
        unseen = 0
        until = time.monotonic() + LAST_PATIENCE
        while time.monotonic() < until:
            if self._is_subreaper and _has_no_child():
                return
            alive = descendants(os.getpid())
            # Once is not enough: a process can move to another parent while the list is being read.
            unseen = 0 if alive else unseen + 1
            if unseen == 2:
                return
            for process in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.01 if unseen else 0.001)


def start_interpreter(entry: str, *, channel: int, **options: Any) -> subprocess.Popen[bytes]:
    """Start a fresh interpreter, in a session of its own, that calls this module's `entry` with the open `channel`."""
    import subprocess  # the supervisor itself has a use for it only where workers are spawned

    words = json.dumps({**options, "channel": channel, "path": sys.path})
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return subprocess.Popen(
        [sys.executable, *flags, "-P", "-c", BOOTSTRAP.format(entry=entry), words],
        pass_fds=[channel],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def spawned(*, channel: int, spool: str, name: str, environment: dict[str, str]) -> NoReturn:
    """Be a worker in an interpreter of its own."""
    _prctl()(PR_SET_PDEATHSIG, signal.SIGKILL)
    worker_process.main(channel, spool, name, environment)


def _has_no_child() -> bool:
    """Reap what has ended; return whether nothing is left. A subreaper without children has no descendants at all."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _exited() -> Iterator[tuple[int, int]]:
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if process == 0:
            return
        yield process, status


def _kill_group(process: int) -> None:
    # A worker leads its own session; until it has made it, only itself can be meant.
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(process, signal.SIGKILL)


def _prctl() -> Any:
    try:
        import ctypes

        return ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda *arguments: -1  # not Linux: the workers' own watch of their channel remains
