"""Promises 2, 3 and 4: a broken experiment breaks only itself, nothing hangs, and the report says what happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import trial
from tests.faults.conftest import Trials
from tests.faults.dying import COUNT, POSITIONS, SCRIPT, START_METHODS, TIMEOUT, WAYS, arguments, got, line_of

BOUND = 60.0
Make = Callable[..., Trials]


def combinations(method: str, positions: int) -> Iterator[tuple[str, str]]:
    """Yield ways and positions: all, or a third of the ways, such that three start methods have each way once."""
    names = list(POSITIONS)
    for number, way in enumerate(WAYS):
        if positions == len(names):
            yield from ((way, name) for name in names)
        elif (number + number // 3) % 3 == START_METHODS.index(method):
            yield way, names[number % 3]


@pytest.mark.parametrize("method", START_METHODS)
def test_the_others_are_handed_back_and_the_report_says_what_happened(
    method: str, tmp_path: Path, size: Callable[..., int], trials: Make
) -> None:
    alone = trials(promise=2, trial=f"ways to die × positions, {method}: the other 19 are stored, then one is run")
    told = trials(promise=4, trial=f"ways to die × positions, {method}: line, configuration and cause")
    told.note("a stray thread harms nothing, so there is nothing to report of it")
    for way, position in combinations(method, size(short=1, long=3)):
        folder = tmp_path / f"{way} {position}"
        folder.mkdir()
        broken = POSITIONS[position]
        first = run(folder, way, broken, method)
        record(alone, f"{way}, {position}: ", unharmed(first, broken, way, folder))
        if WAYS[way].status != "succeeded":
            record(told, f"{way}, {position}: ", unsaid(first[broken], way, folder))


@pytest.mark.parametrize("method", START_METHODS)
def test_a_timeout_works_beside_each_of_them(
    method: str, tmp_path: Path, size: Callable[..., int], trials: Make
) -> None:
    ended = trials(promise=3, trial=f"ways to die × positions, {method}: another one that never ends is ended too")
    for way, position in combinations(method, size(short=1, long=3)):
        folder = tmp_path / f"{way} {position}"
        folder.mkdir()
        broken, overdue = POSITIONS[position], 5
        results = run(folder, way, broken, method, overdue=overdue)
        expected = ["succeeded"] * COUNT
        expected[broken], expected[overdue] = WAYS[way].status, "timed out"
        found = [result["status"] for result in results]
        record(ended, f"{way}, {position}: ", "" if found == expected else f"the statuses are {found}")


def run(folder: Path, way: str, broken: int, method: str, *, overdue: int = -1) -> list[dict[str, Any]]:
    given = arguments(way, broken, method, overdue=overdue)
    return got(trial.run(folder, SCRIPT, *given, seconds=BOUND, env={"MEMENTO_CACHE_PATH": str(folder / "store")}))


def record(trials: Trials, what: str, wrong: str) -> None:
    if wrong:
        trials.broke(what + wrong)
    else:
        trials.held()


def unharmed(first: list[dict[str, Any]], broken: int, way: str, folder: Path) -> str:
    """Run again, healed; return what is wrong with the two runs, if anything is."""
    executed = trial.logged(folder, "begun")
    others = [result["value"] for result in first if result["index"] != broken]
    if others != [index**2 for index in range(COUNT) if index != broken]:
        return f"the others gave {others}"
    if first[broken]["status"] != WAYS[way].status:
        return f"the broken one counts as {first[broken]['status']}"
    if executed != dict.fromkeys(map(str, range(COUNT)), 1):
        return f"the first run executed {dict(executed)}"
    (folder / "healed").touch()
    second = run(folder, way, broken, "forkserver")
    if [result["value"] for result in second] != [index**2 for index in range(COUNT)]:
        return f"the second run gave {second}"
    again = trial.logged(folder, "begun") - executed
    expected = {} if WAYS[way].status == "succeeded" else {str(broken): 1}
    return "" if again == expected else f"the second run executed {dict(again)}"


def unsaid(result: dict[str, Any], way: str, folder: Path) -> str:
    """Return what is missing from the report on the broken experiment, if anything is."""
    expected = WAYS[way]
    facts = {name: result[name] for name in ("signal", "exit_code")}
    if (result["cause"], facts) != (expected.cause, {"signal": None, "exit_code": None, **expected.facts}):
        return f"the cause is {result['cause']}, {facts}"
    place = f'File "{folder / "script.py"}", line {line_of(folder, way)}'
    for part in (place, f"in {{'index': {result['index']}}}", expected.says):
        if part not in result["said"]:
            return f"{part!r} is not in {result['said']!r}"
    return ""


RESISTANCE = """
import json, signal, subprocess, threading
from memento import Memento


def swallow():
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass


def be_deaf():
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    time.sleep(1000)


def hold_the_interpreter():
    sum(range(10**15))


def stop_itself():
    os.kill(os.getpid(), signal.SIGSTOP)


def wait_for_a_child():
    subprocess.run(["sleep", "1000"], start_new_session=True)


def wait_for_a_thread():
    thread = threading.Thread(target=time.sleep, args=(1000,))
    thread.start()
    thread.join()


class NeverPickled:
    def __reduce__(self):
        time.sleep(1000)


class NeverSaid(Exception):
    def __str__(self):
        time.sleep(1000)


def give_what_is_never_pickled():
    return NeverPickled()


def raise_what_is_never_said():
    raise NeverSaid


def write_without_end():
    while True:
        print("x" * 1000)


WAYS = [swallow, be_deaf, hold_the_interpreter, stop_itself, wait_for_a_child, wait_for_a_thread,
        give_what_is_never_pickled, raise_what_is_never_said, write_without_end]


def experiment(context, config):
    begun(config.way)
    return {way.__name__: way for way in WAYS}[config.way]() if config.way else "fine"


if __name__ == "__main__":
    names = [None, *(way.__name__ for way in WAYS), ""]
    results = Memento(experiment, num_workers=2).run(
        {"parameters": {"way": names}}, timeout=float(sys.argv[1]), on_error="return", progress=False)
    print(json.dumps({result.config.way or repr(result.config.way): result.status.value for result in results}))
"""


def test_a_timeout_ends_what_resists_it(tmp_path: Path, trials: Make) -> None:
    ended = trials(promise=3, trial="an experiment that resists being ended")
    env = {"MEMENTO_CACHE_PATH": str(tmp_path / "store")}
    statuses = json.loads(trial.run(tmp_path, RESISTANCE, TIMEOUT, seconds=BOUND, env=env).out)
    assert statuses.pop("None") == statuses.pop("''") == "succeeded"
    for name, status in statuses.items():
        record(ended, f"{name}: ", "" if status == "timed out" else f"it counts as {status}")
