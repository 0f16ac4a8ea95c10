"""Experiments for the executors' tests: importable by workers, each a way to live or to die."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from typing import Any


class Numbers:
    """Configurations that are just their index."""

    def private(self, index: int) -> dict[str, int]:
        """Return the configuration at `index`."""
        return {"index": index}


def double(context: Any, config: Any) -> int:
    """The plain case."""
    return 2 * config["index"]


def triple(context: Any, config: Any) -> int:
    """Another plain case."""
    return 3 * config["index"]


def slow(context: Any, config: Any) -> int:
    """Takes a tenth of a second."""
    time.sleep(0.1)
    return config["index"]


def at_five(way: Any) -> Any:
    """Return an experiment that doubles its index, but at index 5 goes this `way`."""

    def experiment(context: Any, config: Any) -> Any:
        if config["index"] == 5:
            return way()
        return 2 * config["index"]

    return experiment


class Stubborn(Exception):
    """Does not unpickle: the default calls it with one argument."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


class Unspeakable(Exception):
    """Cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Hollow:
    """Pickles, and raises when it is unpickled."""

    def __reduce__(self) -> Any:
        return _explode, ()


class Witness:
    """Notes in the file `opened` which process opens it, and in `ran` which one made it."""

    def __init__(self, opened: str, ran: str) -> None:
        self.opened = opened
        _note(ran)

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__dict__.update(state)
        _note(self.opened)


def _note(path: str) -> None:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")


# The keys of `instructive` for the ways "fine", "fails" and "resumes".
INSTRUCTIVE_KEYS = [
    "269dd0d5a24e8836ad9cdafb45d53539",
    "b3c645a9e353a1e3f974e4995fc51b95",
    "b4b9a34131e4530426ad4def54725683",
]


def instructive(context: Any, config: Any) -> str:
    """Does as its parameter `way` says, and some of everything that an experiment can do."""
    if config.way == "fails":
        print("about to fail", flush=True)
        raise ValueError("as it was told")
    context.record({"loss": 0.5})
    context.record({"loss": 0.25})
    if config.way == "resumes":
        if context.attempt == 1:
            context.checkpoint(7)
            raise ConnectionError("to be tried again")
        return f"resumed from {context.restore()}"
    return config.way


def _explode() -> None:
    raise RuntimeError("exploded on the way back")


def raises() -> None:
    raise ValueError("an ordinary error")


def stubborn() -> None:
    raise Stubborn("one", "two")


def unspeakable() -> None:
    raise Unspeakable


def exits() -> None:
    sys.exit(3)


def vanishes() -> None:
    os._exit(7)


def is_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def segfaults() -> None:
    ctypes.string_at(0)


def runs_out_of_memory() -> Any:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**30, hard))
    try:
        return bytearray(2**32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def hangs() -> None:
    print("about to hang", flush=True)
    time.sleep(1000)


def gives_a_lock() -> Any:
    return threading.Lock()


def leaves_a_thread() -> str:
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return "fine"


def leaves_processes() -> str:
    for arguments in ({}, {"start_new_session": True}):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], **arguments)
    return "fine"


def changes_everything() -> str:
    os.chdir("/")
    os.environ["LD_SOMETHING"] = "1"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.close()
    sys.path.insert(0, "/nowhere")
    sys.argv = ["/nowhere"]
    os.umask(0o777)
    for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (40, resource.getrlimit(limit)[1]))
    return "fine"


def forks_and_returns() -> str:
    return "child" if os.fork() == 0 else "parent"


def printing(way: Any) -> Any:
    """Return an experiment that prints its index, but at index 5 goes this `way`."""

    def experiment(context: Any, config: Any) -> Any:
        if config["index"] == 5:
            return way()
        print("number", config["index"])
        return 2 * config["index"]

    return experiment


def closes_its_output() -> str:
    print("before", flush=True)
    os.close(1)
    return "closed"


def redirects_its_output() -> str:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return "redirected"


def prints_from_c() -> str:
    print("from python")
    logging.getLogger().warning("from logging")
    os.system("echo from a shell")
    libc = ctypes.CDLL(None)
    libc.printf(b"from C\n")
    raise ValueError("to see the log")


def prints_a_lot() -> None:
    for number in range(200_000):
        print(f"line {number}")
    raise ValueError("to see the log")
