"""A script written for memento-ml 1.2 runs unchanged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from memento import (
    AggregateException, Cache, CacheMiss, Config, ConsoleNotificationProvider, Context, CyclicDependency,
    DefaultNotificationProvider, FileSystemNotificationProvider, Memento, NotificationProvider, Result,
    SmtpConfiguration, EmailNotificationProvider, generate_configurations,
)


class Model:
    pass


def experiment(context: Context, config: Config):
    if context.checkpoint_exist():
        state = context.restore()
    else:
        state = 1
        context.checkpoint(state)
    context.record({"loss": 0.5})
    context.record({"loss": (1.0, 0.25)})
    return config.x * config.settings["factor"] + state


matrix = {
    "parameters": {"x": [1, 2, 3], "model": [Model]},
    "settings": {"factor": 10},
    "exclude": [{"x": 2}],
}

configurations = generate_configurations(matrix)
print(len(configurations), [config.x for config in configurations], configurations.settings["factor"])
print(configurations[0], configurations[0].asdict())

results = Memento(experiment, ConsoleNotificationProvider(), 2).run(matrix, cache_path="memento.sqlite")
for result in results:
    assert isinstance(result, Result)
    print(result.config.x, result.inner, result.was_cached, list(result.metrics["loss"].y), result.runtime.days)

print(Memento(experiment).run(matrix, cache_path="memento.sqlite", force_cache=True)[0].was_cached)
try:
    Memento(experiment).run({"parameters": {"x": [9]}, "settings": {"factor": 1}}, False, False, True, "memento.sqlite")
except CacheMiss as error:
    print("miss", error)

def failing(context, config):
    raise ValueError("on purpose")

try:
    Memento(failing, FileSystemNotificationProvider("logs.txt")).run({"parameters": {"x": [1]}})
except AggregateException as error:
    print(len(error.exceptions), "failed")
print(open("logs.txt").read().splitlines()[0][:11])


class Provider(DefaultNotificationProvider):
    def task_completed(self):
        print("completed", file=sys.stdout)

    def all_tasks_completed(self):
        print("all completed")


def staged(context, config):
    return config.asdict().get("one", config.asdict().get("x")) * 2

memento = Memento(staged, Provider())
memento.add_matrix({"id": "one", "parameters": {"x": [1, 2]}, "dependencies": []})
memento.add_matrix({"id": "two", "parameters": {}, "dependencies": ["one"]})
print({name: [result.inner for result in found] for name, found in memento.run_all().items()})

memento = Memento(staged)
memento.add_matrix({"id": "one", "parameters": {"x": [1]}, "dependencies": ["two"]})
memento.add_matrix({"id": "two", "parameters": {"x": [1]}, "dependencies": ["one"]})
try:
    memento.run_all()
except CyclicDependency as error:
    print("cycle")


@Cache
def slow(x, y=1):
    print("called")
    return x + y

print(slow(1), slow(1, y=1), slow(1, force_run=True))
"""

EXPECTED = """\
2 [1, 3] 10
{'x': 1, 'model': Model} {'x': 1, 'model': <class '__main__.Model'>}
1 11 False [0.5, 0.25] 0
3 31 False [0.5, 0.25] 0
True
miss no stored result for {'x': 9}; run it once without force_cache
1 failed
Task failed
{'one': [2, 4], 'two': [4, 8]}
cycle
called
called
2 2 2
"""


@pytest.mark.parametrize("place", ["environment", "default"])
def test_a_script_for_memento_ml_runs_unchanged(place: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = dict(os.environ)
    environment.pop("MEMENTO_CACHE_PATH", None)
    if place == "environment":
        environment["MEMENTO_CACHE_PATH"] = str(tmp_path / "elsewhere.sqlite")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = ("Task completed", "All tasks completed", "completed", "all completed")
    lines = done.stdout.splitlines(keepends=True)
    assert "".join(line for line in lines if not line.startswith(told)) == EXPECTED
    assert sum(line.startswith("Task completed") for line in lines) == 2
    assert sum(line.startswith("All tasks completed") for line in lines) == 1
    assert (sum(line == "completed\n" for line in lines), sum(line == "all completed\n" for line in lines)) == (4, 1)
    assert (tmp_path / ".memento").is_dir() == (place == "default")


GONE = [
    *("CacheProvider", "FileSystemCacheProvider", "FileSystemCheckpointing", "MemoryCacheProvider", "TaskManager"),
    *("TASK_PRIORITY_HIGH", "TASK_PRIORITY_LOW", "TASK_PRIORITY_MEDIUM", "default_key_provider", "delayed"),
]


@pytest.mark.parametrize("name", GONE)
def test_the_import_of_a_name_that_is_gone_says_what_to_use_instead(name: str) -> None:
    with pytest.raises(ImportError, match=f"^memento has no '{name}', which memento-ml 1.2 had: .{{30,}}") as caught:
        exec(f"from memento import {name}")
    assert caught.value.name == f"memento.{name}"
