"""Stores to damage, one bit or one cut at a time, and a script that reads them as a user would and checks every word.

The script makes three stores of the same configurations: one that a run left in order, one whose run was killed before
it took in its workers' spools, one whose run was killed before its write-ahead log was taken over. What experiment
`index` returns, records and prints is known from `index` and the generation that computed it.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
from dataclasses import dataclass
from pathlib import Path

COUNT = 24
AGAIN = 12  # so many were computed a second time
SETTLED, SPOOLED, LOGGED = "settled", "spooled", "logged"

SCRIPT = """
import faulthandler, json, random, warnings
from memento import Memento
from memento.errors import DamagedEntry, StoreError
from memento.running.intake import Intake
from memento.running.session import Session
from memento.store import SqliteStore, open_store

COUNT, AGAIN = 24, 12
MATRIX = {"parameters": {"index": list(range(COUNT))}}


def value_of(index, generation):
    dice = random.Random(f"{index} {generation}")
    kind = index % 6
    if kind == 0:
        return dice.random()
    if kind == 1:
        return {"accuracy": dice.random(), "name": f"{index} {generation}"}
    if kind == 2:
        return [dice.random() for _ in range(200)]
    if kind == 3:
        return f"{index} {generation} " * 50
    return dice.randbytes(70_000)  # in a file


def points_of(index, generation):
    return [(float(x), float(index * 100 + generation)) for x in range(5000 if index % 6 == 5 else 3)]


def experiment(context, config):
    generation = int(Path("generation").read_text())
    begun(f"{Path.cwd().name}:{config.index}")
    for x, y in points_of(config.index, generation):
        context.record({"loss": (x, y)})
    print(f"printed by {config.index} of {generation}")
    return value_of(config.index, generation)


def run(generation, matrix=MATRIX, **options):
    Path("generation").write_text(str(generation))
    return Memento(experiment, executor=options.pop("executor", "serial")).run(
        matrix, cache_path="store", progress=False, on_error="return", **options)


def fill(kind):
    if kind == "settled":
        run(1)
        run(2, {"parameters": {"index": list(range(AGAIN))}}, force_run=True)
    elif kind == "spooled":
        Intake.commit = lambda self, run: None
        Session._wind_up = lambda self: os._exit(0)
        run(1, executor="processes")
    else:
        SqliteStore.end_run = lambda self, run, taken: os._exit(0)
        run(1)


def told(results):
    "For each configuration the generation that all it has is of, or the error met."
    known = json.loads(Path("facts").read_text()) if Path("facts").exists() else None
    found = []
    for result in results:
        index = result.config.index
        try:
            value, (xs, ys), log = result.inner, result.metric_points("loss"), result.log
        except DamagedEntry:
            found.append("damaged")
            continue
        points = list(zip(xs, ys))
        same = [generation for generation in (1, 2, 3)
                if value == value_of(index, generation) and points == points_of(index, generation)
                and log == f"printed by {index} of {generation}\\n"]
        if known is not None and same != [3] and facts_of(result) != known[index]:
            same = []
        found.append(same[0] if same else "wrong")
    return found


def facts_of(result):
    memory = result.memory
    return [result.start_time.timestamp(), result.runtime.total_seconds(), result.cpu_time.total_seconds(),
            memory.virtual_peak, memory.hardware_peak, result.host, result.outcome.pid, result.outcome.attempt]


def read():
    said = {"refused": None, "first": None, "second": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            results = run(3)
            said["first"] = told(results)
            said["second"] = told(run(3))
            with open_store("store") as store:
                keys = [bytes.fromhex(result.key) for result in results]
                for key, (name, text) in store.descriptions(keys).items():
                    if (name, text) != ("script:experiment", f'{{"index": "{keys.index(key)}"}}'):
                        said["second"][keys.index(key)] = "wrong description"
        except StoreError as error:
            said["refused"] = str(error)
    said["warned"] = [str(warning.message) for warning in caught]
    return said


if __name__ == "__main__":
    what, *folders = sys.argv[1:]
    if what == "facts":
        os.chdir(folders[0])
        facts = [facts_of(result) for result in run(3)]
        Path(folders[1], "facts").write_text(json.dumps(facts))
        sys.exit()
    for folder in folders:
        faulthandler.dump_traceback_later(30, exit=True)
        os.chdir(folder)
        print(json.dumps(read() if what == "read" else fill(what)))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """What was done to a copy of a store; `what` says it."""

    kind: str
    file: str
    cut: bool
    what: str


def files_of(store: Path) -> dict[str, list[Path]]:
    """Return the files in `store` that hold what experiments gave, by what they are."""
    return {
        "ledger": [store / "ledger.sqlite"],
        "log": [store / "ledger.sqlite-wal"] if (store / "ledger.sqlite-wal").exists() else [],
        "file": sorted((store / "blobs").rglob("*.*")),
        "spool": [path for path in sorted((store / "spool").rglob("*.spool")) if path.stat().st_size > 8],
    }


def heads_of(ledger: Path) -> list[range]:
    """Return where in the file the heads of outcomes lie: what is not in them, the parts, they have digests of."""
    data = ledger.read_bytes()
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro&immutable=1", uri=True)) as database:
        heads = [head for (head,) in database.execute("SELECT head FROM outcomes")]
    return [range(start, start + len(head)) for head in heads if (start := data.find(head)) >= 0]


def damage(store: Path, kind: str, chance: random.Random) -> Damage:
    """Flip one bit, or cut one file, of what matters in a store of this `kind`; more often where outcomes are told."""
    files = files_of(store)
    heads = heads_of(files["ledger"][0]) if kind == SETTLED else []
    file = {SETTLED: "ledger" if chance.random() < 0.6 else "file", SPOOLED: "spool", LOGGED: "log"}[kind]
    victim = chance.choice(files[file])
    size = victim.stat().st_size
    place, cut = chance.randrange(size), chance.random() < 0.2
    if file == "ledger" and chance.random() < 0.7:
        place, cut = chance.choice(chance.choice(heads)), False
    if cut:
        os.truncate(victim, place)
        return Damage(kind=kind, file=file, cut=True, what=f"{victim.name} of {size} bytes cut to {place}")
    bit = chance.randrange(8)
    data = bytearray(victim.read_bytes())
    data[place] ^= 1 << bit
    victim.write_bytes(data)
    return Damage(kind=kind, file=file, cut=False, what=f"bit {bit} of byte {place} of {victim.name}")
