"""RecordKeeper: takes records in, and knows what all records below it have in common."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from memento.errors import OptionError
from memento.recording.buffer import FILLER, Buffer
from memento.recording.chunks import WIDEST_UNION, Chunk, join_last
from memento.recording.columns import ABSENT
from memento.recording.shared import SharedData, check_name
from memento.recording.snapshot import UNCHANGING, as_it_is, as_they_are

if TYPE_CHECKING:
    from memento.recording.protocols import Journal
    from memento.recording.records import Record, Records


_memory_lock = threading.RLock()


def _renew_lock() -> None:
    # Another thread of the parent may have held it at the fork, and is not here to give it back.
    global _memory_lock
    _memory_lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


class RecordKeeper:
    """Keeps records, each a dict of values by name; what they have in common is said once, in the keeper's data.

    Keepers form a tree. A record reads like a dict of its own values and of the data of its keeper and of every keeper
    above it; of equal names the nearest counts. `len`, iteration and `records` tell of the records of this keeper and
    of all below it; those of one keeper are in the order in which they were added.

    Any thread may add. A value is a number, text, truth value, None or a scalar of numpy; anything else is pickled, and
    kept as its `repr` where that fails.

    Attributes:
        data: what all records below have in common; a change shows in all of them, also in those already recorded.
        parent: the keeper above, or None.
        pending_record: a dict to be filled bit by bit, until `commit_record` makes it a record.

    Example:
        >>> study = RecordKeeper(study="birds")
        >>> losses = study.sub_record_keeper(model="svm").sub_record_keeper(training=True)
        >>> losses.add_record({"index": 0, "loss": 0.5})
        >>> losses.push(index=1, loss=0.25)
        >>> [(record["model"], record["loss"]) for record in study]
        [('svm', 0.5), ('svm', 0.25)]
        >>> study.records.mean("loss")
        0.375
    """

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_buffers",
        "_chunks",
        "_folded",
        "_journal",
        "_subs",
        "data",
        "parent",
        "pending_record",
    )

    def __init__(self, data: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        self.parent: RecordKeeper | None = None
        self.data = SharedData(data or {}, **named)
        self.data.note = self._note
        self.pending_record: dict[str, Any] = {}
        self._subs: list[RecordKeeper] = []
        self._journal: Journal | None = None
        self._check_data()
        self._chunks: list[Chunk] = []  # without a journal: what has been recorded
        self._buffer = Buffer(self, (FILLER,))  # where the next record goes that has its names
        self._buffers: list[Buffer] = []
        self._folded = 0

    # ── the tree ────────────────────────────────────────────────────────────────────────────────────────────────────

    def sub_record_keeper(self, **data: Any) -> RecordKeeper:
        """Return a new keeper below this one."""
        return RecordKeeper(data).set_parent(self)

    def set_parent(self, parent: RecordKeeper) -> RecordKeeper:
        """Put this keeper, with all it has recorded and all below it, under `parent`; return it.

        Raises:
            OptionError: `parent` is this keeper or below it; or this keeper belongs to an experiment and `parent` does
                not belong to the same.
        """
        if self in parent.lineage():
            raise OptionError(
                "a keeper cannot be its own ancestor: the parent given is this keeper or one below it",
                option="parent",
                value=parent,
            )
        if self._journal is not None and parent._journal is not self._journal:
            raise OptionError(
                "this keeper belongs to an experiment already, where its records are being written; "
                "make another with RecordKeeper(**keeper.data) for another experiment",
                option="parent",
                value=parent,
            )
        journal = parent._journal
        if journal is None:
            self._move(parent)
            return self
        with journal.lock:
            if self._journal is None:
                self._join(journal)
            else:
                journal.note(self)
            self._move(parent)
        return self

    def _move(self, parent: RecordKeeper) -> None:
        if self.parent is not None:
            self.parent._subs.remove(self)
        self.parent = parent
        parent._subs.append(self)

    def lineage(self) -> Iterator[RecordKeeper]:
        """Yield this keeper, its parent, and so on up."""
        keeper: RecordKeeper | None = self
        while keeper is not None:
            yield keeper
            keeper = keeper.parent

    def __getitem__(self, name: str) -> Any:
        """Return what this keeper's own data says for `name`."""
        return self.data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Change this keeper's data, for every record below it."""
        self.data[name] = value

    def _below(self) -> Iterator[RecordKeeper]:
        yield self
        for keeper in self._subs:
            yield from keeper._below()

    def _join(self, journal: Journal) -> None:
        """Have what this keeper and all below it record, and have recorded, written by `journal`."""
        with journal.lock, _memory_lock:
            for keeper in self._below():
                journal.attach(keeper)
                keeper._journal = journal

    def _own_buffers(self) -> list[Buffer]:
        """Return where this keeper's own records are waiting."""
        return list(self._buffers)

    def _note(self) -> None:
        self._check_data()
        if self._journal is not None:
            self._journal.note(self)

    def _check_data(self) -> None:
        for name in self.data:
            check_name(name)

    # ── recording ───────────────────────────────────────────────────────────────────────────────────────────────────

    def add_record(self, record: Mapping[str, Any]) -> None:
        """Record the values of `record` as they are now; a change of the dict afterwards changes nothing.

        Raises:
            OptionError: a name is no text, or empty.
            RecordingError: the experiment that this keeper belongs to has ended.
            StoreUnwritable: the disk is full or failing.
        """
        buffer = self._buffer
        values = buffer.values
        if type(record) is dict and len(record) == buffer.width:
            try:
                row = buffer.row(record)
            except KeyError:
                buffer, values = self._add_unlike(as_they_are(record))
            else:
                for value in row:  # for few values half the time of `issuperset(map(type, row))`
                    if type(value) not in UNCHANGING:
                        row = tuple(map(as_it_is, row))
                        break
                values += row
        else:
            buffer, values = self._add_unlike(as_they_are(record))
        if len(values) >= buffer.bound:
            self._attend(buffer)

    def push(self, /, **values: Any) -> None:
        """Record these values: the same as ``add_record(dict(...))``."""
        self.add_record(values)

    def add(self, values: Mapping[str, Any] | None = None, /, **named: Any) -> RecordKeeper:
        """Add to the pending record; return this keeper, so that `commit` may follow."""
        self.pending_record.update(values or {}, **named)
        return self

    def commit(self) -> None:
        """Record what is pending, and begin a new pending record: the same as `commit_record`."""
        self.commit_record()

    def commit_record(self) -> None:
        """Record what is pending, and begin a new pending record."""
        record, self.pending_record = self.pending_record, {}
        self.add_record(record)

    def _add_unlike(self, record: dict[str, Any]) -> tuple[Buffer, list[Any]]:
        """Take in a record that has other names than the one before."""
        buffer = self._buffer
        if record.keys() - buffer.known or not self._buffers:
            for name in record:
                check_name(name)
            with _memory_lock:
                buffer = self._buffer_for(record)
        values = buffer.values
        values.extend([record.get(name, ABSENT) for name in buffer.names])
        return buffer, values

    def _buffer_for(self, record: dict[str, Any]) -> Buffer:
        current = self._buffer
        if self._buffers and not record.keys() - current.known:
            return current
        names = tuple(record)
        if self._buffers:
            union = (*current.names, *(name for name in names if name not in current.known))
            names = union if len(union) <= WIDEST_UNION else names
        self._buffer = Buffer(self, names or (FILLER,))
        self._buffers.append(self._buffer)
        return self._buffer

    def _attend(self, buffer: Buffer) -> None:
        with _memory_lock:
            journal = self._journal
            if journal is None and len(buffer.values) >= buffer.limit:
                self._fold(buffer)
            elif journal is None:
                buffer.bound = buffer.limit
                if buffer not in self._buffers:  # somebody took it for finished while this thread was adding to it
                    self._buffers.append(buffer)
        if journal is not None:
            journal.attend(buffer)

    def _fold(self, buffer: Buffer) -> None:
        chunk = self._take(buffer)
        if chunk is not None:
            self._chunks.append(chunk)
            join_last(self._chunks)

    def _begin_with(self, chunks: list[Chunk], keepers: list[RecordKeeper]) -> None:
        """Have recorded `chunks`, those of `keepers`, and nothing else; what is recorded later comes after them."""
        with _memory_lock:
            begun_with = {chunk.level for chunk in self._chunks}  # of an earlier call, which nobody else holds
            self._subs = [sub for sub in self._subs if sub not in begun_with]
            for keeper in self._below():
                keeper._take_all()
                keeper._folded = 0
            for keeper in keepers:
                keeper._move(self)
            self._chunks, self._folded = chunks, sum(chunk.length for chunk in chunks)

    def _take(self, buffer: Buffer) -> Chunk | None:
        """Return what waits in `buffer`, which counts as recorded; the caller holds the journal's or memory's lock."""
        chunk = buffer.take()
        if chunk is not None:
            self._folded += chunk.length
        if buffer is not self._buffer and buffer in self._buffers:
            self._buffers.remove(buffer)
        return chunk

    def _take_all(self) -> list[Chunk]:
        """Return all that is in memory, and keep none of it; the caller holds the locks."""
        for buffer in list(self._buffers):
            self._fold(buffer)
        chunks, self._chunks = self._chunks, []
        return chunks

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        return sum(keeper._folded + sum(map(len, keeper._buffers)) for keeper in self._below())

    def __bool__(self) -> bool:  # a keeper is one before it has recorded anything
        return True

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @property
    def records(self) -> Records:
        """The records of this keeper and of all below it, as they are now; what is added later is not among them."""
        from memento.recording.records import Records

        keepers = list(self._below())
        if self._journal is not None:
            return Records(self._journal.chunks_of(keepers))
        with _memory_lock:
            for keeper in keepers:
                for buffer in list(keeper._buffers):
                    keeper._fold(buffer)
            return Records([chunk for keeper in keepers for chunk in keeper._chunks])

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            "a RecordKeeper cannot be sent to another process; send keeper.records, or values to record here"
        )

    def __repr__(self) -> str:
        known = {name: value for keeper in reversed(list(self.lineage())) for name, value in keeper.data.items()}
        said = ", ".join(f"{name}={value!r}" for name, value in known.items())
        return f"RecordKeeper({said}: {len(self):,} records)"
