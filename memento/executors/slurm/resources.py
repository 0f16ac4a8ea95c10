"""What a job asks of the cluster: from the executor's options, `runtime` in the matrix, and what failed before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from memento.errors import OptionError, SlurmError
from memento.executors.slurm import commands
from memento.matrix.runtime import bytes_of, seconds_of
from memento.names import nearest

MEGABYTE = 1024 * 1024
# What the batch script says by itself, because delivery, identity or requeues depend on it.
OURS = ("array", "chdir", "comment", "signal", "requeue", "no-requeue", "parsable", "wrap", "wait", "open-mode",
        "export", "nodes", "ntasks", "error", "test-only", "hold")  # fmt: skip
ELSEWHERE = {
    "cpus-per-task": "cpus", "gres": "gpus", "gpus": "gpus", "mem": "memory", "mem-per-cpu": "mem_per_cpu",
    "time": "time", "partition": "partition", "account": "account", "job-name": "jobname", "output": "output",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What the configurations of one kind of job need.

    `cpus`, `gpus` and `memory` (bytes) are for one configuration, `mem_per_cpu` is in bytes too, `time` is the seconds
    a job may run; None leaves it to the cluster. Of memory 0 is all that a node has, as for Slurm. `more` are further
    options of sbatch.
    """

    cpus: int = 1
    gpus: float | None = None
    memory: int | None = None
    mem_per_cpu: int | None = None
    time: float | None = None
    partition: str | None = None
    account: str | None = None
    jobname: str | None = None
    output: str | None = None
    more: tuple[tuple[str, str], ...] = ()

    @property
    def of_one(self) -> float | None:
        """How many bytes of memory one configuration is to have; None: what the cluster gives, or a node has."""
        return (self.memory if self.mem_per_cpu is None else self.mem_per_cpu * self.cpus) or None

    def grown(self, granted: Mapping[str, float], *, memory: float = 1.0, time: float = 1.0) -> Resources:
        """Return these with so many times memory and time; what was not asked for is what jobs were `granted`."""
        if memory != 1.0 and self.memory is None and self.mem_per_cpu is None and "memory" in granted:
            return replace(self, mem_per_cpu=int(granted["memory"])).grown(granted, memory=memory, time=time)
        if time != 1.0 and self.time is None and "time" in granted:
            return replace(self, time=granted["time"]).grown(granted, memory=memory, time=time)
        return replace(
            self,
            memory=None if self.memory is None else math.ceil(self.memory * memory),
            mem_per_cpu=None if self.mem_per_cpu is None else math.ceil(self.mem_per_cpu * memory),
            time=None if self.time is None else self.time * time,
        )

    def flags(self, together: int) -> list[str]:
        """Return the options of sbatch for a job that runs `together` configurations at once."""
        flags = [f"--cpus-per-task={self.cpus * together}"]
        if self.memory is not None:
            flags.append(f"--mem={math.ceil(self.memory * together / MEGABYTE)}M")
        elif self.mem_per_cpu is not None:
            flags.append(f"--mem-per-cpu={math.ceil(self.mem_per_cpu / MEGABYTE)}M")
        if self.gpus:
            flags.append(f"--gres=gpu:{math.ceil(self.gpus * together)}")
        if self.time is not None:
            flags.append(f"--time={math.ceil(self.time / 60)}")
        flags += [
            f"--{name}={value}" for name, value in (("partition", self.partition), ("account", self.account)) if value
        ]
        flags += [f"--{name}={value}" if value else f"--{name}" for name, value in self.more]
        return flags

    def shown(self, together: int) -> str:
        """Return them as a reader would say them."""
        words = [f"{self.cpus * together} CPU{'s' if self.cpus * together > 1 else ''}"]
        if self.gpus:
            words.append(f"{math.ceil(self.gpus * together)} GPUs")
        if 0 in (self.memory, self.mem_per_cpu):
            words.append("all memory of a node")
        elif self.memory is not None:
            words.append(f"{math.ceil(self.memory * together / MEGABYTE):,} MB")
        elif self.mem_per_cpu is not None:
            words.append(f"{math.ceil(self.mem_per_cpu / MEGABYTE):,} MB per CPU")
        words.append("the cluster's time limit" if self.time is None else f"{math.ceil(self.time / 60)} min")
        if self.partition:
            words.append(f"partition {self.partition}")
        return ", ".join(words)


def resources_of(runtime: Mapping[str, Any], defaults: Resources) -> Resources:
    """Return `defaults` with what the matrix's `runtime` says.

    Raises:
        OptionError: an option under 'slurm' is unknown to sbatch, or is set in another way.
    """
    said: dict[str, Any] = {
        name: runtime[name]
        for name in ("cpus", "gpus", "partition", "account", "jobname", "output")
        if runtime.get(name) is not None
    }
    for name in ("memory", "mem_per_cpu"):
        if runtime.get(name) is not None:
            said.update(memory=None, mem_per_cpu=None)
            said[name] = bytes_of(runtime[name])
    if runtime.get("time") is not None:
        said["time"] = seconds_of(runtime["time"])
    if runtime.get("slurm"):
        said["more"] = tuple(sorted({**dict(defaults.more), **dict(checked_options(runtime["slurm"]))}.items()))
    return replace(defaults, **said)


def checked_options(options: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return `options` as sbatch spells them; True stands for an option without a value.

    Raises:
        OptionError: one is unknown to sbatch, set by us, or has another place.
    """
    found: dict[str, str] = {}
    known = commands.options() if options else frozenset()
    for key, value in options.items():
        name = str(key).replace("_", "-").lstrip("-")
        if name in OURS:
            raise OptionError(f"slurm option {key!r} is set by memento itself; leave it out", option="slurm", value=key)
        if name in ELSEWHERE:
            raise OptionError(
                f"slurm option {key!r} has a place of its own: write {ELSEWHERE[name]!r} in runtime, or pass it to "
                "SlurmExecutor",
                option="slurm",
                value=key,
            )
        if known and name not in known:
            raise OptionError(
                f"sbatch knows no option {key!r}{nearest(name, sorted(known))}", option="slurm", value=key
            )
        if value is not False and value is not None:
            found[name] = "" if value is True else str(value)
    return tuple(sorted(found.items()))


def check_partition(name: str | None) -> None:
    """Raise SlurmError where the cluster is known to have no partition called `name`; several are divided by commas."""
    known = commands.partitions() if name else []
    for one in (name or "").split(","):
        if one and known and one not in known:
            raise SlurmError(
                f"the cluster has no partition {one!r}{nearest(one, known)} (it has {', '.join(sorted(set(known)))})",
                command="sinfo",
            )


def check_time(asked: Resources) -> None:
    """Raise SlurmError where no partition that was `asked` for lets a job run so long: it would wait for ever.

    Slurm takes such a job unless EnforcePartLimits is set. A QOS or a reservation may grant what a partition does not.
    """
    longest = commands.longest_time(asked.partition)
    if asked.time is not None and asked.time > longest and not {"qos", "reservation", "q"} & dict(asked.more).keys():
        where = f"partition {asked.partition}" if asked.partition else "the default partition"
        raise SlurmError(
            f"a job may run for {longest / 60:,.0f} min in {where}, and {math.ceil(asked.time / 60):,} min were asked "
            "for, so that it would never begin; ask for less time, or for a partition that grants it (see sinfo)",
            command="sinfo",
        )
