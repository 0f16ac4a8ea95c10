"""Slurm's own commands, each with a time limit: what we ask, and what their answers mean.

A command that fails or takes too long means "unknown": `squeue` and `sacct` then return None, never "no such job".
`calls` counts them, because a cluster's operators count them too.
"""

from __future__ import annotations

import functools
import math
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from memento.errors import OptionError, SlurmError
from memento.matrix.runtime import seconds_of

# A dead controller answers after nine seconds; a busy one takes longer.
PATIENCE = 60.0
SUBMIT_PATIENCE = 120.0
# So many job ids in one command line.
MOST_IDS = 500
DEFAULT_ARRAY_SIZE, DEFAULT_MEMORY = 1001, 300

calls: Counter[str] = Counter()


@dataclass(frozen=True, kw_only=True, slots=True)
class JobState:
    """What Slurm says of one job, or of one task of a job array.

    `job` is the id of the whole array, `index` the task's (None: no array), `state` the long form ("RUNNING"), `exit`
    the exit code and signal as in "0:9" where it is known, `reason` why it is pending. Whose job it is say `tag`, the
    comment, in squeue, and `folder`, where it was submitted to run, in sacct, which keeps comments only where it was
    told to.
    """

    job: str
    index: int | None
    state: str
    node: str = ""
    exit: str = ""
    reason: str = ""
    tag: str = ""
    folder: str = ""


class CommandFailed(Exception):
    """A command of Slurm's ended with an error, or not at all: `said` is what it wrote, `timed_out` whether it hung."""

    def __init__(self, said: str, *, timed_out: bool = False) -> None:
        super().__init__(said)
        self.said = said
        self.timed_out = timed_out


def run(name: str, *arguments: str, text: str = "", patience: float = PATIENCE) -> str:
    """Return what the command `name` writes, having given it `text` on its standard input.

    Raises:
        SlurmError: there is no such command here.
        CommandFailed: it ended with an error, or was ended after `patience` seconds.
    """
    calls[name] += 1
    try:
        done = subprocess.run(
            [name, *arguments],
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            check=False,
            # Times as seconds, lists in full, and words that do not change with the user's settings.
            env={**_without_defaults(), "SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0", "LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError:
        raise SlurmError(
            f"{name} was not found: this machine cannot submit jobs to Slurm; run on a login node of the cluster, or "
            "use executor='processes'",
            command=name,
        ) from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{name} did not answer within {patience:g} s", timed_out=True) from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"{name} ended with status {done.returncode}"
        raise CommandFailed(said)
    return done.stdout


def _without_defaults() -> dict[str, str]:
    # What users set to change the looks of squeue and sacct would change what we read.
    return {name: value for name, value in os.environ.items() if not name.startswith(("SQUEUE_", "SACCT_"))}


def require() -> None:
    """Raise SlurmError where jobs cannot be submitted from this machine."""
    if shutil.which("sbatch") is None:
        raise SlurmError(
            "sbatch was not found: this machine cannot submit jobs to Slurm; run on a login node of the cluster, or "
            "use executor='processes'",
            command="sbatch",
        )


def submit(script: str) -> str:
    """Submit the batch `script` and return the job's id.

    Raises:
        CommandFailed: it was refused, or nothing is known of it.
    """
    return run("sbatch", "--parsable", text=script, patience=SUBMIT_PATIENCE).strip().partition(";")[0]


def queue() -> list[JobState] | None:
    """Return this user's jobs, those that ended minutes ago included; None when that cannot be known now."""
    form = "ArrayJobID:|,ArrayTaskID:|,State:|,exit_code:|,NodeList:|,Reason:|,Comment:"
    try:
        answer = run("squeue", "--noheader", "--array", "--me", "--states=all", f"--Format={form}")
    except CommandFailed:
        return None
    return [state for line in answer.splitlines() for state in _queued(line)]


def _queued(line: str) -> list[JobState]:
    fields = line.strip().split("|", 6)
    if len(fields) != 7:
        return []
    job, indices, state, status, node, reason, tag = fields
    one = JobState(job=job, index=None, state=state, node=node, exit=_exit_of(status), reason=reason, tag=tag)
    return [replace(one, index=index) for index in _indices_of(indices)]


def _indices_of(text: str) -> list[int | None]:
    """Return the tasks of an array that a line is about: of those cancelled before they began there is one line."""
    found: list[int | None] = []
    for piece in text.partition("%")[0].split(","):
        first, _, last = piece.partition("-")
        if first.isdecimal() and (not last or last.isdecimal()):
            found.extend(range(int(first), int(last or first) + 1))
    return found or [None]


def _exit_of(status: str) -> str:
    """Return the exit code and the signal out of what waitpid gave."""
    return f"{int(status) >> 8}:{int(status) & 127}" if status.isdecimal() else ""


def accounted(jobs: Sequence[str]) -> list[JobState] | None:
    """Return what the accounting knows of `jobs`, oldest first, every requeue by itself; None where it knows nothing.

    A line that is cut off, as it is when the database goes away in the middle, is left out.
    """
    found: list[JobState] = []
    for start in range(0, len(jobs), MOST_IDS):
        ids = ",".join(jobs[start : start + MOST_IDS])
        form = "JobID%60,State,ExitCode,NodeList,WorkDir"
        try:
            answer = run(
                "sacct",
                "--noheader",
                "--parsable2",
                "--allocations",
                "--duplicates",
                f"--format={form}",
                f"--jobs={ids}",
            )
        except (CommandFailed, SlurmError):
            return None
        found += [state for line in answer.splitlines(keepends=True) if (state := _accounted(line)) is not None]
    return found


def _accounted(line: str) -> JobState | None:
    fields = line.rstrip("\n").split("|", 4)
    if len(fields) != 5 or not line.endswith("\n"):
        return None
    number, state, status, node, folder = fields
    job, _, index = number.partition("_")
    if not job.isdecimal() or (index and not index.isdecimal()):
        return None  # what is still pending of an array, as "12_[3-7]"
    return JobState(
        job=job,
        index=int(index) if index else None,
        state=state.partition(" ")[0],  # "CANCELLED by 1000"
        node=node,
        exit=status,
        folder=folder,
    )


def cancel(jobs: Sequence[str], *arguments: str) -> None:
    """Cancel `jobs`; those that have ended stay as they are."""
    for start in range(0, len(jobs), MOST_IDS):
        try:
            run("scancel", "--quiet", *arguments, *jobs[start : start + MOST_IDS])
        except CommandFailed as error:
            if error.timed_out:
                raise SlurmError(
                    f"the jobs {', '.join(jobs)} may not have been cancelled: {error.said}; look with squeue",
                    command="scancel",
                ) from error


def largest_array() -> int:
    """Return how many tasks a job array may have here, which is also the largest index and one more."""
    return max(1, _setting("MaxArraySize", DEFAULT_ARRAY_SIZE))


def remembered() -> float:
    """Return for how many seconds squeue shows a job that has ended."""
    return _setting("MinJobAge", DEFAULT_MEMORY) or math.inf


def _setting(name: str, otherwise: int) -> int:
    try:
        found = re.search(rf"^{name}\s*=\s*(\d+)", _configuration(), re.MULTILINE)
    except (CommandFailed, SlurmError):
        return otherwise
    return int(found[1]) if found else otherwise


@functools.cache  # of what it raises nothing is kept: then it is asked again
def _configuration() -> str:
    return run("scontrol", "show", "config")


def partitions() -> list[str]:
    """Return the names of the partitions; none when that cannot be known now."""
    try:
        return run("sinfo", "--noheader", "--format=%R").split()
    except (CommandFailed, SlurmError):
        return []


def longest_time(partitions: str | None) -> float:
    """Return how many seconds a job may run in one of `partitions`, as sbatch takes them; infinity where not known."""
    try:
        limits = _time_limits()
    except (CommandFailed, SlurmError):
        return math.inf
    default = next((name for name in limits if name.endswith("*")), "")
    return max(limits.get(name, limits.get(f"{name}*", math.inf)) for name in (partitions or default).split(","))


@functools.cache  # as above
def _time_limits() -> dict[str, float]:
    answer = run("sinfo", "--noheader", "--format=%P|%l")
    return {name: _seconds(limit) for name, _, limit in (line.strip().partition("|") for line in answer.splitlines())}


def _seconds(limit: str) -> float:
    try:
        return seconds_of(limit)
    except OptionError:  # "infinite", or "n/a"
        return math.inf


def hosts() -> list[str]:
    """Return the addresses of the nodes, each once; none when that cannot be known now."""
    try:
        return sorted(set(run("sinfo", "--noheader", "--Node", "--format=%o").split()))
    except (CommandFailed, SlurmError):
        return []


def options() -> frozenset[str]:
    """Return the long options that sbatch knows; none when it does not say."""
    try:
        return frozenset(re.findall(r"--([a-z][a-z0-9-]+)", _help()))
    except (CommandFailed, SlurmError):
        return frozenset()


@functools.cache  # as above
def _help() -> str:
    return run("sbatch", "--help")


def field_of_job(job: str, name: str) -> str | None:
    """Return what `scontrol show job` says of `name`, such as "EndTime"; None when that cannot be known now."""
    try:
        answer = run("scontrol", "--oneliner", "show", "job", job)
    except (CommandFailed, SlurmError):
        return None
    found = re.search(rf"\b{name}=(\S+)", answer)
    return found[1] if found else None
