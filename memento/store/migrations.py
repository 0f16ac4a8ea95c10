"""From each older format of the ledger to the next, with everything that was in it.

Each function gets a connection inside a transaction; what it needs to know of the older format is here and nowhere
else. The older ledger was copied before (see schema.py).
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from memento.heads import PART, Frame, key_in, pack_head, run_in
from memento.matrix.sheet import pack_rows
from memento.spool import read_all_frames
from memento.store.entries import checksum, prefix_of
from memento.task import EMPTY_PART, KEY_BYTES, STATUS_FROM_CODE, Failure, Outcome, Part

_HEAD_1 = struct.Struct("<B16s8sHBddddQQI")
_LENGTH_1 = struct.Struct("<I")
_MAGIC_1 = b"MSPOOL1\n"


def from_1_to_2(database: sqlite3.Connection) -> None:
    """Shorter heads with a checksum of their own, an index of numbers, descriptions by run, one row of claims a run."""
    database.execute("ALTER TABLE outcomes RENAME TO outcomes_1")
    database.execute("ALTER TABLE claims RENAME TO claims_1")
    for statement in (
        "DROP INDEX outcomes_by_key",
        "DROP INDEX claims_by_run",
        "CREATE TABLE outcomes (id INTEGER PRIMARY KEY, prefix INTEGER NOT NULL, damaged INTEGER NOT NULL DEFAULT 0, "
        "evicted INTEGER NOT NULL DEFAULT 0, head BLOB NOT NULL, value BLOB, metrics BLOB, log BLOB)",
        "CREATE INDEX outcomes_by_prefix ON outcomes (prefix)",
        "CREATE TABLE sheets (run BLOB PRIMARY KEY, sheet BLOB NOT NULL, checksum BLOB NOT NULL)",
        "CREATE TABLE claims (run BLOB PRIMARY KEY, keys BLOB NOT NULL)",
    ):
        database.execute(statement)
    texts = {
        key: text.decode()
        for key, experiment, text, stored in database.execute(
            "SELECT key, experiment, description, checksum FROM configs"
        )
        if checksum(key, experiment, text) == stored
    }
    positions: defaultdict[bytes, dict[bytes, int]] = defaultdict(dict)
    for row in database.execute("SELECT * FROM outcomes_1 ORDER BY id"):
        number, key, _, _, _, damaged, evicted, stored, head, *bodies = row
        if isinstance(head, bytes) and hashlib.sha256(head).digest()[:8] == stored:
            key, run = key_in(head), run_in(head)  # the columns may be damaged, the head is not
            position = positions[run].setdefault(key, len(positions[run]))
            packed = pack_head(_outcome_of_1(head, position))
        else:
            damaged, packed = 1, b"damaged"
        prefix = prefix_of(key) if isinstance(key, bytes) and len(key) == KEY_BYTES else 0
        database.execute(
            "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [number, prefix, damaged, evicted, packed, *bodies]
        )
    for run, places in positions.items():
        sheet = pack_rows({position: texts[key] for key, position in places.items() if key in texts})
        database.execute("INSERT INTO sheets VALUES (?, ?, ?)", [run, sheet, checksum(run, sheet)])
    database.execute("INSERT INTO claims SELECT run, CAST(group_concat(key, '') AS BLOB) FROM claims_1 GROUP BY run")
    for table in ("outcomes_1", "claims_1", "configs"):
        database.execute(f"DROP TABLE {table}")


def frames_of_any_format(path: Path, start: int = 0) -> Iterator[Frame]:
    """Yield the whole frames of a spool, which a run of an older memento may have left when it died."""
    with open(path, "rb") as file:
        is_of_1 = file.read(len(_MAGIC_1)) == _MAGIC_1
    for head, bodies in read_all_frames(path, start):
        yield (pack_head(_outcome_of_1(head, 0)) if is_of_1 else head), bodies


def _outcome_of_1(head: bytes, position: int) -> Outcome:
    _, key, run, attempt, status, *numbers, pid = _HEAD_1.unpack_from(head)
    started, runtime, cpu_time, _, hardware_peak, virtual_peak = numbers
    strings = []
    at = _HEAD_1.size
    for _ in range(4):
        (length,) = _LENGTH_1.unpack_from(head, at)
        strings.append(head[at + _LENGTH_1.size : at + _LENGTH_1.size + length])
        at += _LENGTH_1.size + length
    summary, failure, host, described = strings
    value, metrics, log = (_part_of_1(*fields) for fields in PART.iter_unpack(described))
    return Outcome(
        key=key,
        run=run,
        attempt=attempt,
        status=STATUS_FROM_CODE[status],
        started=started,
        runtime=runtime,
        position=position,
        cpu_time=cpu_time,
        hardware_peak=hardware_peak,
        virtual_peak=virtual_peak,
        pid=pid,
        host=host.decode(),
        summary=summary,
        failure=Failure.from_json(failure) if failure else None,
        value=value,
        metrics=metrics,
        log=log,
    )


def _part_of_1(codec: int, place: int, size: int, digest: bytes) -> Part:
    return Part(codec, size, digest, None if place else b"") if size else EMPTY_PART._replace(codec=codec)


MIGRATIONS: dict[int, Callable[[Any], None]] = {1: from_1_to_2}
"""From which format → what to do to reach the next one."""
