"""Names of ours that lie in stored data: results, checkpoints, records, and the jobs that wait in a queue for a node.

A pickle finds what it holds by module and name, so each of these stays where it is for ever: what is renamed or moved
leaves its old name behind.
"""

from __future__ import annotations

import importlib
import operator
import subprocess
import sys
from pathlib import Path

import pytest

import memento

# Only added to, from the first version on.
PICKLED = [
    "memento.capture.call:Clock",
    "memento.capture.calling:_refuse_coroutine",
    "memento.capture.calling:Stack",
    "memento.capture.calling:Stack.begin",
    "memento.capture.calling:Stack.finish",
    "memento.capture.files:_InFile",
    "memento.capture.files:memfile",
    "memento.capture.files:read_memfile",
    "memento.capture.lists:_ByFunction",
    "memento.capture.lists:_InList",
    "memento.capture.lists:memfunc",
    "memento.capture.lists:memlist",
    "memento.capture.runner:Runner",
    "memento.capture.timing:time_taken",
    "memento.capture.web:_ByPost",
    "memento.capture.web:memweb",
    "memento.capture.web:send_unsent",
    "memento.config:Config",
    "memento.config:_restored",
    "memento.context:Context",
    "memento.errors:AggregateException",
    "memento.errors:CacheMiss",
    "memento.errors:CyclicDependency",
    "memento.errors:DamagedEntry",
    "memento.errors:EngineLost",
    "memento.errors:ExperimentFailed",
    "memento.errors:MatrixError",
    "memento.errors:MatrixWarning",
    "memento.errors:MementoError",
    "memento.errors:MissingExtra",
    "memento.errors:NameClash",
    "memento.errors:NotStored",
    "memento.errors:OptionError",
    "memento.errors:RecordingError",
    "memento.errors:SlurmError",
    "memento.errors:StoreError",
    "memento.errors:TooManyFailures",
    "memento.errors:UnkeyableValue",
    "memento.errors:UnknownDependency",
    "memento.errors:UnknownParameter",
    "memento.errors:WorkerStartError",
    "memento.errors:_rebuild",
    "memento.executors.dask:DaskExecutor",
    "memento.executors.processes.executor:ProcessExecutor",
    "memento.executors.ray:RayExecutor",
    "memento.executors.serial:SerialExecutor",
    "memento.executors.slurm.executor:SlurmExecutor",
    "memento.executors.threads:ThreadExecutor",
    "memento.experiment:Experiment",
    "memento.flights:advanced",
    "memento.flights:awaited",
    "memento.hashing.encoding:Named",
    "memento.hashing.encoding:register_key",
    "memento.job:Call",
    "memento.matrix.axis:Axis",
    "memento.matrix.block:Block",
    "memento.matrix.configurations:Configurations",
    "memento.matrix.diagram:Diagram",
    "memento.matrix.diagram:_Node",
    "memento.matrix.expand:generate_configurations",
    "memento.matrix.grids:grid",
    "memento.matrix.grids:random_grid",
    "memento.matrix.space:Space",
    "memento.memoizing.bound:BoundCache",
    "memento.memoizing.cache:BoundCache",
    "memento.memoizing.cache:Cache",
    "memento.memoizing.cache:memoize",
    "memento.memoizing.properties:Kept",
    "memento.memoizing.properties:memoized_property",
    "memento.notifications.apprise:AppriseNotificationProvider",
    "memento.notifications.base:DefaultNotificationProvider",
    "memento.notifications.base:NotificationProvider",
    "memento.notifications.console:ConsoleNotificationProvider",
    "memento.notifications.file:FileSystemNotificationProvider",
    "memento.notifications.mail:EmailNotificationProvider",
    "memento.notifications.mail:SmtpConfiguration",
    "memento.notifications.policy:DigestPolicy",
    "memento.notifications.secret:Secret",
    "memento.notifications.webhook:WebhookNotificationProvider",
    "memento.orchestrator:Memento",
    "memento.payload.home:class_of_script",
    "memento.payload.home:code_of_file",
    "memento.payload.wrapped:cached",
    "memento.payload.wrapped:fill_dispatcher",
    "memento.recording.chunks:Chunk",
    "memento.recording.chunks:StoredLevel",
    "memento.recording.collection:ExperimentCollection",
    "memento.recording.columns:Column",
    "memento.recording.columns:unpickled",
    "memento.recording.keeper:RecordKeeper",
    "memento.recording.records:Record",
    "memento.recording.records:Records",
    "memento.recording.records:_record_of",
    "memento.results.collection:Results",
    "memento.results.metrics:Metrics",
    "memento.results.result:MemoryUsage",
    "memento.results.result:Result",
    "memento.results.result:_restored",
    "memento.settings:Settings",
    "memento.sources:Source",
    "memento.store.opening:open_store",
    "memento.store.sqlite:SqliteStore",
    "memento.task:Failure",
    "memento.task:Status",
    "memento.tracking.mlflow:MlflowTracker",
    "memento.tracking.sync:Synced",
    "memento.tracking.sync:sync",
]
# A batch script imports the first, and a tracker's journal names the second as its maker.
WRITTEN = ["memento.executors.slurm.job:main", "memento.tracking.mlflow:MlflowTracker"]

SCRIPT = """
import functools
import io
import pickle
import pickletools
import threading
from memento import *
from memento import errors, payload
from memento.executors.elsewhere.sealed import seal
from memento.job import Call, Job
from memento.sources import Source


class Sample:
    @memoized_property
    def size(self):
        return 1

    @memoize
    def remembered(self):
        return 2


@memoize
def remembered(x):
    return x


@functools.lru_cache
def cached(x):
    return x


@functools.singledispatch
def dispatching(x):
    return x


@dispatching.register
def of_a_number(x: int):
    return x


@memlist(data=[])
@memfile("calls.jsonl")
@memfunc(callback=print)
@memweb("http://127.0.0.1:9/")
@time_taken()
def recorded(x):
    with capture_time("inner"):
        return x


@memlist(data=[], skip=True)
@memfile("skipping.jsonl", skip=True)
@memfunc(callback=print, skip=True)
@memweb("http://127.0.0.1:9/", skip=True)
def skipping(x):
    return x


@memfile("waiting.jsonl")
async def waiting(x):
    return x


@memfile("waiting-once.jsonl", skip=True)
async def waiting_once(x):
    return x


def experiment(context, config):
    context.record({"loss": 0.5})
    if config.x == 2:
        raise ValueError("on purpose")
    return config.x


class Seen(pickle.Unpickler):
    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.names = set()

    def find_class(self, module, name):
        if module.partition(".")[0] == "memento":
            self.names.add(f"{module}:{name}")
        return super().find_class(module, name)


def names_in(data):
    # Its own, and those of pickles that lie in it as bytes.
    seen = Seen(data)
    seen.load()
    inner = [argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, bytes)]
    return seen.names.union(*(names_in(one) for one in inner if one[:1] == b"\\x80" and one[-1:] == b"."))


if __name__ == "__main__":
    sample = Sample()
    sample.size
    keeper = RecordKeeper(model="svm")
    keeper.push(loss=1, mixed=None, own=lambda: 1)
    keeper.push(own=threading.Lock())
    keeper.sub_record_keeper(fold=2).push(loss=2.5, text="a")
    matrix = {
        "parameters": {"x": [1, 2, 3], "data": [Named("corpus", "a b c")]},
        "settings": {"rate": Named("fast", 1)},
        "exclude": [{"x": 3}],
    }
    configurations = generate_configurations(matrix)
    try:
        Memento(experiment, executor="serial").run({"parameters": {"x": [1, 2]}}, progress=False)
    except AggregateException as error:
        failed = error
    result = failed.results[0]
    job = Job(bytes(8), experiment, configurations, Call(), "", "", sources=(Source("", 0, b""),))
    values = [
        *(configurations, configurations[0], configurations.settings, result, failed.results, result.metrics),
        *(result.metrics["loss"], result.memory, result.status, failed.results[1].error, failed, matrix),
        *(keeper.records, keeper.records[0], sample, sample.remembered, remembered, cached, dispatching, recorded),
        *(skipping, waiting, waiting_once, errors.MatrixError("wrong", key="x"), EmailNotificationProvider),
        EmailNotificationProvider(SmtpConfiguration("x.org", 25, password="secret"), "a@x.org", "b@x.org"),
        WebhookNotificationProvider("https://x.org/secret", policy=DigestPolicy()),
    ]
    pickles = [b"".join(map(bytes, payload.encode(value).chunks)) for value in values]
    print(*names_in(seal(job)).union(*map(names_in, pickles)), sep="\\n")
"""


@pytest.mark.parametrize("name", [*PICKLED, *WRITTEN])
def test_a_name_that_lies_in_stored_data_is_found_for_ever(name: str):
    module, _, path = name.partition(":")

    assert callable(operator.attrgetter(path)(importlib.import_module(module)))


def test_what_is_public_is_pickled_by_the_name_of_its_home():
    public = [getattr(memento, name) for name in memento.__all__]

    homes = {f"{one.__module__}:{one.__qualname__}" for one in public if hasattr(one, "__qualname__")}
    assert sorted(homes - {*PICKLED}) == []


def test_pickles_hold_no_other_names_of_ours(tmp_path: Path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py"]
    found = subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True).stdout.split()

    assert {"memento.job:Call", "memento.recording.columns:unpickled", "memento.payload.home:code_of_file"} <= {*found}
    assert sorted({*found} - {*PICKLED}) == []
