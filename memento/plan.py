"""What a run would do, and why: which configurations are stored, which are to run, which failed before."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from memento import checkpoints
from memento.entry import Entry, Row
from memento.experiment import Experiment
from memento.heads import all_succeeded, has_succeeded, key_in, run_in
from memento.matrix.configurations import Configurations
from memento.validity import Finder, Validity
from memento.wording import plural

# So many stored results tell how long an experiment takes.
MEASURED = 50
# Asked for by C functions: this is done for each configuration whenever anything is run.
_head_of = itemgetter(1)
# So many keys of older results are looked for at once: 20 MB of them.
ALTERNATIVES = 200_000
CODE_CHANGES = ("warn", "rerun", "ignore")


@dataclass(kw_only=True, slots=True)
class Plan:
    """What a run of some configurations would do; rows count in matrix order.

    `entries` holds the stored successes to be reused, `todo` the rows to run, `failed_before` how many of those had
    failed, `older` how many reused results come from other code, and `changed` the functions in which it differed.
    """

    newest: int
    """The newest outcome when the store was asked."""
    standing: Validity
    """Which of the results that others store meanwhile count."""
    keys: list[bytes]
    entries: list[Row | None]
    todo: list[int]
    failed_before: int = 0
    older: int = 0
    changed: tuple[str, ...] = ()
    anew: dict[bytes, int] = field(default_factory=dict)
    """Keys that are to be computed although a success is stored under them, and the number of that."""
    notes: list[str] = field(default_factory=list)

    @property
    def stored(self) -> int:
        """How many results are taken from the store."""
        return len(self.keys) - len(self.todo)

    @property
    def pace(self) -> float | None:
        """How many seconds the stored experiments took, as their median; None where none is stored."""
        some = islice((row for row in self.entries if row is not None), MEASURED)
        known = sorted(Entry(*row).outcome.runtime for row in some)
        return known[len(known) // 2] if known else None

    def summary(self) -> str:
        """Return the counts in a line."""
        text = f"{plural(len(self.keys), 'configuration')}: {self.stored:,} stored, {len(self.todo):,} to run"
        return f"{text}, {self.failed_before:,} of them failed before" if self.failed_before else text


def make_plan(
    configurations: Configurations,
    store: Finder,
    experiment: Experiment,
    *,
    force_run: bool = False,
    code_change: str = "warn",
) -> Plan:
    """Return what a run of `configurations` would do; nothing is changed."""
    with _no_garbage():
        return _made_plan(configurations, store, experiment, force_run=force_run, code_change=code_change)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Have nobody look for garbage in the meantime.

    A plan makes some objects for each of its rows, and keeps them: to look through them again and again, as their
    number grows, took a tenth of the time for 60,000.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _made_plan(
    configurations: Configurations, store: Finder, experiment: Experiment, *, force_run: bool, code_change: str
) -> Plan:
    keys = list(configurations.keys())
    newest = store.newest()
    found = store.find_rows(keys)
    rerun = code_change == "rerun"
    standing = Validity(store, experiment, newest=newest, force_run=force_run, rerun=rerun)
    entries: list[Row | None] = list(map(_own(found, standing, store).get, keys))
    todo = _not_succeeded(entries)
    plan = Plan(newest=newest, standing=standing, keys=keys, entries=entries, todo=todo)
    for row in todo:
        plan.failed_before += entries[row] is not None
        entries[row] = None
    if force_run:
        plan.entries, plan.todo = [None] * len(keys), list(range(len(keys)))
    if newest and configurations.introduced and not force_run:
        _adopt_older(plan, configurations, store)
    if code_change != "ignore":
        _compare_code(plan, store, rerun=rerun)
    if code_change == "warn" and not force_run:
        _tell_of_older_checkpoints(
            plan, checkpoints.found_by(store.root, map(keys.__getitem__, plan.todo), experiment.file)
        )
    if found:
        again = (found.get(keys[row]) for row in plan.todo)
        plan.anew = {key_in(row[1]): row[0] for row in again if row is not None and _is_success(row)}
    _tell_of_namesakes(plan, found)
    return plan


def _is_success(entry: Row) -> bool:
    return has_succeeded(entry[1])


def _not_succeeded(entries: Sequence[Row | None]) -> list[int]:
    """Return the rows for which there is no success."""
    absent = [row for row, entry in enumerate(entries) if entry is None]
    stored: Iterable[Any] = (entry for entry in entries if entry is not None) if absent else entries
    if all_succeeded(map(_head_of, stored)):
        return absent
    return [row for row, entry in enumerate(entries) if entry is None or not _is_success(entry)]


def _runs_of(entries: Iterable[Row]) -> set[bytes]:
    """Return the runs that computed `entries`."""
    return set(map(run_in, map(_head_of, entries)))


def _own(found: Mapping[bytes, Row], standing: Validity, store: Finder) -> Mapping[bytes, Row | None]:
    """Return what was `found`, but what this experiment gave instead of what a namesake did."""
    standing.changed_in(_runs_of(found.values()))
    if not standing.namesakes:
        return found
    foreign = [key for key, entry in found.items() if not standing.is_own(Entry(*entry))]
    own = store.newest_that(foreign, standing.is_own)
    return {**found, **dict.fromkeys(foreign), **own}


def _tell_of_namesakes(plan: Plan, found: Mapping[bytes, Row]) -> None:
    """Note which results are stored under the keys of what is run, and are not taken because a namesake gave them."""
    names = plan.standing.namesakes
    runs = (run_in(found[key][1]) for key in plan.anew)
    files = [names[run] for run in runs if run in names]
    if files:
        others = sorted(set(files))
        plan.notes.append(
            f"{len(files):,} of {len(plan.todo):,} configurations to run have a stored result that other code of the "
            f"same name gave, in {', '.join(others)}; it is not used, and is kept. Give one of the two another "
            "version= to keep them apart, or have both import one function to share results"
        )


def _adopt_older(plan: Plan, configurations: Configurations, store: Finder) -> None:
    """Find results that were stored before a parameter was introduced."""
    left = []
    at_once = ALTERNATIVES >> max(len(block.introduced) for block in configurations.space.blocks)  # of eight at most
    for start in range(0, len(plan.todo), at_once):
        rows = plan.todo[start : start + at_once]
        alternatives = configurations.older_keys(rows)
        own = _own(store.find_rows(list(chain.from_iterable(alternatives))), plan.standing, store)
        for row, keys in zip(rows, alternatives, strict=True):
            entry = next((one for key in keys if (one := own.get(key)) is not None and _is_success(one)), None)
            plan.entries[row] = entry
            if entry is None:
                left.append(row)
    plan.todo = left


def _compare_code(plan: Plan, store: Finder, *, rerun: bool) -> None:
    """See which stored results were computed by other code than today's; with `rerun` they are computed anew."""
    differing = _take_todays(plan, store)
    if not rerun:
        differing = _take_nearest(plan, store, differing)
    if not differing:
        return
    older = [row for row, entry in enumerate(plan.entries) if entry is not None and run_in(entry[1]) in differing]
    plan.changed = tuple(sorted({name for names in differing.values() for name in names}))
    plan.older = len(older)
    if rerun:
        for row in older:
            plan.entries[row] = None
        plan.todo = sorted([*plan.todo, *older])
        return
    plan.notes.append(
        f"{plan.older:,} of {plan.stored:,} stored results were computed by older code, which differs in "
        f"{', '.join(plan.changed)}; code_change='rerun' computes them anew, code_change='ignore' silences this"
    )


def _take_todays(plan: Plan, store: Finder) -> dict[bytes, tuple[str, ...]]:
    """Take what today's code gave before other code did; return what differs in the runs whose results are left.

    Whoever undoes an edit, or runs with one value of a global and then with another, has all of it stored already.
    Where nobody knows which code gave the newest result, an older one does not take its place.
    """
    differing = _differing(plan)
    others = differing.keys() - plan.standing.unknown
    if others:
        of_others = [entry for entry in plan.entries if entry is not None and run_in(entry[1]) in others]
        todays = store.newest_that([key_in(entry[1]) for entry in of_others], plan.standing.is_of_today)
        if todays:
            for row, entry in enumerate(plan.entries):
                if entry is not None and run_in(entry[1]) in others:
                    plan.entries[row] = todays.get(key_in(entry[1]), entry)
            return _differing(plan)
    return differing


def _take_nearest(plan: Plan, store: Finder, differing: dict[bytes, tuple[str, ...]]) -> dict[bytes, tuple[str, ...]]:
    """Take, in place of the newest result, one whose code differs in some of the same functions alone, and so on.

    Of what was computed with several values of a global, and then had a helper edited, it is that of today's value.
    """
    left = {run: set(names) for run, names in differing.items() if len(names) > 1 and run not in plan.standing.unknown}
    while left:
        apart = {key_in(one[1]): left[run_in(one[1])] for one in plan.entries if one and run_in(one[1]) in left}

        def is_nearer(entry: Entry, apart: Mapping[bytes, set[str]] = apart) -> bool:
            changed = plan.standing.changed_in([entry.run])[entry.run]
            return plan.standing.is_own(entry) and set(changed) < apart[entry.key]

        nearer = store.newest_that(list(apart), is_nearer)
        if not nearer:
            break
        plan.entries = [one and nearer.get(key_in(one[1]), one) for one in plan.entries]
        differing = _differing(plan)
        taken = {run_in(one[1]) for one in nearer.values()}
        left = {run: set(names) for run, names in differing.items() if len(names) > 1 and run in taken}
    return differing


def _differing(plan: Plan) -> dict[bytes, tuple[str, ...]]:
    """Return the runs that computed stored results by other code than today's, and in which functions that differs."""
    compared = plan.standing.changed_in(_runs_of(entry for entry in plan.entries if entry is not None))
    return {run: changed for run, changed in compared.items() if changed}


def tell_of_others(plan: Plan, cached: Sequence[int]) -> str | None:
    """Return what to say of results of other code that another run stored while this one waited; None of none.

    `cached` says of each row whether its result came from the store.
    """
    entries = (plan.entries[row] for row in plan.todo if cached[row])
    runs = [run_in(entry[1]) for entry in entries if entry is not None and _is_success(entry)]
    compared = plan.standing.changed_in(runs) if runs else {}
    older = sum(bool(compared[run]) for run in runs)
    if not older:
        return None
    names = sorted({name for changed in compared.values() for name in changed})
    return (
        f"{older:,} results that another run stored meanwhile were computed by other code, which differs in "
        f"{', '.join(names)}; code_change='rerun' computes them anew, code_change='ignore' silences this"
    )


def _tell_of_older_checkpoints(plan: Plan, found: Iterable[checkpoints.About]) -> None:
    """Note how many experiments go on from what other code than today's had begun."""
    differing = [changed for one in found if (changed := plan.standing.changed_since(one))]
    if differing:
        names = sorted({name for changed in differing for name in changed})
        plan.notes.append(
            f"{len(differing):,} of {len(plan.todo):,} configurations to run go on from checkpoints of older code, "
            f"which differs in {', '.join(names)}; code_change='rerun' begins them anew, code_change='ignore' silences "
            "this"
        )
