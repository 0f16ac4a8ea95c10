"""Settings in worker processes: the library's own, so that one that dies is noticed and costs one call.

Imported when a `Runner` first needs them.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from memento import payload
from memento.capture.calling import Stack, bring_home, stack_of
from memento.capture.remote_calls import Sent, away, shipping
from memento.capture.runner import Done, Settings, called
from memento.errors import UnreadableResult
from memento.executors.processes.executor import ProcessExecutor
from memento.failures import describe_exception, place_of
from memento.fingerprint.identity import identify
from memento.heads import unpack_head
from memento.job import Call, Job
from memento.layout import blob_path
from memento.payload.script_context import whereabouts
from memento.protocols import Delivered, Lost
from memento.task import KEY_BYTES, RUN_BYTES, Failure, Outcome, Part, Task


class _Errand:
    """What a worker does with one of the settings."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = self.__wrapped__ = func  # that a worker finds the names of the script that it brings along

    def __call__(self, _: Any, settings: Settings) -> list[_Packed]:
        failure, result = None, None
        with away() as calls:
            try:
                result = called(self.func, settings)
            except BaseException as error:
                failure = describe_exception(error)
        # What returned the result itself goes with it, or it would travel twice; calls before need not fail with it.
        # These go together: a thousand calls that share an array of 8 MB would be 8 GB if each were packed by itself.
        place = next((place for place, sent in enumerate(calls) if sent.result is result), len(calls))
        inner, outer = calls[:place], calls[place:]
        try:
            return [*([_packed((None, None, inner))] if inner else []), _packed((result, failure, outer))]
        except Exception:  # one of them cannot be sent: that one is lost, and told of
            return self._packed_apart(result, failure, calls)

    def _packed_apart(self, result: Any, failure: Failure | None, calls: list[Sent]) -> list[_Packed]:
        packed = []
        try:
            payload.encode_readable(result)
        except Exception as error:
            failure = failure or _unsendable(error, f"returned by\n{place_of(self.func)}")
        for sent in calls:
            try:
                packed.append(_packed((None, None, [sent])))
            except Exception as error:
                failure = failure or _unsendable(error, f"recorded of a call of {sent.module}.{sent.qualname}")
        return [*packed, _packed((None if failure else result, failure, []))]


_Packed = tuple[int, list[pickle.PickleBuffer], bytes]
"""A value as bytes, so that to pickle it cannot fail; large pieces are not copied for that."""


def _packed(value: Any) -> _Packed:
    encoded = payload.encode_readable(value)
    return encoded.codec, [pickle.PickleBuffer(chunk) for chunk in encoded.chunks], encoded.summary


def _unsendable(error: Exception, what: str) -> Failure:
    failure = describe_exception(error)
    return failure._replace(cause="unpicklable", traceback=f"What could not be sent was {what}\n{failure.traceback}")


class _Listed:
    """Settings as a job's configurations."""

    def __init__(self, settings: list[Settings]) -> None:
        self._settings = settings

    def private(self, index: int) -> Settings:
        return dict(self._settings[index])


def in_processes(func: Callable[..., Any], settings: Iterable[Settings], jobs: int) -> Iterator[Done]:
    """Yield what becomes of each of `settings`, all of which are read first, as `jobs` worker processes end them."""
    listed = list(settings)
    waiting = list(range(len(listed)))
    stack = stack_of(func)
    with tempfile.TemporaryDirectory(prefix="memento-runner-") as folder, _Workers(jobs, Path(folder)) as workers:
        while waiting:
            waiting, later, known = _parted(stack, listed, waiting)
            yield from known
            if waiting:
                workers.begin(func, listed, waiting)
                yield from workers.done(len(waiting))
            waiting = later


def _parted(stack: Stack | None, listed: list[Settings], waiting: list[int]) -> tuple[list[int], list[int], list[Done]]:
    """Return what to run now, what after it as it has the same arguments, and what is recorded already."""
    if stack is None or not stack.skips:
        return waiting, [], []
    now: list[int] = []
    later: list[int] = []
    known: list[Done] = []
    keys: set[bytes] = set()
    for index in waiting:
        try:
            call, found = stack.begin((), listed[index])
        except Exception:  # such as a missing argument: the call itself will say it
            now.append(index)
            continue
        if found is not None:
            known.append(Done(index, listed[index], found.result, None))
        elif call.key in keys:
            later.append(index)
        else:
            keys.add(call.key)
            now.append(index)
    return now, later, known


class _Workers:
    """Worker processes that call one function after another job."""

    def __init__(self, jobs: int, folder: Path) -> None:
        self._executor = ProcessExecutor(jobs)
        self._folder = folder
        self._started = False
        self._listed: list[Settings] = []

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.close()

    def begin(self, func: Callable[..., Any], listed: list[Settings], waiting: list[int]) -> None:
        self._listed = listed
        if not self._started:
            known = identify(func)
            job = Job(
                run=bytes(RUN_BYTES),
                experiment=_Errand(func),
                configurations=_Listed(listed),
                call=Call(),
                store=str(self._folder),
                spool=str(self._folder),
                modules=known.modules,
                assigned=known.assigned,
                **whereabouts(known.sources),
            )
            with shipping():
                self._executor.start(job)
            self._started = True
        self._executor.submit([Task(index=index, key=index.to_bytes(KEY_BYTES, "big")) for index in waiting])

    def done(self, count: int) -> Iterator[Done]:
        while count:
            for report in self._executor.wait(1.0):
                found: list[Done] = []
                if isinstance(report, Delivered):
                    found = [self._delivered(unpack_head(*frame)) for frame in report.frames]
                elif isinstance(report, Lost):
                    _show(report.log)
                    found = [Done(report.task.index, self._listed[report.task.index], None, report.failure)]
                count -= len(found)
                yield from found

    def _delivered(self, outcome: Outcome) -> Done:
        index = int.from_bytes(outcome.key, "big")
        _show(self._bytes(outcome, outcome.log, "log"))
        result, failure = None, outcome.failure
        if failure is None:
            parts: list[_Packed] = []
            try:
                data = self._bytes(outcome, outcome.value, "value")
                parts = payload.decode(outcome.value.codec, data, outcome.summary)
            except Exception as error:
                failure = describe_exception(error)
            for place, part in enumerate(parts, 1):
                what = "what the call returned" if place == len(parts) else "what was recorded of the calls in it"
                try:
                    result, told, calls = _unpacked(part, what)
                    failure = failure or told
                    bring_home(calls)
                except Exception as error:  # such as a type that cannot be unpickled here: of this part only
                    failure = failure or describe_exception(error)
        return Done(index, self._listed[index], result, failure)

    def _bytes(self, outcome: Outcome, part: Part, name: str) -> bytes:
        if part.data is not None:
            return part.data
        path = blob_path(self._folder, outcome.key, outcome.run, outcome.attempt, name)
        data = path.read_bytes()
        path.unlink()
        return data


def _unpacked(part: _Packed, what: str) -> tuple[Any, Failure | None, list[Sent]]:
    codec, chunks, summary = part
    try:
        return payload.decode(codec, bytearray().join(chunks), summary)  # type: ignore[no-any-return]
    except UnreadableResult as error:  # nothing is stored that could be computed anew
        raise UnreadableResult(
            value_type=error.value_type,
            reason=error.reason,
            what=what,
            remedy="have it return what can be loaded here as well as in a worker process, such as plain data",
        ) from error.__cause__


def _show(printed: bytes) -> None:
    if printed and sys.stdout is not None:
        sys.stdout.write(printed.decode("utf-8", "replace"))
