"""What the parts of one run have in common: what is to be run, where it is kept, and who counts what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

from memento.plan import Plan
from memento.running.circuit_breaker import CircuitBreaker
from memento.running.retries import RetryPolicy
from memento.running.tally import Tally
from memento.store import SqliteStore


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """One of each for the whole run; they change as it goes on."""

    plan: Plan
    store: SqliteStore
    tally: Tally
    retries: RetryPolicy
    watch: CircuitBreaker
