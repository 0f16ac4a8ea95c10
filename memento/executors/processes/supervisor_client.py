"""The orchestrator's end of the supervisor: make a worker, end a worker, hear who has ended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import warnings
from collections.abc import Mapping

from memento.executors.processes.messages import Lines, send_line
from memento.executors.processes.proc import end_sessions
from memento.executors.processes.supervisor import main, start_interpreter

PATIENCE = 5.0


class SupervisorClient:
    """Starts a supervisor for workers of the given start method and talks to it."""

    _number = 0

    def __init__(self, method: str) -> None:
        self.channel, theirs = socket.socketpair()
        self._lines = Lines()
        self._sessions: dict[int, tuple[int, int]] = {}  # of living workers: the process that leads it, and its start
        self._process: subprocess.Popen[bytes] | int
        if method == "fork":
            self._process = self._fork(theirs)
        else:
            self._process = start_interpreter("main", channel=theirs.fileno(), method=method)
        theirs.close()

    def _fork(self, theirs: socket.socket) -> int:
        with warnings.catch_warnings():
            # Python warns of forking with threads; whoever asked for start_method="fork" has read that.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if process == 0:
            try:
                self.channel.close()  # or the supervisor would never see its end
                main(channel=theirs.detach(), method="fork")
            finally:
                os._exit(1)
        return process

    def make(self, channel: socket.socket, *, spool: str, environment: Mapping[str, str]) -> int:
        """Have a worker made at the other end of `channel` and return its number."""
        SupervisorClient._number += 1
        number = SupervisorClient._number
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `exits` tells that it is gone
            send_line(
                self.channel,
                [channel.fileno()],
                do="make",
                worker=number,
                spool=spool,
                name=f"worker-{number}",
                environment=dict(environment),
            )
        return number

    def end(self, worker: int) -> None:
        """Have `worker` and everything it started killed."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            send_line(self.channel, do="end", worker=worker)

    def exits(self) -> dict[int, int | str]:
        """Return the workers that have ended, with their exit status (negative: the signal) or why none was made.

        Raises:
            ConnectionError: the supervisor is gone.
        """
        data = self.channel.recv(65536)
        if not data:
            raise ConnectionResetError("the supervisor is gone")
        return self._hear(data)

    def _hear(self, data: bytes) -> dict[int, int | str]:
        ended = {}
        for line in self._lines.feed(data):
            worker = line["worker"]
            if "unmade" in line:
                ended[worker] = line["unmade"]
            elif "status" in line:
                ended[worker] = line["status"]
                self._sessions.pop(worker, None)
            else:
                self._sessions[worker] = line["process"], line["started"]
        return ended

    def close(self) -> None:
        """Hang up, upon which the supervisor ends with all its workers, and wait for that.

        Where it did not end by itself, what is left in its workers' sessions is killed.
        """
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)
            self.channel.settimeout(PATIENCE)
            while data := self.channel.recv(65536):  # its end of the channel closes when it has ended
                self._hear(data)
        self.channel.close()
        if self._wait() != 0:
            end_sessions(dict(self._sessions.values()))

    def _wait(self) -> int | None:
        """Return the exit status of the supervisor, None if it is not known."""
        with contextlib.suppress(subprocess.TimeoutExpired, ChildProcessError):
            if isinstance(self._process, subprocess.Popen):
                return self._process.wait(PATIENCE)
            return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        return None
