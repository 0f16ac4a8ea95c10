"""What the state of a job means: whether it goes on, and if it does not, what that was for its configurations.

Slurm's words, as squeue and sacct give them. Words that are unknown here mean that the job goes on: a job that is
taken for over while it runs would be run twice, the other way round it is only waited for.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from memento.executors.slurm.batch import job_name
from memento.executors.slurm.commands import JobState
from memento.protocols import Lost
from memento.task import Failure, Status, Task

# PREEMPTED is among them where preemption cancels; where it requeues, squeue shows the job as pending again.
OVER = frozenset(
    ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "PREEMPTED",
     "REVOKED"]
)  # fmt: skip
# A job may show one of these for a moment before Slurm puts it back into the queue.
MAY_COME_BACK = frozenset(["NODE_FAIL", "PREEMPTED", "BOOT_FAIL"])
VANISHED = "VANISHED"
# Why a job waits that asks for more than it may ever have; other limits are of all jobs together, and pass.
_FOR_EVER = re.compile(r"PartitionTimeLimit|(?:Assoc|QOS)Max\w+PerJob(?:Limit)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of configurations that were running when their job ended.

    `blames` is whether it counts as an attempt of theirs; where it does not, they are run again at no cost.
    """

    status: Status
    type: str
    cause: str
    words: str
    blames: bool = True


_VERDICTS = {
    "CANCELLED": Verdict(status=Status.CANCELLED, type="Cancelled", cause="cancelled", words="was cancelled"),
    "TIMEOUT": Verdict(status=Status.TIMED_OUT, type="TimedOut", cause="timeout", words="ran into its time limit"),
    "DEADLINE": Verdict(status=Status.TIMED_OUT, type="TimedOut", cause="timeout", words="ran into its deadline"),
    "OUT_OF_MEMORY": Verdict(
        status=Status.KILLED, type="OutOfMemory", cause="memory", words="used more memory than it had asked for"
    ),
    "NODE_FAIL": Verdict(status=Status.KILLED, type="NodeFailed", cause="node", words="ended because its node failed"),
    "BOOT_FAIL": Verdict(
        status=Status.KILLED, type="NodeFailed", cause="node", words="ended because its node did not start",
    ),
    "PREEMPTED": Verdict(
        status=Status.KILLED, type="Preempted", cause="node", words="was ended for another job", blames=False
    ),
    VANISHED: Verdict(
        status=Status.KILLED, type="JobVanished", cause="node", words="is known neither to squeue nor to sacct any more"
    ),
}  # fmt: skip
_ENDED = Verdict(status=Status.KILLED, type="JobEnded", cause="killed", words="ended before the experiment did")
# What slurmstepd writes into the job's output when it ends it; without a reason it was cancelled.
_NOTICE = re.compile(r"^.*\*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+(?: DUE TO ([A-Z ]+))?", re.MULTILINE)
_REASONS = {"TIME LIMIT": "TIMEOUT", "PREEMPTION": "PREEMPTED", "NODE FAILURE": "NODE_FAIL", "": "CANCELLED"}
# What slurmstepd writes into the job's output where memory is watched without control groups.
_MEMORY_WORDS = ("oom-kill", "out-of-memory", "exceeded memory limit", "exceeded job memory limit", "oom killed")


def is_over(state: JobState) -> bool:
    """Return whether the job will do nothing more."""
    return state.state in OVER


def waits_for_ever(state: JobState) -> bool:
    """Return whether the job is in the queue and will not leave it by itself."""
    return state.state == "PENDING" and _FOR_EVER.fullmatch(state.reason) is not None


def verdict_of(state: JobState, output: str) -> Verdict:
    """Return what the end of a job means, whose output was `output`."""
    if state.state == "FAILED" and any(words in output.lower() for words in _MEMORY_WORDS):
        return _VERDICTS["OUT_OF_MEMORY"]
    return _VERDICTS.get(state.state, _ENDED)


def word_of(output: str) -> str | None:
    """Return in Slurm's word how a job was ended, as its daemon wrote into its output; None where it wrote nothing."""
    reasons = _NOTICE.findall(output)
    return _REASONS.get(reasons[-1].strip()) if reasons else None


def told_by_itself(left: float | None) -> str:
    """Return in Slurm's word why a job was sent SIGTERM that had so many seconds left (None: not known)."""
    return "TIMEOUT" if left is not None and left <= 0 else "CANCELLED"


def failure_of(verdict: Verdict, state: JobState, output: str = "", own: str = "") -> Failure:
    """Return the failure of a configuration whose job came to this end; it names job, node, exit and the last words.

    These are the job's `own`, if it had any, or Slurm's in its `output`.
    """
    words = [line.strip() for line in output.splitlines() if line.startswith(("slurmstepd", "srun", "slurmd"))]
    words += own.splitlines()[-1:]
    end = f"{state.state}{f', exit {state.exit}' if state.exit else ''}"
    where = f" on {state.node}" if state.node else ""
    code, _, signal = state.exit.partition(":")
    return Failure(
        type=verdict.type,
        message=f"its Slurm job {named(state)}{where} {verdict.words} ({end}){'. ' + words[-1] if words else ''}",
        cause=verdict.cause,
        lineage=(verdict.type, "TimeoutError") if verdict.cause == "timeout" else (verdict.type,),
        signal=int(signal) if signal.isdecimal() and int(signal) else None,
        exit_code=int(code) if code.isdecimal() and verdict is _ENDED else None,
    )


def named(state: JobState) -> str:
    """Return the job's id as Slurm writes it."""
    return state.job if state.index is None else job_name(state.job, state.index)


def never_begun(message: str, cause: str = "node") -> Failure:
    """Return the failure of a configuration that nothing will begin any more."""
    return Failure(type="NeverBegun", message=message, cause=cause, lineage=("NeverBegun",))


def lost_unbegun(task: Task, failure: Failure) -> Lost:
    """Return what to report of `task`, which will not be tried again either."""
    return Lost(task=task, status=Status.FAILED, failure=failure, started=time.time(), runtime=0.0, final=True)
