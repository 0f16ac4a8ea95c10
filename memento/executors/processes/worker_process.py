"""The worker's process: loads the experiment once, then runs tasks one at a time until its channel closes.

    channel ──▶ reader thread ──▶ tasks ──▶ main thread: run, append to the spool, tell the offset
                     │
                     └─ end of file: the orchestrator is gone, so end at once; what is finished is in the spool

Each worker leads a session of its own, so a Ctrl-C in the terminal does not reach it and everything it starts can be
ended with it.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import gc
import os
import queue
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from memento.executors.processes.messages import OFFSET, PROGRESS, Inbox, Kind, message, pack_tasks, unpack_tasks
from memento.failures import frames_of
from memento.job_packing import unpack_job
from memento.output import FileOutput
from memento.process_state import notice_changes
from memento.sources import load_from
from memento.spool import SpoolWriter
from memento.task import KEY_BYTES, Task
from memento.worker import Worker

# A worker with short experiments tells of them together, at most this many seconds late.
REPORT_INTERVAL = 0.005
# So often a worker tells what it has finished while a long experiment runs, and notes where that one is: a death by
# SIGKILL, as the kernel ends what uses too much memory, leaves no time to say so.
TICK = 0.25
# Sent to a worker that is about to be ended, so that its log shows the line where it hung.
TRACE_SIGNAL = signal.SIGUSR2
STOP_FILE = "stop"
# What says that this process is out of order, as where an experiment has closed what is not its own or left files open.
OF_THE_PROCESS = (errno.EBADF, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
SPILL = struct.Struct(f"<{KEY_BYTES}sH")


def main(channel: int, spool: str, name: str, environment: Mapping[str, str]) -> NoReturn:
    """Be the worker `name`; never returns."""
    # The user's code is imported after this, so libraries that read their settings at import see them.
    os.environ.update(environment)
    if os.getpid() != os.getsid(0):
        os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    folder = Path(spool)
    _no_input()
    output = FileOutput(folder / f"{name}.out")
    trace = open(folder / f"{name}.trace", "ab", buffering=0)  # noqa: SIM115 - open as long as the process
    faulthandler.enable(trace)
    # This thread alone, which runs the experiment: to look into others while they run can crash the dump.
    faulthandler.register(TRACE_SIGNAL, trace, all_threads=False)
    end = _tell_of_exit(trace)
    notice_changes()
    connection = socket.socket(fileno=channel)
    status = 1
    try:
        loop = _Loop(connection, folder, name, output)
    except BaseException:
        with contextlib.suppress(OSError):
            connection.sendall(message(Kind.BROKEN, traceback.format_exc().encode()))
    else:
        status = loop.run()
    # Not sys.exit: an experiment's threads, atexit hooks and unfinished pools must not keep the worker alive.
    end(status)


def _tell_of_exit(trace: BinaryIO) -> Callable[[int], NoReturn]:
    """Have `os._exit`, which leaves no time for anything else, say where it was called; return it as it was."""
    end, worker = os._exit, os.getpid()

    def _exit(status: int) -> NoReturn:
        if os.getpid() == worker:
            faulthandler.dump_traceback(trace, all_threads=False)
        end(status)

    os._exit = _exit
    return end


def _no_input() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.dup2(descriptor, 0)
    os.close(descriptor)


def _settle(fields: Mapping[str, Any]) -> None:
    """Be where the user's script is: its arguments, its import path, its working directory, its sources."""
    if arguments := fields["arguments"]:
        sys.argv[:] = arguments
    known = set(sys.path)
    sys.path[:] = [*fields["import_path"], *(entry for entry in sys.path if entry not in fields["import_path"])]
    if set(sys.path) != known:
        import importlib

        importlib.invalidate_caches()
    with contextlib.suppress(OSError):
        os.chdir(fields["working_directory"])
    load_from(fields["sources"])


class _Loop:
    def __init__(self, connection: socket.socket, folder: Path, name: str, output: FileOutput) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._tasks: deque[Task] = deque()  # taken from its ends alone, so that the two threads need no lock
        self._arrived: queue.SimpleQueue[None] = queue.SimpleQueue()  # one for each time that tasks came
        self._spool = SpoolWriter(folder / f"{name}.spool")
        job = unpack_job((folder / "job").read_bytes(), _settle)
        gc.freeze()  # what is loaded stays, and need not be looked through while experiments run
        self._stop = os.open(folder / STOP_FILE, os.O_RDONLY | os.O_CLOEXEC)
        self._raised = raised_path(folder, name)
        self._noting = threading.Lock()
        self._seen = os.open(seen_path(folder, name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._running: Task | None = None
        self._offset = self._told = 0
        self._told_at = 0.0
        self._worker = Worker(
            job,
            output,
            stopping=lambda: os.fstat(self._stop).st_size > 0,
            report=self._progress,
            spill=lambda task, metrics: write_spill(spill_path(folder, name), task, metrics),
            owns_process=True,
        )

    def run(self) -> int:
        """Run tasks until the channel closes, which ends this process; return the exit status if that comes sooner."""
        try:
            return self._run()
        except BaseException:
            self._note_failure()
            return 1

    def _note_failure(self) -> None:
        """Keep what was raised here, around the experiment: it costs the task at hand, and others run elsewhere."""
        # Two threads may meet the same: the second must not end the process before the first has written it.
        with self._noting, contextlib.suppress(OSError):
            if not self._raised.exists():
                with contextlib.suppress(OSError):
                    os.close(self._stop)  # where no more files can be opened, this makes room for one
                self._raised.write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")

    def _run(self) -> int:
        self._send(Kind.READY)
        threading.Thread(target=self._listen, name="memento-channel", daemon=True).start()
        while True:
            try:
                task = self._tasks.popleft()
            except IndexError:
                self._tell()
                self._arrived.get()
                continue
            self._running = task
            try:
                outcome = self._worker.run(task)
                self._running = None
                self._offset = self._spool.append(outcome)
            except OSError as error:  # the disk, whose errors StoreUnwritable wraps
                if error.errno in OF_THE_PROCESS:  # or what an experiment has done to its process
                    raise
                self._send(Kind.UNWRITABLE, str(error).encode())
                return 1
            self._worker.finish(outcome)
            if time.monotonic() - self._told_at > REPORT_INTERVAL:
                self._tell()

    def _tell(self) -> None:
        """Say how far the spool reaches, if that has not been said."""
        offset = self._offset
        if offset != self._told:
            self._told, self._told_at = offset, time.monotonic()
            self._send(Kind.DELIVERED, OFFSET.pack(offset))

    def _note_place(self) -> None:
        """Keep where the running experiment is."""
        task = self._running
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        place = frames_of(frame).encode() if task is not None else b""
        if task is not None and place and task is self._running:
            data = SPILL.pack(task.key, task.attempt) + place
            # Where the disk is full: this thread has to live, or nobody would notice the orchestrator's end.
            with contextlib.suppress(OSError):
                os.pwrite(self._seen, data, 0)
                os.ftruncate(self._seen, len(data))

    def _listen(self) -> None:
        try:
            self._read()
        except BaseException:
            self._note_failure()
            os.killpg(0, signal.SIGKILL)  # a worker that hears nothing would be waited for

    def _read(self) -> None:
        inbox = Inbox()
        arrivals = select.poll()
        arrivals.register(self._connection, select.POLLIN)
        ticked_at = time.monotonic()
        while True:
            readable = arrivals.poll(TICK * 1000)
            if time.monotonic() - ticked_at >= TICK:
                self._tell()
                self._note_place()
                self._worker.keep_up()
                ticked_at = time.monotonic()
            if not readable:
                continue
            try:
                data = self._connection.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                # The orchestrator is gone, or needs this worker no longer: end with everything the experiments left
                # behind. What is finished is in the spool; the rest will be run again.
                os.killpg(0, signal.SIGKILL)
            for kind, body in inbox.feed(data):
                if kind is Kind.TASKS:
                    self._tasks.extend(unpack_tasks(body))
                    self._arrived.put(None)
                elif kind is Kind.WITHDRAW:
                    self._send(Kind.WITHDRAWN, pack_tasks(self._drain()))

    def _drain(self) -> list[Task]:
        tasks = []
        with contextlib.suppress(IndexError):
            while True:
                tasks.append(self._tasks.popleft())
        return tasks

    def _progress(self, task: Task, done: float, total: float | None) -> None:
        self._send(Kind.PROGRESS, PROGRESS.pack(task.key, done, -1.0 if total is None else total))

    def _send(self, kind: Kind, body: bytes = b"") -> None:
        with self._sending, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.sendall(message(kind, body))


def spill_path(folder: Path, name: str) -> Path:
    """Return where the metrics of the experiment that runs in worker `name` are written now and then."""
    return folder / f"{name}.metrics"


def seen_path(folder: Path, name: str) -> Path:
    """Return where it is noted now and then what the experiment that runs in worker `name` is at."""
    return folder / f"{name}.seen"


def raised_path(folder: Path, name: str) -> Path:
    """Return where worker `name` writes what was raised in its own work, which ends it."""
    return folder / f"{name}.raised"


def write_spill(path: Path, task: Task, metrics: bytes) -> None:
    """Keep `metrics`, everything that `task` has recorded so far, for the case that it is killed."""
    aside = path.with_suffix(".aside")
    aside.write_bytes(SPILL.pack(task.key, task.attempt) + metrics)
    aside.replace(path)


def read_spill(path: Path, task: Task) -> bytes:
    """Return what its worker kept of `task` in `path`, empty if that is nothing."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b""
    return data[SPILL.size :] if data.startswith(SPILL.pack(task.key, task.attempt)) else b""
