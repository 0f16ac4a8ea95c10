"""Experiments of the tests of whole runs: importable by workers; each notes in a file that it ran."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from memento.context import Context
from memento.hashing import digest


def note(config: Any) -> None:
    """Append the configuration to the file that the settings name: one write, so that lines stay whole."""
    with open(config.settings["notes"], "a") as file:
        file.write(f"{config.asdict()}\n")


def noted(path: Path) -> list[str]:
    """Return what was noted, in the order of running."""
    return path.read_text().splitlines() if path.exists() else []


def square(context: Context, config: Any) -> int:
    """The plain case."""
    note(config)
    return config.x**2


def sleeping(context: Context, config: Any) -> int:
    """Takes as long as its settings say."""
    time.sleep(config.settings["seconds"])
    note(config)
    return config.x**2


def leaving_no_descriptor(context: Context, config: Any) -> None:
    """Opens files until that fails."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    while True:
        os.open(os.devnull, os.O_RDONLY)


def failing_at_three(context: Context, config: Any) -> int:
    """Fails where x is 3."""
    note(config)
    if config.x == 3:
        print("on the way to failure")
        raise ValueError("three is too many")
    return config.x**2


def always_failing(context: Context, config: Any) -> int:
    """Has a bug."""
    note(config)
    raise KeyError("the bug")


def dying_at_three(context: Context, config: Any) -> int:
    """Is killed where x is 3."""
    note(config)
    if config.x == 3:
        print("on the way to death", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    return config.x**2


def succeeding_at_the_third_attempt(context: Context, config: Any) -> int:
    """Fails twice, each time in another way."""
    note(config)
    print("attempt", context.attempt, flush=True)
    if context.attempt == 1:
        raise ConnectionResetError("no answer")
    if context.attempt == 2:
        os._exit(3)
    return context.attempt


def hanging_at_three(context: Context, config: Any) -> int:
    """Hangs where x is 3."""
    note(config)
    if config.x == 3:
        time.sleep(1000)
    return config.x**2


def stepping(context: Context, config: Any) -> int:
    """Makes ten steps with a checkpoint after each, and is killed after the fourth at the first attempt."""
    done = context.restore(default=0)
    while done < 10:
        note(config)
        done += 1
        context.record({"done": (done, done)})
        context.progress(1, total=10)
        context.checkpoint(done)
        if done == 4 and context.attempt == 1 and config.settings.get("die", True):
            os.kill(os.getpid(), signal.SIGKILL)
    return done


def bare_values(context: Context, config: Any) -> tuple[Any, ...]:
    """Tell what it is given, and what its parameters and settings are known by as a whole."""
    context.recorder.push(index=0, loss=0.5)
    keys = digest(config).hex(), digest(config.settings).hex()
    there = config.settings
    return config.alone, config.inside, there.alone_there, there.inside_there, keys, str(config)


def stopping_politely(context: Context, config: Any) -> str:
    """Runs until it is asked to stop, and then keeps its state."""
    note(config)
    started = context.restore(default=0)
    while not context.should_stop:
        time.sleep(0.02)
        if started:
            return "went on"
    context.checkpoint(1)
    raise KeyboardInterrupt


def stopping_with_an_error(context: Context, config: Any) -> str:
    """Runs until it is asked to stop, keeps its state, and raises something, or ends its process."""
    if context.restore(default=0):
        return "went on"
    context.record({"loss": 0.5})
    while not context.should_stop:
        time.sleep(0.02)
    context.checkpoint(1)
    if config.settings.get("exits"):
        os._exit(3)
    raise TimeoutError("stopped as asked")


def recording(context: Context, config: Any) -> dict[str, float]:
    """Records metrics and writes an artifact."""
    for step in range(5):
        context.record({"loss": 1.0 / (step + 1), "accuracy": (step, step / 5)})
    (context.directory / "model.txt").write_text(f"model {config.x}")
    context.log.info("trained")
    return {"score": config.x / 10, "seed": context.seed}


def one_fails_while_another_works(context: Context, config: Any) -> str:
    """Where x is 0 it fails at once; elsewhere it works for a while, unless it is told to stop."""
    if config.x == 0:
        time.sleep(0.2)
        raise ValueError("zero")
    until = time.monotonic() + 1
    while time.monotonic() < until:
        if context.should_stop:
            return "was told to stop"
        time.sleep(0.02)
    return "worked to the end"


def one_fails_while_another_waits_to_be_stopped(context: Context, config: Any) -> str:
    """Where x is 0 it fails when the other has begun, which runs until it is asked to stop."""
    if config.x == 0:
        while len(noted(Path(config.settings.notes))) < 1:
            time.sleep(0.02)
        raise ValueError("zero")
    return stopping_politely(context, config)


def ending_at_its_limit(context: Context, config: Any) -> None:
    """Ends itself when its time is up."""
    while not context.should_stop:
        time.sleep(0.001)
    raise KeyboardInterrupt


def large(context: Context, config: Any) -> Any:
    """Returns and records more than the ledger takes."""
    import numpy as np

    for step in range(10_000):
        context.record({"step": (step, step)})
    return np.full(100_000, config.x)


def half_a_gigabyte_at_three(context: Context, config: Any) -> Any:
    """Returns 500 MB where x is 3."""
    import numpy as np

    return np.full(62_500_000, float(config.x)) if config.x == 3 else config.x


def recording_until_killed(context: Context, config: Any) -> None:
    """Records for more than a second and is killed."""
    for step in range(60):
        context.record({"step": (step, step)})
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)


def failing_below_thirty(context: Context, config: Any) -> int:
    """Fails in the first block of a matrix."""
    if config.x < 30:
        raise ValueError("the first block")
    return int(config.x)


def removing_the_store(context: Context, config: Any) -> int:
    """Does what a user may do meanwhile by `rm -rf`."""
    shutil.rmtree(config.settings["store"], ignore_errors=True)
    return int(config.x)


def main_with(matrix: dict[str, Any], experiment: str, **options: Any) -> None:
    """Run `experiment` of this module as a script would; used by tests that kill it."""
    from memento import Memento, ProcessExecutor

    executor = options.pop("executor", "processes")
    if executor in ("spawn", "fork"):
        executor = ProcessExecutor(2, start_method=executor)
    results = Memento(globals()[experiment], num_workers=2, executor=executor).run(matrix, **options)
    assert results is not None
    print("got", [result.inner for result in results])


if __name__ == "__main__":
    import json

    arguments = json.loads(sys.argv[1])
    main_with(arguments["matrix"], arguments["experiment"], **arguments.get("options", {}))
