"""Memento runs experiments over a matrix of parameters, and loses nothing whatever happens.

Example:
    >>> from memento import Memento
    >>> def experiment(context, config):
    ...     return config.width * config.height
    >>> matrix = {"parameters": {"width": [1, 2], "height": [3, 4]}}
    >>> results = Memento(experiment, executor="serial").run(matrix)
    >>> [result.inner for result in results]
    [3, 4, 6, 8]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memento.capture import (
        Runner,
        capture_time,
        memfile,
        memfunc,
        memlist,
        memweb,
        read_memfile,
        send_unsent,
        time_taken,
    )
    from memento.config import Config
    from memento.context import Context
    from memento.errors import (
        AggregateException,
        CacheMiss,
        CyclicDependency,
        DamagedEntry,
        EngineLost,
        ExperimentFailed,
        MatrixError,
        MatrixWarning,
        MementoError,
        MissingExtra,
        NameClash,
        NotStored,
        OptionError,
        RecordingError,
        SlurmError,
        StoreError,
        TooManyFailures,
        UnkeyableValue,
        UnknownDependency,
        UnknownParameter,
        WorkerStartError,
    )
    from memento.executors.dask import DaskExecutor
    from memento.executors.processes.executor import ProcessExecutor
    from memento.executors.ray import RayExecutor
    from memento.executors.serial import SerialExecutor
    from memento.executors.slurm import SlurmExecutor
    from memento.executors.threads import ThreadExecutor
    from memento.hashing import Named, register_key
    from memento.matrix import generate_configurations
    from memento.matrix.configurations import Configurations
    from memento.matrix.grids import grid, random_grid
    from memento.memoizing import Cache, memoize, memoized_property
    from memento.notifications import (
        AppriseNotificationProvider,
        ConsoleNotificationProvider,
        DefaultNotificationProvider,
        DigestPolicy,
        EmailNotificationProvider,
        FileSystemNotificationProvider,
        NotificationProvider,
        SmtpConfiguration,
        WebhookNotificationProvider,
    )
    from memento.orchestrator import Memento
    from memento.recording import ExperimentCollection, Record, RecordKeeper, Records
    from memento.results import MemoryUsage, Result, Results
    from memento.store import open_store
    from memento.task import Failure, Status
    from memento.tracking.mlflow import MlflowTracker
    from memento.tracking.sync import Synced, sync

__version__ = "0.1.0"

__all__ = [
    "AggregateException",
    "AppriseNotificationProvider",
    "Cache",
    "CacheMiss",
    "Config",
    "Configurations",
    "ConsoleNotificationProvider",
    "Context",
    "CyclicDependency",
    "DamagedEntry",
    "DaskExecutor",
    "DefaultNotificationProvider",
    "DigestPolicy",
    "EmailNotificationProvider",
    "EngineLost",
    "ExperimentCollection",
    "ExperimentFailed",
    "Failure",
    "FileSystemNotificationProvider",
    "MatrixError",
    "MatrixWarning",
    "Memento",
    "MementoError",
    "MemoryUsage",
    "MissingExtra",
    "MlflowTracker",
    "NameClash",
    "Named",
    "NotStored",
    "NotificationProvider",
    "OptionError",
    "ProcessExecutor",
    "RayExecutor",
    "Record",
    "RecordKeeper",
    "RecordingError",
    "Records",
    "Result",
    "Results",
    "Runner",
    "SerialExecutor",
    "SlurmError",
    "SlurmExecutor",
    "SmtpConfiguration",
    "Status",
    "StoreError",
    "Synced",
    "ThreadExecutor",
    "TooManyFailures",
    "UnkeyableValue",
    "UnknownDependency",
    "UnknownParameter",
    "WebhookNotificationProvider",
    "WorkerStartError",
    "capture_time",
    "generate_configurations",
    "grid",
    "memfile",
    "memfunc",
    "memlist",
    "memoize",
    "memoized_property",
    "memweb",
    "open_store",
    "random_grid",
    "read_memfile",
    "register_key",
    "send_unsent",
    "sync",
    "time_taken",
]

# Loaded when first asked for: workers import the few modules they need, and pay for no others.
_NAMES = {
    "memento.capture": "Runner capture_time memfile memfunc memlist memweb read_memfile send_unsent time_taken",
    "memento.config": "Config",
    "memento.context": "Context",
    "memento.errors": (
        "AggregateException CacheMiss CyclicDependency DamagedEntry EngineLost ExperimentFailed MatrixError "
        "MatrixWarning MementoError MissingExtra NameClash NotStored OptionError RecordingError SlurmError "
        "StoreError TooManyFailures UnkeyableValue UnknownDependency UnknownParameter WorkerStartError"
    ),
    "memento.executors.dask": "DaskExecutor",
    "memento.executors.processes.executor": "ProcessExecutor",
    "memento.executors.ray": "RayExecutor",
    "memento.executors.serial": "SerialExecutor",
    "memento.executors.slurm": "SlurmExecutor",
    "memento.executors.threads": "ThreadExecutor",
    "memento.hashing": "Named register_key",
    "memento.matrix": "generate_configurations",
    "memento.matrix.configurations": "Configurations",
    "memento.matrix.grids": "grid random_grid",
    "memento.memoizing": "Cache memoize memoized_property",
    "memento.notifications": (
        "AppriseNotificationProvider ConsoleNotificationProvider DefaultNotificationProvider DigestPolicy "
        "EmailNotificationProvider FileSystemNotificationProvider NotificationProvider SmtpConfiguration "
        "WebhookNotificationProvider"
    ),
    "memento.orchestrator": "Memento",
    "memento.recording": "ExperimentCollection Record RecordKeeper Records",
    "memento.results": "MemoryUsage Result Results",
    "memento.store": "open_store",
    "memento.task": "Failure Status",
    "memento.tracking.mlflow": "MlflowTracker",
    "memento.tracking.sync": "Synced sync",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

# Names of memento-ml 1.2 that are gone; memento.removed_names says what to use instead. `__getattr__` is asked for each
# of our own modules too.
_FORMER = {
    "CacheProvider",
    "FileSystemCacheProvider",
    "FileSystemCheckpointing",
    "MemoryCacheProvider",
    "TASK_PRIORITY_HIGH",
    "TASK_PRIORITY_LOW",
    "TASK_PRIORITY_MEDIUM",
    "TaskManager",
    "default_key_provider",
    "delayed",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        if name in _FORMER:
            importlib.import_module("memento.removed_names").refuse(name)
        raise AttributeError(f"module 'memento' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
