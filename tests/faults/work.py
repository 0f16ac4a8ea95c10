"""The experiments that are killed, interrupted, starved of disk and run twice at once, and what they have to give."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from memento import Config, Context, Memento, ProcessExecutor, generate_configurations, open_store
from memento.events import Succeeded
from memento.fingerprint.identity import identify
from memento.results import Results
from memento.store import schema
from tests.faults.trial import append_line, begun, finished

PROCESSES = ("forkserver", "spawn", "fork")
METHODS = (*PROCESSES, "threads", "serial")
LARGE_EVERY = 7
STEPS = 40
SCRIPT = """
from tests.faults import work
if __name__ == "__main__":
    work.main(sys.argv[1])
"""


def computing(context: Context, config: Config) -> Any:
    """Take a few milliseconds, record a metric, and return a small value, or a large one that gets its own file."""
    begun(config.x)
    time.sleep(config.settings["seconds"] * (config.x * 7919 % 40) / 20)
    context.record({"x": (config.x, config.x)})
    value = value_of(config.x)
    finished(config.x)
    return value


def value_of(x: int) -> Any:
    """Return what `computing` gives."""
    if x % LARGE_EVERY == 3:
        return bytes([x % 256]) * (90_000 + x)
    return {"x": x, "square": x**2, "text": "value " * (x % 50)}


def stepping(context: Context, config: Config) -> list[int]:
    """Make `STEPS` steps, with a checkpoint after each; the log has each as its own key."""
    done: list[int] = context.restore(default=[])
    for step in range(len(done), STEPS):
        begun(f"{config.x}/{step}")
        time.sleep(config.settings["seconds"])
        done = [*done, step * config.x]
        finished(f"{config.x}/{step}")
        context.record({"done": (step, step)})
        context.checkpoint(done)
    return done


def waiting(context: Context, config: Config) -> int:
    """Hang, in an executor of processes with two of its own, until the file `go` of the settings is there.

    One of the two has left the worker's session. What can be caught is caught, as experiments do.
    """
    begun(config.x)
    while not Path(config.settings["go"]).exists():
        try:
            if config.settings["method"] in PROCESSES:
                for alone in (True, False):
                    subprocess.Popen(["sleep", "600"], start_new_session=alone)
            time.sleep(600)
        except Exception:
            continue
    finished(config.x)
    return config.x


def steps_of(x: int) -> list[int]:
    """Return what `stepping` gives."""
    return [step * x for step in range(STEPS)]


EXPERIMENTS = {"computing": (computing, value_of), "stepping": (stepping, steps_of), "waiting": (waiting, int)}


class Marking:
    """A listener that writes down, in the file `path`, every key of which the run says that it is stored."""

    hears = (Succeeded,)

    def __init__(self, path: Path) -> None:
        self.path = path

    def handle(self, event: Succeeded) -> None:
        """Keep the key."""
        append_line(self.path, event.key)

    def close(self) -> None:
        """Keep nothing open."""


def matrix(count: int, **settings: Any) -> Mapping[str, Any]:
    """Return a matrix of `count` configurations; by default each takes about two milliseconds."""
    return {"parameters": {"x": list(range(count))}, "settings": {"seconds": 0.002, **settings}}


def options(store: Path, method: str = "forkserver", **others: Any) -> str:
    """Return the argument of `SCRIPT`: where to store, how to run, and the fields of `main`."""
    return json.dumps({"store": str(store), "method": method, **others})


def main(argument: str) -> None:
    """Be the script: run, and print how many results came and how many of them are right."""
    given = json.loads(argument)
    if given.get("network"):
        schema.is_network = lambda folder: True
    method, count = given["method"], given["count"]
    experiment, expected = EXPERIMENTS[given.get("experiment", "computing")]
    workers = given.get("workers", 2)
    executor = ProcessExecutor(workers, start_method=method) if method in PROCESSES else method
    listeners = [Marking(Path(given["marks"]))] if "marks" in given else []
    what = matrix(count, **given.get("settings", {}))
    results = Memento(experiment, num_workers=workers, executor=executor, listeners=listeners).run(
        what, cache_path=given["store"], progress=False, **given.get("run", {})
    )
    if isinstance(executor, ProcessExecutor):
        executor.close()
    assert results is not None
    right = sum(result.inner == expected(x) for x, result in enumerate(results))
    print(f"{right} of {count} right, {sum(result.was_cached for result in results)} from the store")


def keys_of(count: int) -> list[bytes]:
    """Return the keys of `matrix` for `computing`, in order."""
    return list(generate_configurations(matrix(count), experiment=identify(computing).name).keys())


def stored(store: Path, count: int) -> tuple[set[str], list[str]]:
    """Return which x of `matrix` the next run finds in `store`, and what of that is not as it should be."""
    configurations = generate_configurations(matrix(count), experiment=identify(computing).name)
    with open_store(store) as opened:
        opened.take_over()
        keys = list(configurations.keys())
        found = opened.find(keys)
        entries = [found.get(key) for key in keys]
        results = Results(configs=configurations, entries=entries, store=opened, cached=bytearray(count))
        have = {x for x in range(count) if keys[x] in found and found[keys[x]].status.ok}
        wrong = [f"x={x} is {results[x].inner!r:.60}" for x in have if results[x].inner != value_of(x)]
        wrong += [f"x={x} lost its metric" for x in have if results[x].metric_points("x")[1].tolist() != [x]]
        return {str(x) for x in have}, wrong + [message for _, message in opened.damaged]
