"""What one function remembers: who it is, of which code, and what the ledger holds for a call of it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from memento import payload
from memento.errors import DamagedEntry, NotStored, UnpicklableResult
from memento.experiment import Experiment
from memento.fingerprint.contents import code_in
from memento.fingerprint.identity import look_at_values
from memento.fingerprint.lookups import Lookups
from memento.hashing import KeyMaker
from memento.hashing.forms import PLAIN
from memento.hashing.naming import is_elsewhere
from memento.heads import value_in
from memento.memoizing.arguments import Arguments
from memento.memoizing.ledger import CallLedger, Found, code_id, ledger_at
from memento.outdated import code_change_here
from memento.part_writer import PartWriter
from memento.store import Entry
from memento.task import Outcome, Status
from memento.user_warnings import warn
from memento.validity import Validity

PREFIX = "cache:"
"""Before the name of a remembering function in its keys: a matrix over it computes the same calls, as experiments."""
MISSING: Any = object()
MOST_CODES = 256


class Call(NamedTuple):
    """One call: where it is looked up, its key, the arguments that count, and the code."""

    ledger: CallLedger
    key: bytes
    values: dict[str, Any]
    code: Code
    """What would compute it, as it was when the call was made."""


class Code(NamedTuple):
    """The code of a function together with that of the arguments of a call, and what outcomes call it."""

    experiment: Experiment
    id: bytes
    own: Experiment
    """The function's own code, which this was made of."""
    lookups: Lookups
    """Whether the code of the arguments is still this."""
    kept: tuple[object, ...] = ()
    """What it was found by, held so that no other object gets one of its addresses."""


class Measured(NamedTuple):
    """When a call began, and how many seconds it and the processor took."""

    started: float
    runtime: float
    cpu_time: float


class Memory:
    """What the function of these `arguments` remembers.

    `identify` says who it is, when that is needed first and when its names have come to stand for something else.
    """

    def __init__(
        self,
        arguments: Arguments,
        identify: Callable[[], tuple[Experiment, Lookups]],
        *,
        store: str | None,
        code_change: str | None,
    ) -> None:
        self._arguments = arguments
        self._identify = identify
        self._store = store
        self._code_change = code_change
        self._maker: KeyMaker | None = None
        self._known: tuple[Experiment, Lookups] | None = None  # in one: other threads see both or neither
        self._noted: set[str] = set()
        self._codes: dict[tuple[int, ...], Code] = {}
        self._standings: dict[tuple[CallLedger, bytes], Validity] = {}
        self._told: set[tuple[bytes, tuple[str, ...]]] = set()

    @property
    def experiment(self) -> Experiment:
        """Who the function is, as it was when this was first asked, and its code."""
        known = self._known
        if known is None or not known[1].hold():
            found, lookups = self._identify()
            own = found if known is None else replace(found, name=known[0].name)
            known = self._known = own, lookups
            for note in dict.fromkeys(own.notes):
                if note not in self._noted:
                    self._noted.add(note)
                    warn(note.replace("^", ""))  # by which layer of decorators it is carried
        return known[0]

    def call_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return the call with these arguments.

        Raises:
            TypeError: the function cannot be called so.
            UnkeyableValue: an argument has no stable key.
            StoreError: the store cannot be opened.
        """
        own = self.experiment
        if self._maker is None:
            self._maker = self._arguments.key_maker(PREFIX + own.name)
        values = self._arguments.bind(args, kwargs)
        key = self._maker.key(self._arguments.digests(values))
        return Call(ledger_at(self._store), key, values, self._code_of(own, values))

    def text(self, call: Call) -> str:
        """Return `call` as a reader would write it."""
        return self._arguments.text(call.values)

    def stored(self, call: Call) -> Any:
        """Return a value of its own that `call` gave before; `MISSING` where it is to be computed."""
        found = call.ledger.success(call.key)
        if found is not None and found.entry.run != call.code.id:
            found = self._that_counts(call, found)
        if found is None:
            return MISSING
        codec, summary = value_in(found.entry.head)
        try:
            data = b"" if codec in (payload.NOTHING, payload.JSON) else call.ledger.value_of(found)
        except (DamagedEntry, NotStored):  # it is set aside, or was evicted to make room
            return MISSING
        return payload.decode(codec, data, summary)

    def forget(self, call: Call) -> bool:
        """Forget what `call` gave here, not to another file's function; return whether there was anything."""
        return call.ledger.forget(call.key, lambda entry: self._is_of_a_namesake(call, entry))

    def _that_counts(self, call: Call, newest: Found) -> Found | None:
        """Return `newest`, or the one below it that today's code gave, or no namesake; none where it is to be computed.

        What today's code gave is looked for also below what other code gave: an edit may have been undone.
        """
        found: Found | None = newest
        if self._is_of_a_namesake(call, newest.entry):
            found = self._below(call, lambda entry: not self._is_of_a_namesake(call, entry))
        if found is None or self.rule == "ignore" or not self._changed_since(call, found.entry):
            return found
        todays = None
        if found.entry.run not in self._standing(call).unknown:  # else nobody knows that it is not of today's code
            todays = self._below(call, lambda entry: not self._changed_since(call, entry))
        return todays or (None if self._is_outdated(call, found.entry) else found)

    def _below(self, call: Call, counts: Callable[[Entry], bool]) -> Found | None:
        # The first look is into the index, the second, which is certain, into the whole ledger.
        if not any(entry.ok and counts(entry) for entry in call.ledger.history(call.key)):
            return None
        own = call.ledger.newest_that([call.key], counts)
        return Found(own[call.key], None) if own else None

    def _is_of_a_namesake(self, call: Call, entry: Entry) -> bool:
        """Return whether code that differs gave `entry`, from a file that exists beside today's."""
        return entry.run != call.code.id and not self._standing(call).is_own(entry)

    def _changed_since(self, call: Call, entry: Entry) -> tuple[str, ...]:
        if entry.run == call.code.id:  # also where the record of it is damaged
            return ()
        return self._standing(call).changed_in([entry.run])[entry.run]

    def _standing(self, call: Call) -> Validity:
        """Return who judges what the ledger of `call` holds by the code that would compute it now."""
        code = call.code
        known = self._standings.get((call.ledger, code.id))
        if known is None:
            if len(self._standings) >= MOST_CODES:
                self._standings.clear()
            known = Validity(call.ledger, code.experiment, newest=0, force_run=False, rerun=False)
            self._standings[call.ledger, code.id] = known
        return known

    def _is_outdated(self, call: Call, entry: Entry) -> bool:
        """Return whether other code computed `entry` and that is a reason to compute it anew; else tell it once."""
        changed = self._changed_since(call, entry)
        if changed and self.rule == "warn" and (call.code.id, changed) not in self._told:
            self._told.add((call.code.id, changed))
            warn(
                f"{self.text(call)} was computed by older code, which differs in {', '.join(changed)}; "
                "code_change='rerun' computes it anew, code_change='ignore' silences this"
            )
        return bool(changed) and self.rule == "rerun"

    @property
    def rule(self) -> str:
        """What becomes of values that older code gave, asked from here: "warn", "rerun" or "ignore"."""
        return self._code_change or code_change_here()

    def _code_of(self, own: Experiment, arguments: dict[str, Any]) -> Code:
        """Return the code that computes a call: the function's `own`, and that of functions and classes it is given."""
        values = self._arguments.counting(arguments)
        plain = all(type(value) in PLAIN for value in values)
        things = () if plain else tuple({id(thing): thing for value in values for thing in _code_in(value)}.values())
        found = self._codes.get(tuple(map(id, things)))
        if found is None or found.own is not own or not found.lookups.hold():
            code, lookups, _ = look_at_values(things)
            experiment = own.with_values(code)
            if len(self._codes) >= MOST_CODES:
                self._codes.clear()
            found = self._codes[tuple(map(id, things))] = Code(experiment, code_id(experiment), own, lookups, things)
        return found

    def keep(self, call: Call, value: Any, measured: Measured) -> None:
        """Keep `value` as what `call` gave; where that is not possible it is told, and the caller has the value.

        The computation may have taken hours: neither a value that cannot be stored nor a full disk takes it away.
        """
        try:
            call.ledger.keep_call(self._outcome(call, value, call.code, measured), call.code.experiment)
        except (UnpicklableResult, OSError, MemoryError) as error:
            warn(
                f"what {self.text(call)} returned is not remembered, and will be computed again: {error}",
                RuntimeWarning,
            )

    def _outcome(self, call: Call, value: Any, code: Code, measured: Measured) -> Outcome:
        attempt = call.ledger.next_attempt(call.key, code.id)
        encoded = payload.encode_readable(value)
        parts = PartWriter(call.ledger.root, call.key, code.id, attempt)
        return Outcome(
            key=call.key,
            run=code.id,
            attempt=attempt,
            status=Status.SUCCEEDED,
            started=measured.started,
            runtime=measured.runtime,
            cpu_time=measured.cpu_time,
            pid=os.getpid(),
            host=socket.gethostname(),
            summary=encoded.summary,
            value=parts.keep_value(encoded),
            # What a key stands for is kept readable: in the place of what an experiment prints.
            log=parts.keep("log", [self.text(call).encode(errors="replace")]),
        )


def _code_in(value: Any) -> Iterator[Any]:
    """Yield the functions and classes in `value` whose source can be looked at from here."""
    return (thing for thing in code_in(value) if not is_elsewhere(thing.__module__))


class Stopwatch:
    """Measures from when it is made."""

    def __init__(self) -> None:
        self._started, self._begun, self._cpu = time.time(), time.perf_counter(), time.process_time()

    def read(self) -> Measured:
        """Return what was measured so far."""
        return Measured(self._started, time.perf_counter() - self._begun, time.process_time() - self._cpu)
