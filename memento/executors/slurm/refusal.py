"""What a refusal of sbatch's means: whether it is over by itself, what to do where it is not, and whom it costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from memento.executors.slurm import commands
from memento.executors.slurm.batch import Batch
from memento.executors.slurm.verdict import is_over, lost_unbegun, never_begun
from memento.protocols import Lost
from memento.task import Failure

# Over when the controller is back or less busy.
PASSING = ("temporarily", "too many", "try again", "timed out", "unable to contact", "unexpected message",
           "connection", "zero bytes")  # fmt: skip
# The limits of how many jobs one may have, as AssocMaxSubmitJobLimit or MaxSubmitJobsPerAccount: over when others end.
_NUMBER = "submitjob"
# In those the jobs of other users count as well.
_SHARED = ("grp", "account")
# Said of any limit that is set in the accounting; which one it is stands before it, except in old versions.
_POLICY = "job submit limit"
_NAMED = re.compile(r"\b(?:Assoc|QOS|Max)[A-Z]\w+")
# Of what one job asks for, rather than of an account or a name that is wrong.
_SIZE = ("limit", "memory", "configuration", "processors", "cpu", "node count")

_LACKING = {"memory": "memory", "timeout": "time"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A batch that sbatch refuses for good; `message` says what was asked for, what sbatch said, and what to do."""

    batch: Batch
    message: str

    def lost(self, cause_of: Callable[[bytes], str]) -> list[Lost]:
        """Return its configurations as failed for good, each by what it has had too little of, if that."""
        tasks = [task for part in self.batch.parts for task in part]
        return [lost_unbegun(task, self._failure(cause_of(task.key))) for task in tasks]

    def _failure(self, cause: str) -> Failure:
        why = f"it had too little {_LACKING[cause]} before, and" if cause else "it could not be submitted again:"
        return never_begun(f"{why} {self.message}", cause or "node")


def passes(said: str) -> bool:
    """Return whether a refusal, in sbatch's words, is over by itself some time."""
    words = said.lower()
    if any(reason in words for reason in PASSING):
        return True
    if names := _numbers(said):
        return any(shared in name for name in names for shared in _SHARED) or _has_jobs()
    return _POLICY in words and not _NAMED.search(said) and _has_jobs()


def advice(said: str) -> str:
    """Return what to do about a refusal that does not pass, as the end of a sentence; nothing where sbatch says all."""
    if _numbers(said):
        return "; put more configurations into each job with pack=, which makes fewer of them"
    if any(word in said.lower() for word in _SIZE):
        return "; ask for no more than a partition grants (sinfo -o '%P %l %m %c' lists their time, memory and CPUs)"
    return ""


def _numbers(said: str) -> list[str]:
    """Return the limits of how many jobs there may be that are named."""
    return [name.lower() for name in _NAMED.findall(said) if _NUMBER in name.lower()]


def _has_jobs() -> bool:
    """Return whether any job of this user is not over, as far as is known: where none is, none will make room."""
    queue = commands.queue()
    return queue is None or not all(map(is_over, queue))
