"""What `runtime` in a matrix may say about how configurations are run."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from memento.errors import OptionError
from memento.matrix.lint import check_dict, refuse, said
from memento.names import nearest

RUNTIME_KEYS = (
    "cpus", "gpus", "memory", "time", "partition", "account", "jobname", "output", "mem_per_cpu", "slurm",
)  # fmt: skip
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?")
_UNITS = {"": 1024**2, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_TIME = re.compile(r"(\d+-)?\d+(:\d\d){0,2}")
# Slurm itself reads also what has one digit for the minutes.
_CLOCK = re.compile(r"(\d+-)?\d+(:\d+){0,2}")


def check_runtime(runtime: object) -> dict[str, Any]:
    """Return how configurations are to be run."""
    found = dict(check_dict(runtime, "runtime", "{'cpus': 1, 'memory': '2G', 'time': '01:00:00'}"))
    for key, value in found.items():
        if key not in RUNTIME_KEYS:
            refuse(
                f"runtime[{key!r}]",
                value,
                f"runtime has an unknown key {key!r}{nearest(key, RUNTIME_KEYS)} "
                f"(known are: {', '.join(RUNTIME_KEYS)}; further options of Slurm go under 'slurm')",
            )
        wanted = _RUNTIME_RULES.get(key)
        if wanted is not None and not wanted[0](value):
            refuse(f"runtime[{key!r}]", value, f"runtime[{key!r}] is {said(value)}; write {wanted[1]}")
    return found


def seconds_of(time: str | int) -> float:
    """Return the seconds that `runtime["time"]` grants.

    The forms are Slurm's: a number of minutes, "MM:SS", "HH:MM:SS", "D-HH", "D-HH:MM" and "D-HH:MM:SS".

    Example:
        >>> seconds_of("01:30:00"), seconds_of("2-12"), seconds_of(5)
        (5400.0, 216000.0, 300.0)

    Raises:
        OptionError: it has none of them.
    """
    if not _CLOCK.fullmatch(str(time)):
        raise OptionError(f"time={time!r} is not a time; write {_RUNTIME_RULES['time'][1]}", option="time", value=time)
    days, dash, clock = str(time).rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    # After days the first number is hours; without them one number is minutes, and two are minutes and seconds.
    hours_first = bool(dash) or len(parts) == 3
    hours, minutes, seconds = [*parts, 0, 0][:3] if hours_first else [0, *parts, 0][:3]
    return float(((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds)


def bytes_of(memory: str | int) -> int:
    """Return the bytes that `memory` stands for: a number of them, or a text, which counts megabytes without a unit.

    Example:
        >>> bytes_of("2G"), bytes_of("500"), bytes_of(1000)
        (2147483648, 524288000, 1000)

    Raises:
        OptionError: it is neither.
    """
    if type(memory) is int and memory >= 0:
        return memory
    found = _MEMORY.fullmatch(memory.strip().upper()) if isinstance(memory, str) else None
    if found is None:
        raise OptionError(
            f"memory={memory!r} is no size; write {_RUNTIME_RULES['memory'][1]}", option="memory", value=memory
        )
    return math.ceil(float(found[1]) * _UNITS[found[2]])


def _memory(value: Any) -> bool:
    try:
        bytes_of(value)
    except OptionError:
        return False
    return True


def _gpus(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and (0 <= value < 1 or (value > 0 and value % 1 == 0))


def _time(value: object) -> bool:
    return (type(value) is int and value > 0) or (isinstance(value, str) and bool(_TIME.fullmatch(value)))


_RUNTIME_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "cpus": (lambda value: type(value) is int and value > 0, "a whole number of processors, 1 or more"),
    "gpus": (_gpus, "a whole number of devices, or a share of one below 1"),
    "memory": (_memory, "a text such as '2G', or a number of bytes"),
    "mem_per_cpu": (_memory, "a text such as '2G', or a number of bytes"),
    "time": (_time, "a text such as '01:30:00' or '2-00:00:00', or a number of minutes"),
    "slurm": (lambda value: isinstance(value, Mapping), "a dict of options such as {'qos': 'long'}"),
}
