"""Twelve ways in which an experiment breaks, what its report has to say of each, and the script that tries one.

The script runs twenty configurations, of which one goes a way until the file `healed` is there; with `overdue`, a
second one never ends by itself. What it got is printed as JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.trial import Ended

COUNT = 20
POSITIONS = {"first": 0, "middle": COUNT // 2 - 1, "last": COUNT - 1}
START_METHODS = ("forkserver", "spawn", "fork")
TIMEOUT = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A way to break: its status, and what the report says of the cause; `line` is the comment at the line it names."""

    status: str
    cause: str = ""
    says: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    timeout: float | None = 20.0
    line: str | None = None


WAYS = {
    "raise": Way(status="failed", cause="error", says="ValueError: an ordinary error"),
    "SIGKILL": Way(status="killed", cause="killed", says="SIGKILL (9)", facts={"signal": 9}),
    "segfault": Way(status="killed", cause="killed", says="SIGSEGV (11)", facts={"signal": 11}),
    "os._exit": Way(status="killed", cause="exit", says="exit code 7", facts={"exit_code": 7}),
    "sys.exit": Way(status="failed", cause="exit", says="sys.exit(3)", facts={"exit_code": 3}),
    "MemoryError": Way(status="failed", cause="memory", says="MemoryError"),
    "sleep for ever": Way(status="timed out", cause="timeout", says=f"timeout={TIMEOUT:g} s", timeout=TIMEOUT),
    "stubborn exception": Way(status="failed", cause="error", says="Stubborn: one"),
    "unpicklable result": Way(status="failed", cause="unpicklable", says="_thread.lock", line="experiment"),
    "unreadable result": Way(status="failed", cause="unpicklable", says="Hollow", line="experiment"),
    "stray thread": Way(status="succeeded"),
    "fork bomb": Way(status="timed out", cause="timeout", says=f"timeout={TIMEOUT:g} s", timeout=TIMEOUT),
}

SCRIPT = """
import ctypes, json, multiprocessing, resource, threading
from memento import AggregateException, Memento
from memento.executors.processes.executor import ProcessExecutor

way, position, method, timeout, overdue = sys.argv[1:]
position, timeout, overdue = int(position), float(timeout), int(overdue)
healed = Path("healed").absolute()


class Stubborn(Exception):
    def __init__(self, first, second):
        super().__init__(first)


class Hollow:
    def __reduce__(self):
        return explode, ()


def explode():
    raise RuntimeError("exploded on the way back")


def breathe_in():
    resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    return bytearray(2**32)  # MemoryError


def breed(depth):
    if depth:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            pool.map(breed_on, [depth - 1] * 2)  # fork bomb
    time.sleep(1000)


def breed_on(depth):
    multiprocessing.current_process()._config["daemon"] = False
    breed(depth)


def go():
    if way == "raise":
        raise ValueError("an ordinary error")  # raise
    if way == "SIGKILL":
        time.sleep(0.7)  # SIGKILL
        os.kill(os.getpid(), signal.SIGKILL)
    if way == "segfault":
        ctypes.string_at(0)  # segfault
    if way == "os._exit":
        os._exit(7)  # os._exit
    if way == "sys.exit":
        sys.exit(3)  # sys.exit
    if way == "MemoryError":
        breathe_in()
    if way == "sleep for ever":
        time.sleep(1000)  # sleep for ever
    if way == "stubborn exception":
        raise Stubborn("one", "two")  # stubborn exception
    if way == "unpicklable result":
        return threading.Lock()
    if way == "unreadable result":
        return Hollow()
    if way == "stray thread":
        threading.Thread(target=time.sleep, args=(1000,)).start()
        return position * position
    if way == "fork bomb":
        breed(3)
    raise AssertionError(way)


def experiment(context, config):  # experiment
    begun(config.index)
    if config.index == position and not healed.exists():
        value = go()
    else:
        if config.index == overdue:
            time.sleep(1000)
        value = config.index**2
    finished(config.index)
    return value


if __name__ == "__main__":
    executor = ProcessExecutor(2, start_method=method)
    matrix, said = {"parameters": {"index": list(range(20))}}, {}
    try:
        results = Memento(experiment, executor=executor).run(matrix, timeout=timeout, progress=False)
    except AggregateException as error:
        results = error.results
        said = {failed.config.index: str(failed) for failed in error.exceptions}
    finally:
        executor.close()
    print(json.dumps([
        {
            "index": result.config.index,
            "status": result.status.value,
            "value": result.inner if result.ok else None,
            "cause": result.error and result.error.cause,
            "signal": result.error and result.error.signal,
            "exit_code": result.error and result.error.exit_code,
            "said": said.get(result.config.index),
        }
        for result in results
    ]))
"""


def arguments(way: str, position: int, method: str, *, overdue: int = -1) -> list[object]:
    """Return what the script is told; with an `overdue` one the time limit is short whatever the way."""
    timeout = WAYS[way].timeout if overdue < 0 else TIMEOUT
    return [way, position, method, timeout, overdue]


def got(ended: Ended) -> list[dict[str, Any]]:
    """Return what the script printed of each result, in the order of the matrix."""
    assert ended.status == 0, ended.err
    results: list[dict[str, Any]] = json.loads(ended.out)
    assert [result["index"] for result in results] == list(range(COUNT))
    return results


def line_of(folder: Path, way: str) -> int:
    """Return the number of the line that the report on `way` has to name."""
    ending = f"  # {WAYS[way].line or way}"
    (number,) = [
        n for n, line in enumerate((folder / "script.py").read_text().splitlines(), 1) if line.endswith(ending)
    ]
    return number
